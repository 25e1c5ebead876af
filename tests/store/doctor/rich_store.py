"""A store with everything that a store can have, ways to damage it, and what is left of it."""

from __future__ import annotations

import hashlib
import os
import random
import shutil
import sqlite3
from pathlib import Path

from blake3 import blake3

from roomlog.core.node import CHANGE, Node, NodeHasher, make_node
from roomlog.core.operation import MapSet
from roomlog.core.pack import decode_pack, encode_pack, read_pack_file
from roomlog.core.signing import Purpose, verify
from roomlog.core.snapshot.facts import SnapshotFacts
from roomlog.identity import Identity
from roomlog.store.doctor.repair import Repair, repair
from roomlog.store.interface import (
    Append,
    NewRoom,
    ReconcileWindow,
    StoredRoom,
    StoredSnapshot,
    snapshot_chunks,
)
from roomlog.store.sqlite import SqliteStore

AUTHORS = [Identity.from_seed(bytes([number]) * 32) for number in range(1, 4)]
SERVER = Identity.from_seed(b"s" * 32)
NOW_MS = 1_800_000_000_000
PAGE_BYTES = 4_096
DATABASE = "roomlog.sqlite3"


class Tangle:
    """A room whose nodes build on one another in all directions."""

    def __init__(self, room: StoredRoom, generator: random.Random) -> None:
        self.room = room
        self.epoch = room.epoch
        self.nodes: list[Node] = []
        self._hasher = NodeHasher(room.lineage)
        self._generator = generator

    def append(self, count: int, *, width: int = 3, value_bytes: int = 60) -> Append:
        """The next `count` nodes, each on one or two of the last `width`."""
        start = len(self.nodes)
        for _ in range(count):
            recent = self.nodes[-width:]
            most = min(2, len(recent))
            parents = (
                self._generator.sample(recent, self._generator.randint(1, most)) if most else []
            )
            clock = max((each.clock for each in parents), default=0) + 2_048
            operation = MapSet(f"key/{len(self.nodes)}", "x" * value_bytes)
            author = self._generator.choice(AUTHORS)
            ids = [each.id for each in parents]
            self.nodes.append(make_node(self._hasher, author, CHANGE, clock, ids, [operation]))
        nodes = self.nodes[start:]
        return Append(
            self.room.room_id,
            self.epoch,
            start + 1,
            len(nodes),
            encode_pack(nodes),
            b"".join(node.id for node in nodes),
            nodes[0].author,
            NOW_MS + start,
        )

    def heads_at(self, seq: int) -> list[Node]:
        below = self.nodes[:seq]
        parents = {parent for node in below for parent in node.parents}
        return [node for node in below if node.id not in parents]


def snapshot_of(tangle: Tangle, seq: int, state: bytes) -> StoredSnapshot:
    heads = sorted(tangle.heads_at(seq), key=lambda node: node.id)
    digest, state_hash = blake3(state).digest(), b"h" * 32
    facts = SnapshotFacts(tangle.room.lineage, seq, [node.id for node in heads], state_hash, digest)
    signature = SERVER.sign(Purpose.SNAPSHOT, facts.payload())
    return StoredSnapshot(
        seq, NOW_MS, encode_pack(heads), state_hash, digest, signature, len(state)
    )


def make_rich_store(
    path: Path, seed: int = 1, *, keep_log: bool = False, steps: int = 14
) -> dict[str, Tangle]:
    """Three rooms with packs small and large, renewed epochs and snapshots; and an empty room.

    With `keep_log` the write-ahead log stays, as a process that was killed leaves it.
    """
    generator = random.Random(seed)
    store = SqliteStore.open(path, store_id=b"i" * 16, now_ms=1)
    if not (path / "server.key").exists():
        SERVER.save(store.key_path)
    tangles: dict[str, Tangle] = {}
    for name in ("empty", "ada", "bob", "big one"):
        new = NewRoom(name, generator.randbytes(32), generator.randbytes(16), 5)
        (room,) = store.create_rooms([new])
        assert isinstance(room, StoredRoom)
        tangles[name] = Tangle(room, generator)
    del tangles["empty"]
    for step in range(steps):
        for name, tangle in tangles.items():
            count = generator.choice((1, 1, 2, 5, 40))
            value_bytes = 900 if name == "big one" else 60
            append = tangle.append(
                count, width=generator.choice((1, 3, 30)), value_bytes=value_bytes
            )
            (outcome,) = store.commit([append])
            assert outcome.is_committed
        if step in (5, 9):
            renew(store, tangles["bob"], generator)
    for name, size_bytes in (("ada", 300_000), ("bob", 5_000)):
        tangle = tangles[name]
        state = generator.randbytes(size_bytes)
        seq = len(tangle.nodes) - 3
        store.write_snapshot_chunks(name, seq, 0, snapshot_chunks(state))
        store.finish_snapshot(name, snapshot_of(tangle, seq, state))
    if keep_log:
        copy = path.with_name(f"{path.name}-live")
        shutil.copytree(path, copy)
        store.close()
        shutil.rmtree(path)
        copy.rename(path)
        (path / "lock").write_bytes(b"")
    else:
        store.close()
    return tangles


def renew(store: SqliteStore, tangle: Tangle, generator: random.Random) -> None:
    new = generator.randbytes(16)
    window = ReconcileWindow(tangle.epoch, tangle.epoch, new, 0, 0, len(tangle.nodes), 5, 9)
    store.renew_epoch(tangle.room.room_id, window)
    tangle.epoch = new


