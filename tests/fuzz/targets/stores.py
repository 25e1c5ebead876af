"""Damaged databases, a server's and a client's: what is wrong is said, and nothing else happens."""

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import Iterable
from functools import cache
from pathlib import Path
from random import Random
from typing import Any, Final

from roomlog.client.errors import LocalStoreError
from roomlog.client.local_store import LocalStore, read_nodes, read_stored
from roomlog.client.stored_document import StoredDocument
from roomlog.core.node import Node
from roomlog.server.history import load_graph
from roomlog.store.errors import StoreError
from roomlog.store.sqlite import SqliteStore
from roomlog.store.sqlite.checksums import index_checksum, tail_checksum
from roomlog.store.verification import FaultFound, verify_room
from tests.fuzz.choices import Choices
from tests.fuzz.small_stores import ROOM_ID as SMALL_ROOM_ID
from tests.fuzz.small_stores import client_databases, server_database
from tests.fuzz.target import Target
from tests.fuzz.targets.texts import scratch
from tests.fuzz.vectors import released

SERVER, CLIENT = range(2)
MOST_EDITS: Final = 6
ROOM_ID: Final = "zoo"
"""The room of the released stores."""
BYTES, CELL, DELETE, SEALED = range(4)
_CELLS: Final[tuple[Any, ...]] = (
    None,
    0,
    1,
    -1,
    1 << 40,
    (1 << 63) - 1,
    2.5,
    "text",
    "",
    b"",
    b"\x01" * 32,
    b"\xff",
)


def check(data: bytes) -> None:
    """Choices: which database, then what happens to it."""
    choices = Choices(data)
    which, opens = choices.below(2), choices.is_one_in(4)
    content, room_id = database(which, choices.below(8))
    if which == SERVER:
        directory = scratch() / "store"
        directory.mkdir(exist_ok=True)
        path = directory / "roomlog.sqlite3"
    else:
        path = scratch() / "client.db"
    for leftover in path.parent.glob(f"{path.name}-*"):
        leftover.unlink()
    path.write_bytes(content)
    damage(path, choices)
    if which == SERVER:
        read_server(path.parent)
    elif opens:
        open_client(path, room_id)
    else:
        read_client(path)


@cache
def database(which: int, number: int) -> tuple[bytes, str]:
    """One of the small databases, or of the releases', and the name of its room."""
    small = [server_database()] if which == SERVER else client_databases()
    if number < 7:
        return small[number % len(small)], SMALL_ROOM_ID
    name = Path("store", "roomlog.sqlite3") if which == SERVER else Path("client.db")
    return (released()[-1] / name).read_bytes(), ROOM_ID


def damage(path: Path, choices: Choices) -> None:
    """Change cells through SQLite, then bytes behind its back."""
    patches: list[tuple[int, int]] = []
    with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.execute("PRAGMA journal_mode = MEMORY")
        connection.execute("PRAGMA synchronous = OFF")
        for _ in range(MOST_EDITS):
            if not choices.are_left:
                break
            kind = choices.below(4)
            if kind == BYTES:
                page = choices.below(64) * 4096
                patches.append((page + choices.below(4096), choices.byte()))
            else:
                with contextlib.suppress(sqlite3.Error):
                    edit_row(connection, kind, choices)
    if patches:
        content = bytearray(path.read_bytes())
        for offset, value in patches:
            content[offset % len(content)] = value
        path.write_bytes(content)


def edit_row(connection: sqlite3.Connection, kind: int, choices: Choices) -> None:
    """Give one cell another value, take a row out, or write a log row that its checksums fit."""
    tables = [
        name
        for (name,) in connection.execute(
            "SELECT name FROM sqlite_master WHERE type = 'table' ORDER BY name"
        )
    ]
    table = "log" if kind == SEALED and "log" in tables else choices.one_of(tables)
    columns = [row[1] for row in connection.execute(f"PRAGMA table_info({table})")]
    (count,) = connection.execute(f"SELECT count(*) FROM {table}").fetchone()
    if not count or not columns:
        return
    offset = choices.below(min(count, 256))
    row = connection.execute(f"SELECT * FROM {table} LIMIT 1 OFFSET {offset}").fetchone()
    where = " AND ".join(f"{column} IS ?" for column in columns)
    if kind == DELETE:
        connection.execute(f"DELETE FROM {table} WHERE {where}", row)
        return
    edited = list(row)
    names = ("head", "ids", "tail") if table == "log" and kind == SEALED else columns
    place = columns.index(choices.one_of(names))
    edited[place] = edited_cell(row[place], choices)
    cells = dict(zip(columns, edited, strict=True))
    blobs = [isinstance(cells.get(name), bytes) for name in ("head", "ids", "tail")]
    if kind == SEALED and all(blobs):
        edited[columns.index("index_checksum")] = index_checksum(cells["head"], cells["ids"])
        edited[columns.index("tail_checksum")] = tail_checksum(cells["tail"])
    assignments = ", ".join(f"{column} = ?" for column in columns)
    connection.execute(f"UPDATE {table} SET {assignments} WHERE {where}", [*edited, *row])


