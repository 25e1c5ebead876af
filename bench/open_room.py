"""Opening a room of 260,000 nodes: from the first connection to the signed welcome.

The room holds the automerge-paper history, one signed node an edit, in two forms: as it was typed,
one pack a node; and as it came in bulk, packs of 4,096. The server has just started and has not
touched the room. The welcome proves that the room's whole index is loaded.
"""

from __future__ import annotations

import asyncio
import os
import time

import uvloop

from bench import traces
from bench.fanout_clients import finish
from bench.fanout_dialects import RoomlogReader
from bench.measure import Claim, Figures, main
from bench.processes import free_port, resident_bytes, roomlog_command, server, store_directory
from bench.websocket import connect

ROOM = "opened"
BULK_PACK_NODES = 4096
BATCH_APPENDS = 2000


def write_store(directory: str, pack_nodes: int) -> int:
    """Fills a store with the room; the number of its nodes."""
    from bench.histories import START_MS, author, operations
    from roomlog.core.clock import UNITS_PER_MS
    from roomlog.core.node import CHANGE, Node, NodeHasher, make_node
    from roomlog.core.pack import encode_pack
    from roomlog.identity import Identity
    from roomlog.store.interface import Append, NewRoom
    from roomlog.store.sqlite import SqliteStore

    lineage, epoch = os.urandom(32), os.urandom(16)
    hasher, writer = NodeHasher(lineage), author(0)
    store = SqliteStore.open(directory, store_id=os.urandom(16), now_ms=START_MS)
    Identity.load_or_create(store.key_path)
    created = store.create_rooms([NewRoom(ROOM, lineage, epoch, START_MS)])
    assert not isinstance(created[0], Exception), created[0]
    appends: list[Append] = []
    nodes: list[Node] = []
    parents: list[bytes] = []
    seq = 0

    def close_pack() -> None:
        ids = b"".join(node.id for node in nodes)
        appends.append(
            Append(
                room_id=ROOM,
                epoch=epoch,
                from_seq=seq - len(nodes) + 1,
                count=len(nodes),
                pack=encode_pack(nodes),
                ids=ids,
                submitter=writer.public_key,
                admitted_ms=START_MS + seq,
            )
        )
        nodes.clear()

    def commit() -> None:
        for outcome in store.commit(appends):
            assert outcome.is_committed, outcome.reason
        appends.clear()

    for patch in traces.sequential_patches(traces.load("automerge-paper")):
        seq += 1
        clock = (START_MS + seq) * UNITS_PER_MS
        node = make_node(hasher, writer, CHANGE, clock, parents, operations([patch]))
        parents = [node.id]
        nodes.append(node)
        if len(nodes) == pack_nodes:
            close_pack()
        if len(appends) == BATCH_APPENDS:
            commit()
    if nodes:
        close_pack()
    commit()
    store.close()
    return seq


class Welcomed(RoomlogReader):
    """A reader that keeps what the room's head is."""

    head_seq = -1

    def welcomed(self, welcome: object) -> None:
        self.head_seq = welcome.seq  # type: ignore[attr-defined]


async def first_welcome(url: str) -> tuple[float, int]:
    """(seconds from dialling to the welcome, the head of the room's log)."""
    start = time.perf_counter()
    client = Welcomed(url, lambda edits: None)
    await connect(client)
    async with asyncio.timeout(60):
        await finish([client], [client.joined.wait()])
    return time.perf_counter() - start, client.head_seq


def measure(pack_nodes: int) -> Figures:
    with store_directory() as directory:
        nodes = write_store(directory, pack_nodes)
        port = free_port()
        started = time.perf_counter()
        with server(roomlog_command(directory, port), {}, port) as pid:
            answering = time.perf_counter() - started
            idle_bytes = resident_bytes(pid)
            seconds, head_seq = uvloop.run(first_welcome(f"ws://127.0.0.1:{port}/ws/{ROOM}"))
            opened_bytes = resident_bytes(pid)
    assert head_seq == nodes
    return {
        "open_seconds": seconds,
        "process_start_seconds": answering,
        "nodes": nodes,
        "resident_bytes_a_node": (opened_bytes - idle_bytes) / nodes,
        "idle_mebibytes": idle_bytes / (1 << 20),
        "opened_mebibytes": opened_bytes / (1 << 20),
    }


TYPED = "roomlog, packs of one node"
BULK = "roomlog, packs of 4,096 nodes"
SIDES = {
    TYPED: lambda: measure(1),
    BULK: lambda: measure(BULK_PACK_NODES),
    f"{TYPED}, pure": lambda: measure(1),
}
CLAIMS = [
    Claim(
        "seconds from dialling to the welcome of a room of 260,000 nodes, typed one by one",
        (TYPED, "open_seconds"),
        None,
        at_most=1.0,
    ),
    Claim("the same room, come in bulk", (BULK, "open_seconds"), None, at_most=1.0),
    Claim("resident bytes a node, typed one by one", (TYPED, "resident_bytes_a_node"), None),
]

if __name__ == "__main__":
    main("open_room", "Opening a room of 260,000 nodes", SIDES, CLAIMS)
