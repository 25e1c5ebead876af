"""`roomlog doctor`: say what is wrong with a store, and make it whole as far as it can be."""

from __future__ import annotations

import secrets
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from roomlog.cli.failure import FAILED, UsageFailure
from roomlog.cli.options import JsonOption
from roomlog.cli.output import counted, line, print_json, remark

if TYPE_CHECKING:
    from collections.abc import Sequence

    from roomlog.store.doctor.examination import Examination, RoomPicture
    from roomlog.store.doctor.finding import Finding
    from roomlog.store.doctor.mending import Stretch
    from roomlog.store.doctor.repair import Repair

PICTURE_CELLS: Final = 48
PICTURE: Final = {"kept": "█", "moved": "▓", "aside": "▒", "lost": "·"}
"""How each fate of a stretch is drawn; where several share a cell the last of these wins."""


def doctor(
    store: Annotated[
        Path | None,
        typer.Option(
            "--store", metavar="DIR", help="Store directory of a server.", show_default=False
        ),
    ] = None,
    *,
    client: Annotated[
        Path | None,
        typer.Option(
            "--client", metavar="FILE", help="Local store of a client.", show_default=False
        ),
    ] = None,
    do_repair: Annotated[
        bool,
        typer.Option("--repair", help="Mend what can be mended. Nobody may have the store open."),
    ] = False,
    backup: Annotated[
        Path | None,
        typer.Option(
            "--backup",
            metavar="DIR",
            show_default=False,
            help="Where --repair copies the store to before it changes anything; by default beside "
            "it.",
        ),
    ] = None,
    json: JsonOption = False,
) -> None:
    """Explain what is wrong with a store; with --repair, mend it.

    Looking changes nothing and works beside a server. A healthy store is never touched. Exit 0:
    healthy; 1: something was found (with --repair: is left); 2: it cannot be looked at.
    """
    if (store is None) == (client is None):
        raise UsageFailure("give either --store DIR or --client FILE")
    if backup is not None and not do_repair:
        raise UsageFailure("--backup: nothing is copied without --repair")
    if client is not None:
        from roomlog.cli.doctor_client import doctor_client

        doctor_client(client, do_repair=do_repair, backup=backup, as_json=json)
        return
    assert store is not None
    if do_repair:
        _repair(store, backup, as_json=json)
    else:
        _look(store, as_json=json)


def _look(store: Path, *, as_json: bool) -> None:
    found = _examined(store)
    if as_json:
        print_json(_values(found))
    else:
        _print(found)
    if not found.is_healthy:
        raise typer.Exit(FAILED)


def _repair(store: Path, backup: Path | None, *, as_json: bool) -> None:
    from roomlog.protocol.limits import DEFAULT_LIMITS
    from roomlog.store.doctor.repair import repair

    _examined(store)
    done = repair(
        store,
        backup=default_backup(store) if backup is None else backup,
        now_ms=time.time_ns() // 1_000_000,
        window_ms=DEFAULT_LIMITS.reconcile_window_ms,
        fresh_bytes=secrets.token_bytes,
    )
    if as_json:
        print_json({**_values(done.after), "repair": _repair_values(done)})
    else:
        _print_repair(done)
    if not done.after.is_healthy:
        raise typer.Exit(FAILED)


def default_backup(store: Path) -> Path:
    """Beside the store, with the time in its name."""
    moment = datetime.now(UTC).strftime("%Y%m%dT%H%M%S%fZ")
    store = store.absolute()
    return store.with_name(f"{store.name}.before-repair-{moment}")


def print_findings(findings: Sequence[Finding]) -> None:
    """Each with its code and severity first, then sentences."""
    for each in findings:
        about = f" room {each.room}" if each.room else ""
        line(f"{each.severity.value}: {each.code}{about}")
        line(f"  {each.meaning}")
        if each.lost:
            line(f"  Lost: {each.lost}")
        line(f"  {each.remedy}")


def finding_values(findings: Sequence[Finding]) -> list[dict[str, Any]]:
    """Findings as JSON shows them."""
    return [
        {
            "code": each.code,
            "severity": each.severity.value,
            "room": each.room or None,
            "meaning": each.meaning,
            "lost": each.lost or None,
            "remedy": each.remedy,
            "is_repairable": each.is_repairable,
        }
        for each in findings
    ]


def _examined(store: Path) -> Examination:
    """A look at the store. Raises `UsageFailure` when there is nothing to look at."""
    from roomlog.store.doctor.examination import examine
    from roomlog.store.errors import StoreError

    try:
        return examine(store)
    except (StoreError, OSError) as error:
        raise UsageFailure(f"--store: it cannot be looked at: {error}") from error


def _print(found: Examination) -> None:
    if found.holder is not None:
        who = "a process" if found.holder.pid is None else f"process {found.holder.pid}"
        remark(f"{who} has the store open")
    print_findings(found.findings)
    if found.is_healthy:
        nodes = sum(room.head_seq for room in found.rooms)
        line(
            f"healthy: {counted(nodes, 'node')} in {counted(len(found.rooms), 'room')}, everything "
            "is what was written"
        )
        return
    damaged = [room for room in found.rooms if _is_torn(room)]
    if damaged:
        line("")
        width = max(len(room.room_id) for room in damaged)
        for room in damaged:
            bar = picture_of(room.head_seq, room.stretches)
            line(f"{room.room_id:<{width}}  {bar}  seq 1 to {room.head_seq}")
        line("█ whole  ▓ whole, behind a gap  ▒ whole, without what it builds on  · gone")
    whole = len(found.rooms) - len(damaged)
    line(f"{counted(whole, 'room')} whole, {len(damaged)} not")


def _is_torn(room: RoomPicture) -> bool:
    return any(each.fate != "kept" for each in room.stretches)


def picture_of(head_seq: int, stretches: Sequence[Stretch]) -> str:
    """A line of at most 48 cells for seq 1 to `head_seq`; each shows the worst of its part."""
    cells = min(PICTURE_CELLS, max(head_seq, 1))
    order = list(PICTURE)
    worst = [0] * cells
    for each in stretches:
        first = (each.first - 1) * cells // max(head_seq, 1)
        last = (each.last - 1) * cells // max(head_seq, 1)
        for cell in range(max(0, first), min(cells - 1, last) + 1):
            worst[cell] = max(worst[cell], order.index(each.fate))
    return "".join(PICTURE[order[each]] for each in worst)


def _print_repair(done: Repair) -> None:
    if not done.done:
        if done.before.is_healthy:
            line("healthy: there is nothing to repair, and nothing was touched")
            return
        line("nothing of this can be repaired, and nothing was touched")
    for sentence in done.done:
        line(sentence)
    for path in done.saved:
        line(f"saved {path}")
    if done.after.is_healthy:
        line("the store is whole: everything in it is proven")
    else:
        _print(done.after)


def _repair_values(done: Repair) -> dict[str, Any]:
    return {
        "found": finding_values(done.before.findings),
        "done": list(done.done),
        "backup": done.backup or None,
        "saved": list(done.saved),
    }


def _values(found: Examination) -> dict[str, Any]:
    return {
        "store": found.path,
        "healthy": found.is_healthy,
        "in_use": found.holder is not None,
        "in_use_by": None if found.holder is None else found.holder.pid,
        "findings": finding_values(found.findings),
        "rooms": [
            {
                "room": room.room_id,
                "head_seq": room.head_seq,
                "stretches": [
                    {"first": each.first, "last": each.last, "fate": each.fate}
                    for each in room.stretches
                ],
            }
            for room in found.rooms
        ],
    }
