"""The log of a dead server's store, read from its files, against what has to be in it."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

from roomlog.core.node import Node, NodeHasher
from roomlog.core.pack import decode_pack
from roomlog.store.errors import StoreError
from roomlog.store.sqlite import SqliteStore
from tests.cli.running import command
from tests.oracle.naive_room import NaiveRoom

ROOM = "demo"
PAGE_NODES = 4_096


def stored_ids(path: Path) -> list[bytes]:
    """Ids by seq; empty while there is no store, or no room in it."""
    if not (path / "roomlog.sqlite3").exists():
        return []
    store = SqliteStore.open_read_only(path)
    try:
        if store.open_room(ROOM) is None:
            return []
        joined = b"".join(row.ids for row in store.load_index(ROOM))
    finally:
        store.close()
    return [joined[start : start + 32] for start in range(0, len(joined), 32)]


def stored_nodes(path: Path) -> list[Node]:
    """Every node by seq, decoded: each id is the hash of what lies there."""
    store = SqliteStore.open_read_only(path)
    try:
        room = store.open_room(ROOM)
        assert room is not None
        hasher = NodeHasher(room.lineage)
        nodes: list[Node] = []
        while len(nodes) < room.head_seq:
            for row in store.read_log(ROOM, len(nodes), PAGE_NODES):
                assert row.from_seq == len(nodes) + 1
                nodes += decode_pack(row.pack, hasher)
                assert len(nodes) == row.to_seq
    finally:
        store.close()
    return nodes


def stored_packs(path: Path) -> dict[int, bytes]:
    """Every pack by its first seq; what cannot be read, and is said so, is left out."""
    packs: dict[int, bytes] = {}
    try:
        store = SqliteStore.open_read_only(path)
    except StoreError:
        return packs
    try:
        room = store.open_room(ROOM)
        seq = 0
        while room is not None and seq < room.head_seq:
            try:
                (row,) = store.read_log(ROOM, seq, 1)
            except StoreError:
                seq += 1
            else:
                packs[row.from_seq] = row.pack
                seq = row.to_seq
    except StoreError:
        # The room itself cannot be found.
        pass
    finally:
        store.close()
    return packs


def replayed_naively(nodes: list[Node]) -> NaiveRoom:
    room = NaiveRoom()
    for node in nodes:
        room.add(node)
    return room


class Answer:
    """How a command ended and what it wrote."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self.out, self.err = process.communicate(timeout=120)
        self.code = process.returncode
        assert "Traceback" not in self.err, self.err

    @property
    def json(self) -> Any:
        return json.loads(self.out)


def asked(*arguments: object) -> subprocess.Popen[str]:
    """A command under way; `Answer` waits for it."""
    return subprocess.Popen(
        command(*arguments),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
