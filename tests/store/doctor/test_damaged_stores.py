"""Stores damaged anywhere: explained, mended, and never made worse.

`ROOMLOG_DAMAGE_SEEDS` says how many ways of damage are tried, `ROOMLOG_DAMAGE_START` from which
seed on.
"""

from __future__ import annotations

import os
import random
import shutil
from pathlib import Path

import pytest

from roomlog.core.node import Node, NodeHasher, check_node, check_signature
from roomlog.core.pack import decode_pack
from roomlog.core.reject import Reject
from roomlog.store.doctor.examination import examine, verified_rooms
from roomlog.store.errors import StoreError
from roomlog.store.sqlite import SqliteStore
from tests.store.doctor.rich_store import (
    DATABASE,
    Tangle,
    change_rows,
    fingerprint,
    flip,
    make_rich_store,
    nodes_in,
    nodes_saved,
    repaired,
    rows_sqlite_reads,
    truncate,
    wipe_page,
)

SEEDS = int(os.environ.get("ROOMLOG_DAMAGE_SEEDS", "32"))
START = int(os.environ.get("ROOMLOG_DAMAGE_START", "0"))
Rooms = dict[str, Tangle]


@pytest.fixture(scope="module")
def sound(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Rooms]:
    path = tmp_path_factory.mktemp("sound") / "store"
    return path, make_rich_store(path)


@pytest.fixture(scope="module")
def killed(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Rooms]:
    """A store whose process was killed: most of it is in the write-ahead log."""
    path = tmp_path_factory.mktemp("killed") / "store"
    return path, make_rich_store(path, keep_log=True)


def damage(store: Path, generator: random.Random) -> str:
    """Damage the files of a store in one of many ways, or several; how."""
    database, log = store / DATABASE, store / f"{DATABASE}-wal"
    target = generator.choice([database, log]) if log.exists() else database
    way = generator.choice(
        ["flip", "flip", "flips", "wipe", "wipes", "truncate", "rows", "first page", "mixture"]
    )
    if way == "flip":
        flip(target, generator)
    elif way == "flips":
        for _ in range(generator.choice((2, 8, 60))):
            flip(target, generator)
    elif way == "wipe":
        wipe_page(target, generator)
    elif way == "wipes":
        for _ in range(generator.randint(2, 12)):
            wipe_page(target, generator)
    elif way == "truncate":
        truncate(target, generator)
    elif way == "first page":
        flip(target, generator, most=200)
    elif way == "rows":
        change_rows(database, generator)
    else:
        for _ in range(2):
            change_rows(database, generator)
        for _ in range(4):
            flip(database, generator)
        wipe_page(database, generator)
    return f"{way} of {target.name}"


def intact_nodes(store: Path, rooms: Rooms) -> set[bytes]:
    """Nodes in rows that SQLite still finds, and that are exactly what was written."""
    written = {node.id: tangle for tangle in rooms.values() for node in tangle.nodes}
    intact: set[bytes] = set()
    for ids, pack in rows_sqlite_reads(store).values():
        tangle = written.get(ids[:32])
        if tangle is None:
            continue
        try:
            nodes = decode_pack(pack, NodeHasher(tangle.room.lineage))
            for node in nodes:
                check_node(node)
                check_signature(node)
        except Reject:
            continue
        if [node.id for node in nodes] == [ids[at : at + 32] for at in range(0, len(ids), 32)]:
            intact.update(node.id for node in nodes if node.id in written)
    return intact


def whole_rooms(store: Path) -> dict[str, tuple[bytes, list[Node]]]:
    """Epoch and nodes of every room that can be proven as it is."""
    try:
        opened = SqliteStore.open_read_only(store)
    except StoreError:
        return {}
    try:
        right = [room for room, fault in verified_rooms(opened).items() if fault is None]
        epochs = {room.room_id: room.epoch for room in opened.rooms()}
    except StoreError:
        return {}
    finally:
        opened.close()
    try:
        nodes = nodes_in(store)
    except StoreError:
        return {}
    return {room: (epochs[room], nodes[room]) for room in right}


@pytest.mark.parametrize("seed", range(START, START + SEEDS))
def test_t21_any_damage_is_explained_and_mended_or_honestly_called_hopeless(
    seed: int, sound: tuple[Path, Rooms], killed: tuple[Path, Rooms], tmp_path: Path
) -> None:
    generator = random.Random(seed)
    origin, rooms = generator.choice((sound, killed))
    store, backup = tmp_path / "store", tmp_path / "backup"
    shutil.copytree(origin, store)
    how = damage(store, generator)
    before = fingerprint(store)
    had_log = (store / f"{DATABASE}-wal").exists()
    intact = set() if had_log else intact_nodes(store, rooms)
    whole = {} if had_log else whole_rooms(store)
    if not had_log:
        assert fingerprint(store) == before
    found = examine(store)
    assert fingerprint(store) == before, how
    done = repaired(store, backup)
    if done.before.is_healthy:
        assert fingerprint(store) == before, how
        return
    assert [each.code for each in done.before.findings] == [each.code for each in found.findings]
    if not done.backup:
        assert found.is_lost, (how, found.findings)
        assert fingerprint(store).keys() >= before.keys()
        return
    assert done.after.is_healthy, (how, found.findings, done.after.findings)
    # A server takes it, and everything in it is what somebody wrote.
    SqliteStore.open(store, store_id=b"n" * 16, now_ms=9).close()
    kept, saved = nodes_in(store), nodes_saved(done, rooms)
    written = {node.id for tangle in rooms.values() for node in tangle.nodes}
    here = {node.id for nodes in kept.values() for node in nodes}
    assert here | saved.keys() <= written, how
    assert not here & saved.keys(), how
    assert intact <= here | saved.keys(), (how, len(intact - here - saved.keys()))
    # What was right before is not touched: the same log under the same epoch.
    now = whole_rooms(store)
    for room, before_repair in whole.items():
        assert now[room] == before_repair, (how, room)
    # A second repair has nothing to do.
    after = fingerprint(store)
    assert not repaired(store, tmp_path / "again").done
    assert fingerprint(store) == after
