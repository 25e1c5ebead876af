"""Where two logs of one lineage part, found by comparing ids at a few numbers."""

from __future__ import annotations

import itertools
from typing import Final

from roomlog.protocol.refusals import field_reject
from roomlog.protocol.room_facts import RoomFacts

PREFIX_BYTES: Final = 8
"""How much of an id is compared: nobody makes a node whose id begins as wished."""


def cut_of(have: list[tuple[int, bytes]], room: RoomFacts, most_pairs: int) -> int:
    """The greatest seq of `have` at which `room` has a node whose id begins so, 0 for none.

    `have` is pairs of seq and the first 8 bytes of the id there, ascending or descending by seq.
    Raises `Reject` (invalid_field): too many, in no order, or a seq of 0, where no node is.
    """
    if len(have) > most_pairs:
        raise field_reject("have", f"more than {most_pairs} pairs")
    seqs = [seq for seq, _ in have]
    steps = [later - earlier for earlier, later in itertools.pairwise(seqs)]
    if not (all(step > 0 for step in steps) or all(step < 0 for step in steps)):
        raise field_reject("have", "neither ascending nor descending by seq")
    if 0 in seqs:
        raise field_reject("have", "no node has seq 0")
    head_seq = room.head_seq
    held = [
        seq for seq, prefix in have if seq <= head_seq and room.id_at(seq)[:PREFIX_BYTES] == prefix
    ]
    return max(held, default=0)
