"""`roomlog room`: what rooms a store holds, and what to do with one."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from roomlog.cli import refound, snapshot
from roomlog.cli.failure import Failure
from roomlog.cli.options import JsonOption, StoreOption
from roomlog.cli.output import fields, line, print_json, table, time_text

if TYPE_CHECKING:
    from roomlog.store.interface import StoredRoom

app = typer.Typer(help="Look at the rooms of a store, and look after one.")
app.command("snapshot")(snapshot.snapshot)
app.command("refound")(refound.refound)


@app.command("list")
def list_rooms(store: StoreOption, json: JsonOption = False) -> None:
    """List every room with the head of its log. Writes nothing; works beside a server."""
    from roomlog.store.sqlite import SqliteStore

    opened = SqliteStore.open_read_only(store)
    try:
        rooms = opened.rooms()
    finally:
        opened.close()
    if json:
        print_json([_values(room) for room in rooms])
    elif not rooms:
        line(f"the store {store} holds no room yet")
    else:
        table(
            ("ROOM", "SEQ", "CREATED"),
            [(room.room_id, room.head_seq, time_text(room.created_ms)) for room in rooms],
        )


@app.command()
def show(
    room: Annotated[str, typer.Argument(help="The room's id.", metavar="ROOM")],
    store: StoreOption,
    json: JsonOption = False,
) -> None:
    """Show one room: lineage, epoch, head, frontier, authors, snapshots, reconcile windows."""
    from roomlog.core.graph import Graph
    from roomlog.core.node import NodeHasher
    from roomlog.core.pack import decode_pack
    from roomlog.store.sqlite import SqliteStore

    opened = SqliteStore.open_read_only(store)
    try:
        found = opened.open_room(room)
        if found is None:
            raise Failure(f"ROOM: there is no room {room} (see: roomlog room list --store {store})")
        graph, hasher = Graph(), NodeHasher(found.lineage)
        authors: set[bytes] = set()
        pack_bytes = seq = 0
        while page := opened.read_log(room, seq, 4_096):
            for row in page:
                pack_bytes += len(row.pack)
                for node in decode_pack(row.pack, hasher):
                    authors.add(node.author)
                    graph.add(node.id, node.author, node.clock, node.parents)
            seq = page[-1].to_seq
        last_ms = max((each.admitted_ms for each in opened.admissions(room)), default=None)
        snapshots = [each.seq for each in opened.newest_snapshots(room)]
        windows = opened.reconcile_windows(room)
    finally:
        opened.close()
    values = {
        **_values(found),
        "frontier": [node_id.hex() for node_id in graph.frontier_ids()],
        "authors": sorted(author.hex() for author in authors),
        "pack_bytes": pack_bytes,
        "last_admitted_ms": last_ms,
        "snapshots": snapshots,
        "reconcile_windows": [
            {
                "lost_epoch": each.lost_epoch.hex(),
                "head_seq": each.head_seq,
                "checkpoint_seq": each.checkpoint_seq,
                "opened_ms": each.opened_ms,
                "closes_ms": each.closes_ms,
            }
            for each in windows
        ],
    }
    if json:
        print_json(values)
        return
    values["created"] = time_text(found.created_ms)
    values["last admitted"] = "never" if last_ms is None else time_text(last_ms)
    for name in ("frontier", "authors"):
        values[name] = " ".join(values[name]) or "none"  # type: ignore[arg-type]
    values["snapshots"] = ", ".join(f"at seq {seq}" for seq in snapshots) or "none"
    del values["reconcile_windows"]
    for each in windows:
        values[f"lost log {each.lost_epoch.hex()[:8]}"] = (
            f"known up to seq {each.checkpoint_seq}, here was {each.head_seq}; "
            f"taken back until {time_text(each.closes_ms)}"
        )
    fields({k: v for k, v in values.items() if k not in ("created_ms", "last_admitted_ms")})


def _values(room: StoredRoom) -> dict[str, object]:
    return {
        "room": room.room_id,
        "lineage": room.lineage.hex(),
        "epoch": room.epoch.hex(),
        "seq": room.head_seq,
        "created_ms": room.created_ms,
    }