def edited_cell(value: Any, choices: Choices) -> Any:
    """Another value: bytes with a few changed, or one of another type."""
    if isinstance(value, bytes) and not choices.is_one_in(4):
        edited = bytearray(value)
        for _ in range(1 + choices.below(3)):
            if edited:
                edited[choices.below(min(len(edited), 65_536))] = choices.byte()
        return bytes(edited[: -choices.below(3) or None])
    if isinstance(value, int) and choices.is_one_in(2):
        return min(value + choices.one_of((1, -1, 256)), (1 << 63) - 1)
    return choices.one_of(_CELLS)


def read_server(directory: Path) -> None:
    """Everything there is to read: each part by itself, so that one fault does not hide others."""
    try:
        store = SqliteStore.open_read_only(directory)
    except StoreError:
        return
    with contextlib.closing(store):
        try:
            rooms = store.rooms()
        except StoreError:
            return
        for room in rooms:
            for read in (
                lambda room=room: load_graph(store, room),
                lambda room=room: verify_room(store, room, on_signed=lambda _: None),
                lambda room=room: list(store.admissions(room.room_id)),
                lambda room=room: store.reconcile_windows(room.room_id),
                lambda room=room: read_snapshots(store, room.room_id),
                store.check,
            ):
                with contextlib.suppress(StoreError, FaultFound):
                    read()


def read_snapshots(store: SqliteStore, room_id: str) -> None:
    """Every chunk of every snapshot, in bounded number."""
    for snapshot in store.newest_snapshots(room_id):
        for chunk in range(min(snapshot.chunks, 64)):
            assert store.read_snapshot(room_id, snapshot.seq, chunk)


def open_client(path: Path, room_id: str) -> None:
    """As a document opens it: for writing, newer tables added."""
    try:
        store = LocalStore(path, room_id, bytes(32))
    except LocalStoreError:
        return
    try:
        check_document(store.document)
    finally:
        store.close()


def read_client(path: Path) -> None:
    """As tools read it, beside a document that is open."""
    try:
        document = read_stored(path)
    except LocalStoreError:
        return
    check_document(document)
    with contextlib.suppress(LocalStoreError):
        read_nodes(path)


def check_document(document: StoredDocument) -> None:
    """Everything in it is of the type that it says."""
    assert isinstance(document.room_id, str)
    assert len(document.lineage) == 32
    assert all(isinstance(node, Node) for node in document.nodes)
    ids = {node.id for node in document.nodes}
    assert set(document.pending) <= ids
    for rejection in document.rejections:
        assert rejection.operations is not None
    for seq, stretch in document.places.stretches():
        assert isinstance(seq, int)
        assert set(stretch) <= ids
    epoch = document.places.epoch
    assert epoch is None or (isinstance(epoch, bytes) and len(epoch) == 16)
    for origin, key in document.server_keys.items():
        assert isinstance(origin, str)
        assert isinstance(key, bytes)
        assert len(key) == 32
    for pack in document.history:
        assert isinstance(pack.pack, bytes)
        assert 1 <= pack.from_seq <= pack.to_seq
    kept = document.snapshot
    if kept is not None:
        assert isinstance(kept.seq, int)
        assert isinstance(kept.history_seq, int)
        blobs = (kept.frontier_pack, kept.state, kept.state_hash, kept.digest, kept.signature)
        assert all(isinstance(each, bytes) for each in (*blobs, kept.server_key))


def seeds() -> Iterable[bytes]:
    """Nothing changed, and one change of each kind in many places."""
    random = Random(19)
    for which in (SERVER, CLIENT):
        for opens in (0, 3):
            for number in (0, 1, 2, 7):
                yield bytes((which, opens, number))
                for kind in range(4):
                    for _ in range(3):
                        yield bytes((which, opens, number, kind)) + random.randbytes(9)


TARGET = Target(check, seeds, most_bytes=128)
