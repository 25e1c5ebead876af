"""The history of a room, from wherever it is kept."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Final, final

from roomlog.cli.failure import Failure, UsageFailure
from roomlog.cli.output import steps
from roomlog.core.node import Node, NodeHasher

URL_SCHEMES: Final = ("ws://", "wss://", "http://", "https://")
PACK_FILE_MAGIC: Final = b"RLPK"
SQLITE_MAGIC: Final = b"SQLite format 3\0"
PAGE_NODES: Final = 4_096
NAMELESS_ROOM: Final = "unnamed"
OFFLINE_POLL_S: Final = 0.05


@final
class History:
    """Nodes of one room, parents first.

    `is_log` says that the nodes are the server's log: the node at index i has seq i + 1.
    `admissions` are (last seq, time in ms), only where the server keeps them.
    """

    def __init__(
        self,
        source: str,
        room_id: str,
        lineage: bytes,
        nodes: list[Node],
        *,
        is_log: bool,
        admissions: list[tuple[int, int]] | None = None,
    ) -> None:
        self.source = source
        self.room_id = room_id
        self.lineage = lineage
        self.nodes = nodes
        self.is_log = is_log
        self.admissions = admissions


def load_history(source: str, room_id: str | None, timeout_s: float) -> History:
    """Read a store directory, a pack file, a client's local store, or a room behind a URL.

    Raises `Failure`, and what the thing at `source` raises.
    """
    if source.lower().startswith(URL_SCHEMES):
        if room_id is None:
            raise UsageFailure("--room is missing: a URL names a server, not a room")
        return asyncio.run(_from_url(source, room_id, timeout_s))
    path = Path(source)
    if path.is_dir():
        return _from_store(path, room_id)
    try:
        with path.open("rb") as file:
            magic = file.read(len(SQLITE_MAGIC))
    except FileNotFoundError:
        raise Failure(
            f"SOURCE: there is no {source}; give a store directory, a pack file, a client's local "
            "store, or a ws:// URL"
        ) from None
    if magic.startswith(PACK_FILE_MAGIC):
        return _from_pack_file(path, room_id)
    if magic == SQLITE_MAGIC:
        return _from_local_store(path, room_id)
    raise Failure(f"SOURCE: {source} is neither a pack file nor a client's local store")


def _from_store(path: Path, room_id: str | None) -> History:
    from roomlog.core.pack import decode_pack
    from roomlog.store.sqlite import SqliteStore

    store = SqliteStore.open_read_only(path)
    try:
        if room_id is None:
            rooms = store.rooms()
            if len(rooms) != 1:
                names = ", ".join(room.room_id for room in rooms[:8]) or "none"
                raise UsageFailure(
                    f"--room is missing: the store holds {len(rooms)} rooms ({names})"
                )
            room_id = rooms[0].room_id
        room = store.open_room(room_id)
        if room is None:
            raise Failure(
                f"--room: there is no room {room_id} (see: roomlog room list --store {path})"
            )
        hasher = NodeHasher(room.lineage)
        nodes: list[Node] = []
        seq = 0
        with steps("reading", room.head_seq) as progress:
            # A running server may append meanwhile: the log up to the head that was found.
            while seq < room.head_seq:
                for row in store.read_log(room_id, seq, PAGE_NODES):
                    if row.from_seq <= room.head_seq:
                        nodes += decode_pack(row.pack, hasher)
                        seq = row.to_seq
                        progress.advance(row.to_seq - row.from_seq + 1)
        admissions = [
            (record.to_seq, record.admitted_ms)
            for record in store.admissions(room_id)
            if record.to_seq <= seq
        ]
    finally:
        store.close()
    return History(str(path), room_id, room.lineage, nodes, is_log=True, admissions=admissions)


def _from_pack_file(path: Path, room_id: str | None) -> History:
    from roomlog.core.pack import decode_pack, read_pack_file

    lineage, packs = read_pack_file(path.read_bytes())
    hasher = NodeHasher(lineage)
    nodes = [node for pack in packs for node in decode_pack(pack, hasher)]
    return History(str(path), room_id or NAMELESS_ROOM, lineage, nodes, is_log=False)


def _from_local_store(path: Path, room_id: str | None) -> History:
    from roomlog.client.local_store import read_nodes
    from roomlog.store.sqlite.directory import DATABASE_NAME

    if path.name == DATABASE_NAME:
        raise UsageFailure(f"SOURCE: give the store's directory, {path.parent}, not the file in it")
    stored_id, lineage, nodes = read_nodes(path)
    if room_id is not None and room_id != stored_id:
        raise Failure(f"--room: {path} holds the room {stored_id}, not {room_id}")
    return History(str(path), stored_id, lineage, nodes, is_log=False)


async def _from_url(url: str, room_id: str, timeout_s: float) -> History:
    from roomlog.client.connect import connect
    from roomlog.protocol.capabilities import CAPABILITIES

    # All of it, from the first node on, and nothing on the server's word.
    ways = [row.name for row in CAPABILITIES if row.name != "snapshot_join"]
    async with connect(url, room=room_id, verify="all", capabilities=ways) as document:
        agreed = asyncio.ensure_future(document.synced(timeout_s))
        try:
            while not agreed.done():
                await asyncio.wait([agreed], timeout=OFFLINE_POLL_S)
                problem = document.status.problem
                if problem is not None and not agreed.done():
                    raise Failure(f"SOURCE: {url}: {problem}")
            await agreed
        except TimeoutError:
            raise Failure(
                f"SOURCE: {url} did not answer within {timeout_s:g} s (--timeout)"
            ) from None
        finally:
            agreed.cancel()
        replica = document.replica
        # A reader that brought nothing has received the log from its first node on, in order.
        return History(url, room_id, replica.lineage, list(replica.nodes()), is_log=True)
