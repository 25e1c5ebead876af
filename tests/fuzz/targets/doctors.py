"""Damaged stores and their doctor: it finds, mends what can be mended, and invents nothing."""

from __future__ import annotations

import contextlib
import io
import shutil
from collections.abc import Iterable
from functools import cache
from pathlib import Path
from random import Random
from typing import Final

import typer

from roomlog.cli.doctor_client import doctor_client
from roomlog.cli.failure import Failure
from roomlog.client.errors import LocalStoreError
from roomlog.client.local_store import read_stored
from roomlog.core.node import NodeHasher
from roomlog.core.pack import decode_pack
from roomlog.identity import Identity
from roomlog.store.doctor.examination import examine
from roomlog.store.doctor.repair import repair
from roomlog.store.errors import StoreError
from roomlog.store.sqlite import SqliteStore
from roomlog.store.verification import verify_room
from tests.fuzz.built_nodes import LINEAGE
from tests.fuzz.choices import Choices
from tests.fuzz.small_stores import chain, client_databases, server_database
from tests.fuzz.target import Target
from tests.fuzz.targets.stores import damage
from tests.fuzz.targets.texts import scratch

SERVER, CLIENT = range(2)
NOW_MS: Final = 1_000_000


def check(data: bytes) -> None:
    """Choices: which database, what happens to it, and whether it is repaired."""
    choices = Choices(data)
    which, number = choices.below(2), choices.below(3)
    repairs = not choices.is_one_in(3)
    directory = scratch() / "doctor"
    shutil.rmtree(directory, ignore_errors=True)
    directory.mkdir(mode=0o700)
    if which == SERVER:
        Identity.from_seed(bytes(32)).save(directory / "server.key")
        database = directory / "roomlog.sqlite3"
        database.write_bytes(server_database())
    else:
        database = directory / "client.db"
        database.write_bytes(client_databases()[number])
    database.chmod(0o600)
    damage(database, choices)
    if choices.is_one_in(6):
        content = database.read_bytes()
        database.write_bytes(content[: len(content) * choices.byte() // 256])
    damaged = database.read_bytes()
    if which == SERVER:
        look_at_server(directory, database, damaged, repairs=repairs)
    else:
        look_at_client(database, damaged, repairs=repairs)


def look_at_server(directory: Path, database: Path, damaged: bytes, *, repairs: bool) -> None:
    """A look changes nothing. A repair gives a store that proves itself, or changes nothing."""
    try:
        found = examine(directory)
    except StoreError:
        return
    assert database.read_bytes() == damaged
    for finding in found.findings:
        assert finding.meaning
    if not repairs:
        return
    counter = iter(range(1, 1 << 20))
    try:
        done = repair(
            directory,
            backup=scratch() / "doctor" / "backup",
            now_ms=NOW_MS,
            window_ms=1_000,
            fresh_bytes=lambda size: next(counter).to_bytes(size, "big"),
        )
    except StoreError:
        assert database.read_bytes() == damaged
        return
    if found.is_healthy:
        assert database.read_bytes() == damaged
        return
    if not any(finding.is_repairable for finding in found.findings):
        return
    assert not any(finding.is_repairable for finding in done.after.findings), done.after.findings
    store = SqliteStore.open_read_only(directory)
    with contextlib.closing(store):
        for room in store.rooms():
            verify_room(store, room, on_signed=lambda _: None)
            if room.lineage == LINEAGE:
                hasher = NodeHasher(LINEAGE)
                seq = 0
                while seq < room.head_seq:
                    for row in store.read_log(room.room_id, seq, 100):
                        for node in decode_pack(row.pack, hasher):
                            assert node.id in known_ids()
                        seq = row.to_seq


def look_at_client(database: Path, damaged: bytes, *, repairs: bool) -> None:
    """The same for a local store."""
    backup = database.parent / "backup"
    output = io.StringIO()
    try:
        with contextlib.redirect_stdout(output):
            doctor_client(database, do_repair=False, backup=None, as_json=True)
    except (typer.Exit, Failure):
        pass
    assert database.read_bytes() == damaged
    if not repairs:
        return
    try:
        with contextlib.redirect_stdout(output):
            doctor_client(database, do_repair=True, backup=backup, as_json=True)
    except Failure:
        assert database.read_bytes() == damaged
        return
    except typer.Exit:
        return
    try:
        document = read_stored(database)
    except LocalStoreError as error:
        raise AssertionError(f"repaired, and still damaged: {error}") from error
    if document.lineage == LINEAGE:
        assert {node.id for node in document.nodes} <= known_ids()


@cache
def known_ids() -> frozenset[bytes]:
    """All nodes that there ever were."""
    return frozenset(node.id for node in chain())


def seeds() -> Iterable[bytes]:
    """One change of each kind in many places, and files that end early."""
    random = Random(29)
    for which in (SERVER, CLIENT):
        for number in range(3):
            yield bytes((which, number, 0))
            for kind in range(4):
                for _ in range(3):
                    yield bytes((which, number, 0, kind)) + random.randbytes(9)


TARGET = Target(check, seeds, most_bytes=128)
