"""Checkpoints: the server's word on how far a log had come, and what it proves later.

A server that was restored from an older copy cannot know what it lost. Its own signature, shown by
a client that was there, is evidence; a client's claim is not, and changes nothing.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Final

from roomlog.core.signing import Purpose, Signer, verify
from roomlog.protocol.messages import SignedCheckpoint
from roomlog.protocol.room_facts import RoomFacts

MOST_FRONTIER_IDS: Final = 1024
"""A log with more heads has no checkpoint: no hello could show it."""


def checkpoint_payload(
    *, lineage: bytes, epoch: bytes, seq: int, frontier: Sequence[bytes]
) -> bytes:
    """What is signed: lineage, epoch, seq u64, frontier count u16, frontier ids, ascending."""
    ordered = sorted(frontier)
    return b"".join(
        (lineage, epoch, seq.to_bytes(8, "big"), len(ordered).to_bytes(2, "big"), *ordered)
    )


def sign_checkpoint(
    signer: Signer, *, lineage: bytes, epoch: bytes, seq: int, frontier: Sequence[bytes]
) -> bytes | None:
    """The 64-byte signature over the payload of these facts, None if the frontier is too wide."""
    if len(frontier) > MOST_FRONTIER_IDS:
        return None
    payload = checkpoint_payload(lineage=lineage, epoch=epoch, seq=seq, frontier=frontier)
    return signer.sign(Purpose.CHECKPOINT, payload)


def check_checkpoint(server_key: bytes, checkpoint: SignedCheckpoint) -> bool:
    """Whether the server of this key said so, with its frontier ascending, each id once."""
    frontier = checkpoint.frontier
    if any(left >= right for left, right in itertools.pairwise(frontier)):
        return False
    payload = checkpoint_payload(
        lineage=checkpoint.lineage,
        epoch=checkpoint.epoch,
        seq=checkpoint.seq,
        frontier=frontier,
    )
    return verify(server_key, Purpose.CHECKPOINT, payload, checkpoint.signature)


def is_log_lost(checkpoint: SignedCheckpoint, room: RoomFacts) -> bool:
    """Whether `room` lacks what a checkpoint with its server's own signature says it had.

    One of another lineage is about another room, and says nothing of this one.
    """
    return checkpoint.lineage == room.lineage and not all(map(room.knows, checkpoint.frontier))