def fingerprint(path: Path) -> dict[str, tuple[str, int, int]]:
    """Content, time and mode of everything in a directory."""
    return {
        str(each.relative_to(path)): (
            hashlib.sha256(each.read_bytes()).hexdigest() if each.is_file() else "",
            each.stat().st_mtime_ns,
            each.stat().st_mode,
        )
        for each in sorted([path, *path.rglob("*")])
    }


def rows_sqlite_reads(path: Path) -> dict[tuple[int, int], tuple[bytes, bytes]]:
    """Packs (ids, bytes) by room number and seq, as far as SQLite can still find and read them."""
    found: dict[tuple[int, int], tuple[bytes, bytes]] = {}
    connection = sqlite3.connect(f"file:{path / DATABASE}?mode=ro&immutable=1", uri=True)
    connection.text_factory = bytes
    for direction in ("ASC", "DESC"):
        cursor = connection.execute("SELECT 1")
        try:
            cursor = connection.execute(
                "SELECT room, from_seq, ids, head, tail FROM log "
                f"ORDER BY room {direction}, from_seq {direction}"
            )
            for room, from_seq, ids, head, tail in cursor:
                if isinstance(ids, bytes) and isinstance(head, bytes) and isinstance(tail, bytes):
                    found[room, from_seq] = (ids, head + tail)
        except sqlite3.DatabaseError:
            continue
    connection.close()
    return found


def repaired(path: Path, backup: Path) -> Repair:
    """`repair` with whatever it needs."""
    return repair(path, backup=backup, now_ms=NOW_MS, window_ms=86_400_000, fresh_bytes=os.urandom)


def nodes_in(path: Path) -> dict[str, list[Node]]:
    """Every node of every room of a store, in order of the log."""
    store = SqliteStore.open_read_only(path)
    found: dict[str, list[Node]] = {}
    for room in store.rooms():
        nodes = found.setdefault(room.room_id, [])
        while len(nodes) < room.head_seq:
            for row in store.read_log(room.room_id, len(nodes), 1_000):
                nodes += decode_pack(row.pack, NodeHasher(room.lineage))
    store.close()
    return found


def nodes_saved(done: Repair, rooms: dict[str, Tangle]) -> dict[bytes, Node]:
    """What a repair put beside the store. Without its lineage a pack is tried under each room's."""
    found: dict[bytes, Node] = {}
    lineages = [tangle.room.lineage for tangle in rooms.values()]
    for name in done.saved:
        lineage, packs = read_pack_file(Path(name).read_bytes())
        for pack in packs:
            for each in lineages if lineage == bytes(32) else [lineage]:
                for node in decode_pack(pack, NodeHasher(each)):
                    assert node.signature is not None
                    if verify(node.author, Purpose.NODE, node.id, node.signature):
                        found[node.id] = node
    return found


def flip(path: Path, generator: random.Random, *, most: int | None = None) -> None:
    """Flip one bit of a file."""
    with path.open("r+b") as file:
        size_bytes = path.stat().st_size if most is None else most
        offset = generator.randrange(size_bytes)
        file.seek(offset)
        (byte,) = file.read(1)
        file.seek(offset)
        file.write(bytes([byte ^ 1 << generator.randrange(8)]))


def wipe_page(path: Path, generator: random.Random) -> None:
    """Lose one page of a file: zeros, or what is nobody's."""
    with path.open("r+b") as file:
        pages = max(1, path.stat().st_size // PAGE_BYTES)
        file.seek(generator.randrange(pages) * PAGE_BYTES)
        file.write(generator.choice((bytes(PAGE_BYTES), generator.randbytes(PAGE_BYTES))))


def truncate(path: Path, generator: random.Random) -> None:
    """Cut a file anywhere."""
    os.truncate(path, generator.randrange(path.stat().st_size))


def change_rows(path: Path, generator: random.Random) -> None:
    """Delete or change some rows of any table, as a careless hand does."""
    table, column = generator.choice(
        [
            ("log", ""), ("admission", ""), ("room", ""), ("snapshot", ""), ("snapshot_chunk", ""),
            ("reconcile_window", ""), ("log", "room"), ("log", "admission"), ("log", "head"),
            ("log", "tail"), ("log", "index_checksum"), ("admission", "epoch"),
            ("admission", "submitter"), ("admission", "from_seq"), ("room", "head_seq"),
            ("room", "epoch"), ("room", "room_id"), ("room", "lineage"),
            ("reconcile_window", "new_epoch"), ("reconcile_window", "head_seq"),
            ("snapshot", "digest"), ("snapshot_chunk", "data"), ("store_meta", "value"),
            ("schema_migration", ""), ("store_meta", ""),
        ]
    )  # fmt: skip
    connection = sqlite3.connect(path)
    connection.execute("PRAGMA ignore_check_constraints = ON")
    order = "random()"
    where = f"rowid IN (SELECT rowid FROM {table} ORDER BY {order} LIMIT ?)"
    keys = {"log": "room, from_seq", "snapshot_chunk": "room, seq, chunk", "store_meta": "key"}
    if table in keys:
        where = f"({keys[table]}) IN (SELECT {keys[table]} FROM {table} ORDER BY {order} LIMIT ?)"
    limit = generator.choice((1, 1, 3, 1_000))
    try:
        if not column:
            connection.execute(f"DELETE FROM {table} WHERE {where}", (limit,))
        else:
            kind = connection.execute(f"SELECT typeof({column}) FROM {table}").fetchone()
            value = f"{column} + 1" if kind == ("integer",) else f"zeroblob(length({column}))"
            connection.execute(f"UPDATE {table} SET {column} = {value} WHERE {where}", (1,))
        connection.commit()
    except sqlite3.IntegrityError:
        connection.rollback()
    connection.close()
