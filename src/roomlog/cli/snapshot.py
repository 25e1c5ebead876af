"""`roomlog room snapshot`: take a snapshot of a room while no server runs."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Annotated

import typer

from roomlog.cli.failure import Failure
from roomlog.cli.options import JsonOption, StoreOption
from roomlog.cli.output import fields, line, print_json


def snapshot(
    room: Annotated[str, typer.Argument(help="The room's id.", metavar="ROOM")],
    store: StoreOption,
    margin: Annotated[
        int,
        typer.Option("--margin", metavar="NODES", min=0, help="How far below the head to look."),
    ] = 64,
    json: JsonOption = False,
) -> None:
    """Take a snapshot of a room, so that joiners need not replay it. Stop the server first."""
    from roomlog.identity import Identity
    from roomlog.server.history import load_graph
    from roomlog.server.replay_work import Replay
    from roomlog.server.snapshots import load_snapshots
    from roomlog.server.worker_frames import ReplayTask
    from roomlog.store.interface import StoredSnapshot, snapshot_chunks
    from roomlog.store.sqlite import SqliteStore

    _require(store)
    now_ms = time.time_ns() // 1_000_000
    opened = SqliteStore.open(store, store_id=bytes(16), now_ms=now_ms)
    try:
        found = opened.open_room(room)
        if found is None:
            raise Failure(f"ROOM: there is no room {room} (see: roomlog room list --store {store})")
        identity = Identity.load(opened.key_path)
        known = load_snapshots(opened, found, load_graph(opened, found), 0.0)
        newest = known.newest()
        base_seq = 0 if newest is None else newest.seq
        task = ReplayTask(
            "snapshot",
            str(store),
            room,
            identity.public_key,
            found.head_seq,
            base_seq,
            base_seq + 1,
            found.head_seq - margin,
        )
        taken = Replay(opened, task).take_snapshot()
        if taken is None:
            raise Failure(
                f"room {room}: no place between seq {base_seq + 1} and {found.head_seq - margin} "
                "is in the history of everything later"
            )
        opened.drop_snapshots(room, known.useless())
        for number, chunk in enumerate(snapshot_chunks(taken.data)):
            opened.write_snapshot_chunks(room, taken.seq, number, [chunk])
        stored = StoredSnapshot(
            taken.seq,
            now_ms,
            taken.frontier_pack,
            taken.state_hash,
            taken.digest,
            taken.sign(identity),
            len(taken.data),
        )
        opened.finish_snapshot(room, stored)
    finally:
        opened.close()
    values = {
        "room": room,
        "seq": stored.seq,
        "head_seq": found.head_seq,
        "size_bytes": stored.size_bytes,
        "state_hash": stored.state_hash.hex(),
    }
    if json:
        print_json(values)
    else:
        fields(values)
        line("joiners read the rest of the log from there")


def _require(store: Path) -> None:
    from roomlog.store.errors import StoreNotFound
    from roomlog.store.sqlite.directory import StoreDirectory

    if not StoreDirectory(store).database.exists():
        raise StoreNotFound(f"there is no store at {store}")
