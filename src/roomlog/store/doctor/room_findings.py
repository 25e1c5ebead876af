"""What is wrong with one room, from what would be made of it."""

from __future__ import annotations

from typing import Final

from roomlog.store.doctor.finding import Finding, damage
from roomlog.store.doctor.mending import MendedRoom

REPAIR: Final = "Stop the server and run: roomlog doctor --repair --store DIR"
RANGES_SHOWN: Final = 4
TAKE_BACK: Final = (
    "A repair gives the room a new epoch and asks its clients for what is lacking; each brings "
    "back what it holds."
)


def room_findings(mended: MendedRoom) -> list[Finding]:
    """One finding for each kind of thing that is wrong with it; none for a room that is whole."""
    if not mended.is_named:
        return [_unnamed(mended)]
    findings: list[Finding] = []
    room = mended.room_id
    if not mended.is_row_whole:
        findings.append(
            damage(
                "room_row_damaged",
                "The row of this room is gone; its name, lineage and log are known from others.",
                lost="Its epoch, and when it was created.",
                remedy=f"{TAKE_BACK} {REPAIR}",
                room=room,
            )
        )
    if mended.head_seq < mended.old_head_seq:
        findings.append(_log_lost(mended))
    elif mended.written_head_seq < mended.head_seq and mended.is_row_whole:
        findings.append(
            damage(
                "head_behind",
                f"The room's head is written as seq {mended.written_head_seq}, and its log is "
                f"whole up to seq {mended.head_seq}.",
                remedy=f"A repair corrects the head. {REPAIR}",
                room=room,
            )
        )
    if mended.rows_corrected:
        findings.append(
            damage(
                "log_numbers_damaged",
                f"{mended.rows_corrected} packs are filed under a wrong room or seq; their "
                "admission records tell the right ones.",
                remedy=f"A repair corrects them. {REPAIR}",
                room=room,
            )
        )
    if mended.admissions_made:
        findings.append(
            damage(
                "admission_damaged",
                f"The admission records of {mended.admissions_made} packs are missing or damaged; "
                "the packs are whole.",
                lost="Who submitted these packs, and exactly when.",
                remedy=f"A repair writes records without a submitter. {REPAIR}",
                room=room,
            )
        )
    if mended.chain.made:
        findings.append(
            damage(
                "epochs_damaged",
                "The windows that say when the room changed its epoch do not fit its log any more.",
                lost="Which nodes had been lost and asked for before.",
                remedy=f"A repair writes them anew from the admission records. {REPAIR}",
                room=room,
            )
        )
    if mended.snapshots_left_out:
        findings.append(
            damage(
                "snapshot_damaged",
                f"{mended.snapshots_left_out} snapshots are not whole, or of a part that is gone.",
                remedy=f"A repair drops them; the server takes another when it is due. {REPAIR}",
                room=room,
            )
        )
    return findings


def _log_lost(mended: MendedRoom) -> Finding:
    behind = mended.moved_nodes + mended.aside_nodes
    code = "log_gap" if behind else "log_cut_short"
    meaning = f"The log is whole up to seq {mended.head_seq} of {mended.old_head_seq}."
    if behind:
        meaning += (
            f" Behind the gap {behind} nodes are whole: {mended.moved_nodes} build on nothing that "
            f"is missing, {mended.aside_nodes} do."
        )
    lost = [each for each in mended.stretches if each.fate == "lost"]
    shown = ", ".join(
        f"{each.first}" if each.first == each.last else f"{each.first} to {each.last}"
        for each in lost[:RANGES_SHOWN]
    )
    more = f" and {len(lost) - RANGES_SHOWN} more stretches" if len(lost) > RANGES_SHOWN else ""
    return damage(
        code,
        meaning,
        lost=f"Here, nodes of seq {shown}{more}; clients may have them." if lost else "",
        remedy=f"{TAKE_BACK} What cannot go on in the log is kept as a pack file. {REPAIR}",
        room=mended.room_id,
    )


def _unnamed(mended: MendedRoom) -> Finding:
    name = mended.room_id or f"number {mended.number}"
    known = "its lineage" if mended.lineage else "nothing but its name" if mended.room_id else "no"
    return damage(
        "room_unknown",
        f"Of the room {name} the row is gone, and {known} name or lineage is known; "
        f"{mended.aside_nodes + mended.moved_nodes + mended.head_seq} of its nodes are whole.",
        lost="The room itself.",
        remedy="A repair keeps its nodes as a pack file. Found the room again from its clients: "
        f"roomlog room refound. {REPAIR}",
        room=mended.room_id,
    )
