"""`roomlog verify`: recompute everything in a store."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Annotated

import typer

from roomlog.cli.failure import FAILED, Failure
from roomlog.cli.options import JsonOption, RoomOption, StoreOption
from roomlog.cli.output import Steps, counted, line, print_json, steps

if TYPE_CHECKING:
    from roomlog.store.interface import StoredRoom
    from roomlog.store.signature_check import SignatureCheck
    from roomlog.store.sqlite import SqliteStore
    from roomlog.store.verification import RoomReport, StoreFault

MOST_PROCESSES = 2


def verify(
    store: StoreOption,
    room: RoomOption = None,
    processes: Annotated[
        int | None,
        typer.Option(
            "--processes",
            min=0,
            max=64,
            metavar="N",
            show_default=False,
            help="Processes that check signatures; by default as many as are worth it.",
        ),
    ] = None,
    json: JsonOption = False,
) -> None:
    """Recompute every hash, signature, parent, clock, seq and admission record of a store.

    Works beside a running server and writes nothing. Exit 1 names the first node that is wrong.
    """
    from roomlog.store.signature_check import NODES_WORTH_A_PROCESS, SignatureCheck
    from roomlog.store.sqlite import SqliteStore
    from roomlog.store.verification import StoreFault

    opened = SqliteStore.open_read_only(store)
    try:
        opened.check()
        rooms = _rooms(opened, room)
        nodes = sum(each.head_seq for each in rooms)
        if processes is None:
            worth = nodes // NODES_WORTH_A_PROCESS
            processes = min(worth, MOST_PROCESSES, os.cpu_count() or 1)
        reports: list[RoomReport] = []
        fault: StoreFault | None = None
        with SignatureCheck(processes) as signatures, steps("verifying", nodes) as progress:
            for each in rooms:
                found = _verified(opened, each, signatures, progress)
                if isinstance(found, StoreFault):
                    fault = found
                    break
                reports.append(found)
    finally:
        opened.close()
    if json:
        print_json(_values(reports, fault))
    elif fault is None:
        _print(reports)
    if fault is not None:
        if json:
            raise typer.Exit(FAILED)
        where = f"seq {fault.seq}" if fault.seq else "the room"
        node = f" node {fault.node_id.hex()}" if fault.node_id else ""
        raise Failure(f"room {fault.room_id}, {where}{node}: {fault.fault_class}: {fault.message}")


def _rooms(store: SqliteStore, room_id: str | None) -> list[StoredRoom]:
    if room_id is None:
        return store.rooms()
    room = store.open_room(room_id)
    if room is None:
        raise Failure(f"--room: there is no room {room_id} (see: roomlog room list)")
    return [room]


def _verified(
    store: SqliteStore, room: StoredRoom, signatures: SignatureCheck, progress: Steps
) -> RoomReport | StoreFault:
    """The report of a room, or the first fault in the order of its log."""
    from roomlog.core.reject import RejectClass
    from roomlog.store.verification import FaultFound, StoreFault, verify_room

    outcome: RoomReport | StoreFault
    try:
        outcome = verify_room(store, room, on_signed=signatures.add, on_nodes=progress.advance)
    except FaultFound as found:
        outcome = found.fault
    invalid = signatures.finish()
    if invalid is None:
        return outcome
    # What was given to be checked lies before any other fault.
    seq, node_id = invalid
    message = "its signature is not its author's"
    return StoreFault(room.room_id, seq, node_id, RejectClass.SIGNATURE_INVALID.wire, message)


def _print(reports: list[RoomReport]) -> None:
    for report in reports:
        line(
            f"{report.room_id}: {counted(report.nodes, 'node')} in {counted(report.packs, 'pack')} "
            f"({report.pack_bytes} bytes) by {counted(report.authors, 'author')}, "
            f"{counted(report.admission_records, 'admission record')}, "
            f"{counted(len(report.frontier), 'head')}, "
            f"{counted(report.snapshots, 'snapshot')}"
        )
    nodes = counted(sum(report.nodes for report in reports), "node")
    rooms = counted(len(reports), "room")
    line(f"verified {nodes} in {rooms}: every hash, signature and seq is right")


def _values(reports: list[RoomReport], fault: StoreFault | None) -> dict[str, object]:
    return {
        "ok": fault is None,
        "rooms": [
            {
                "room": report.room_id,
                "lineage": report.lineage.hex(),
                "nodes": report.nodes,
                "packs": report.packs,
                "pack_bytes": report.pack_bytes,
                "authors": report.authors,
                "admission_records": report.admission_records,
                "frontier": [node_id.hex() for node_id in report.frontier],
                "snapshots": report.snapshots,
            }
            for report in reports
        ],
        "first_fault": None
        if fault is None
        else {
            "room": fault.room_id,
            "seq": fault.seq,
            "id": fault.node_id.hex(),
            "class": fault.fault_class,
            "message": fault.message,
        },
    }
