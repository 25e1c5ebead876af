"""Stores with real rooms in them, for commands to look at."""

from __future__ import annotations

import os
from pathlib import Path

from roomlog.core.node import Node
from roomlog.core.replica import Replica
from roomlog.identity import Identity
from roomlog.store.interface import Append, StoredRoom
from roomlog.store.sqlite import SqliteStore
from tests.store.chains import create_room, make_append

FIRST_ADMITTED_MS = 1_700_000_000_000
TEXTS = ("h", "hello", "hello world", "hello, world")


def write_room(store: SqliteStore, room_id: str) -> tuple[StoredRoom, Replica]:
    """A room whose text `notes` reads as TEXTS after each node, admitted a second apart."""
    room = create_room(store, room_id)
    replica = Replica(room_id, Identity.from_seed(b"w" * 32), lineage=room.lineage)
    appends: list[Append] = []
    for number, text in enumerate(TEXTS):
        notes = replica.text("notes")
        if text == "hello, world":
            notes.insert(5, ",")
        else:
            notes.insert(len(notes), text[len(notes) :])
        replica.map("users")["ada"] = {"visits": number, "key": b"\x00\x01"}
        replica.counter("votes").add(2)
        replica.commit(number)
        node = list(replica.nodes())[-1]
        admitted_ms = FIRST_ADMITTED_MS + 1_000 * number
        appends.append(make_append(room, number + 1, [node], admitted_ms=admitted_ms))
    assert all(outcome.is_committed for outcome in store.commit(appends))
    return room, replica


def make_store(path: Path, *room_ids: str) -> dict[str, Replica]:
    """A closed store with these rooms, and with the server's key that belongs to them."""
    store = SqliteStore.open(path, store_id=os.urandom(16), now_ms=1)
    Identity.load_or_create(store.key_path)
    replicas = {room_id: write_room(store, room_id)[1] for room_id in room_ids}
    store.close()
    return replicas


def nodes_of(replica: Replica) -> list[Node]:
    return list(replica.nodes())
