"""Checkpoints: the server's word on how far a log had come, and what it proves later.

A server that was restored from an older copy cannot know what it lost. Its own signature, shown by
a client that was there, is evidence; a client's claim is not, and changes nothing.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Final, final

from roomlog.core.signing import Purpose, Signer, verify
from roomlog.protocol.messages import Checkpoint, SignedCheckpoint
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


@final
class Checkpoints:
    """Those one live session gets: one an interval in which the log has grown.

    `seq` is where the log stood when the session last heard of it, at `now_ms`.
    """

    __slots__ = ("_at_ms", "_interval_ms", "_seq")

    def __init__(self, seq: int, now_ms: int, *, interval_ms: int) -> None:
        self._seq = seq
        self._at_ms = now_ms
        self._interval_ms = interval_ms

    def due(self, room: RoomFacts, now_ms: int) -> Checkpoint | None:
        """The one to send at `now_ms`, if any."""
        if now_ms - self._at_ms < self._interval_ms:
            return None
        self._at_ms = now_ms
        return self.newest(room)

    def newest(self, room: RoomFacts) -> Checkpoint | None:
        """The log as it stands, unless the session has heard of that."""
        seq = room.head_seq
        signature = room.checkpoint_signature() if seq > self._seq else None
        if signature is None:
            return None
        self._seq = seq
        return Checkpoint(
            lineage=room.lineage,
            epoch=room.epoch,
            seq=seq,
            frontier=room.frontier_ids(),
            signature=signature,
        )
