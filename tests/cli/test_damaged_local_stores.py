"""Local stores of clients, damaged anywhere: what was never sent is kept at all cost.

`ROOMLOG_DAMAGE_SEEDS` says how many ways of damage are tried.
"""

from __future__ import annotations

import os
import random
import shutil
import sqlite3
from pathlib import Path

import pytest

from roomlog.client.errors import LocalStoreError
from roomlog.client.local_store import LocalStore, read_stored
from roomlog.client.store_writes import OwnNodes
from roomlog.core.node import Node, NodeHasher, check_node, check_signature
from roomlog.core.pack import decode_pack, read_pack_file
from roomlog.core.reject import Reject
from tests.cli.running import Ran, ran
from tests.cli.test_refound import BOB, LINEAGE, client_store, history
from tests.store.doctor.rich_store import fingerprint, flip, truncate, wipe_page

SEEDS = int(os.environ.get("ROOMLOG_DAMAGE_SEEDS", "24"))
START = int(os.environ.get("ROOMLOG_DAMAGE_START", "0"))
UNSENT = 12


@pytest.fixture(scope="module")
def sound(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[bytes, Node], list[bytes]]:
    """A store of two hundred nodes in two packs, and some more that were never sent."""
    path = tmp_path_factory.mktemp("sound") / "bob.db"
    common = history(200)
    later = history(UNSENT, BOB, common)
    own = [node for node in later.nodes() if node.id not in common]
    client_store(path, list(common.nodes()), *(OwnNodes([node]) for node in own))
    return path, {node.id: node for node in later.nodes()}, [node.id for node in own]


def unsent_that_sqlite_reads(path: Path) -> set[bytes]:
    """Own nodes in rows that are still found, and that prove themselves."""
    found: set[bytes] = set()
    connection = sqlite3.connect(f"file:{path}?mode=ro&immutable=1", uri=True)
    for direction in ("ASC", "DESC"):
        try:
            for own_id, pack in connection.execute(
                f"SELECT own_id, pack FROM node_pack NOT INDEXED ORDER BY position {direction}"
            ):
                if isinstance(own_id, bytes) and isinstance(pack, bytes):
                    (node,) = decode_pack(pack, NodeHasher(LINEAGE))
                    check_node(node)
                    check_signature(node)
                    found.add(node.id)
        except (sqlite3.DatabaseError, Reject, ValueError):
            continue
    connection.close()
    return found


def saved_nodes(mended: Ran) -> set[bytes]:
    found: set[bytes] = set()
    for name in mended.json["repair"]["saved"]:
        _, packs = read_pack_file(Path(name).read_bytes())
        for pack in packs:
            # The file of a store whose lineage is gone says nothing of it.
            try:
                found.update(node.id for node in decode_pack(pack, NodeHasher(LINEAGE)))
            except Reject:
                continue
    return found


@pytest.mark.parametrize("seed", range(START, START + SEEDS))
def test_whatever_is_damaged_what_was_never_sent_is_kept(
    seed: int,
    sound: tuple[Path, dict[bytes, Node], list[bytes]],
    tmp_path: Path,
    capfd: pytest.CaptureFixture[str],
) -> None:
    origin, written, own = sound
    generator = random.Random(seed)
    (tmp_path / "app").mkdir()
    path = tmp_path / "app" / "bob.db"
    shutil.copy(origin, path)
    way = generator.choice([flip, flip, flip, wipe_page, truncate])
    for _ in range(1 if way is truncate else generator.choice((1, 1, 4))):
        way(path, generator)
    before = fingerprint(tmp_path / "app")
    intact = unsent_that_sqlite_reads(path) & set(own)
    looked = ran(capfd, "doctor", "--client", path, "--json")
    assert fingerprint(tmp_path / "app") == before
    assert looked.code in (0, 1), looked.err
    backup = tmp_path / "backup"
    mended = ran(capfd, "doctor", "--client", path, "--repair", "--backup", backup, "--json")
    if looked.code == 0:
        assert fingerprint(tmp_path / "app") == before
        assert mended.code == 0
        return
    assert mended.code in (0, 1), mended.err
    saved = saved_nodes(mended)
    try:
        document = read_stored(path)
    except LocalStoreError:
        assert mended.code == 1
        assert intact <= saved
        return
    assert mended.code == 0, mended.out
    here = {node.id for node in document.nodes}
    assert here | saved <= written.keys()
    assert intact <= set(document.pending) | saved
    # The next program opens it and goes on.
    LocalStore(path, "room", b"d" * 32).close()
