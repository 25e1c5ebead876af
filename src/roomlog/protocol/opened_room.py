"""What a welcome settles for its session: the log it is about, and how much may be pushed."""

from __future__ import annotations

from typing import Final, final

from roomlog.protocol.capabilities import Offer
from roomlog.protocol.checkpoint import MOST_FRONTIER_IDS, check_checkpoint
from roomlog.protocol.client_events import (
    CheckpointReceived,
    ClientEvent,
    MissingAsked,
    PeerCame,
    broken,
)
from roomlog.protocol.codec import Codec
from roomlog.protocol.limits import SessionLimits
from roomlog.protocol.messages import Checkpoint, SignedCheckpoint, Welcome
from roomlog.protocol.push_queue import PushQueue

_ENVELOPE_BYTES: Final = 256
"""More than a frame takes beside `pack.nodes`."""


@final
class OpenedRoom:
    """The log of one session, and the server that vouches for it."""

    def __init__(self, welcome: Welcome, server_key: bytes, *, is_proven: bool) -> None:
        self.lineage = welcome.lineage
        self.epoch = welcome.epoch
        self.takes_any_author = welcome.missing is not None
        """Whether the server lost history and takes it from whoever holds it."""
        self._server_key = server_key
        self._is_proven = is_proven

    def first_news(self, welcome: Welcome, *, hears_peers: bool) -> list[ClientEvent]:
        """What the welcome says beside how its log stands. Raises `ServerFault`."""
        events: list[ClientEvent] = []
        if welcome.checkpoint is not None:
            events += self._keep(welcome.seq, welcome.frontier, welcome.checkpoint)
        if welcome.missing is not None:
            events.append(MissingAsked(welcome.missing.epoch, welcome.missing.seq))
        if hears_peers:
            events += [PeerCame(peer) for peer in welcome.peers]
        return events

    def take_checkpoint(self, checkpoint: Checkpoint) -> list[ClientEvent]:
        """A checkpoint of this log, to be kept. Raises `ServerFault` for any other."""
        if checkpoint.lineage != self.lineage or checkpoint.epoch != self.epoch:
            raise broken("checkpoint", "of another log")
        return self._keep(checkpoint.seq, checkpoint.frontier, checkpoint.signature)

    def _keep(self, seq: int, frontier: list[bytes], signature: bytes) -> list[ClientEvent]:
        if not self._is_proven or len(frontier) > MOST_FRONTIER_IDS:
            # Whose word it is, is not known, or no hello could show it.
            return []
        checkpoint = SignedCheckpoint(
            lineage=self.lineage,
            epoch=self.epoch,
            seq=seq,
            frontier=frontier,
            signature=signature,
        )
        if not check_checkpoint(self._server_key, checkpoint):
            raise broken("checkpoint", "this server did not sign it")
        return [CheckpointReceived(checkpoint)]


def opened_queue(welcome: Welcome, caps: Offer, limits: SessionLimits, codec: Codec) -> PushQueue:
    """The queue for what is pushed, bound by the limits of both sides.

    A client that offers no limits of its own still keeps within the server's.
    """
    frame_key = "frame_json_bytes" if codec.is_text else "frame_bytes"
    frame_bytes = _smallest(
        limits.frame_limit(codec.subprotocol),
        caps.get("max_frame_bytes"),
        welcome.limits.get(frame_key),
    )
    payload_bytes = frame_bytes - _ENVELOPE_BYTES
    if codec.is_text:
        payload_bytes = payload_bytes // 4 * 3
    pack_nodes = _smallest(
        limits.pack_nodes, caps.get("max_pack_nodes"), welcome.limits.get("pack_nodes")
    )
    queue = PushQueue(pack_nodes, payload_bytes)
    queue.grant(welcome.credit.nodes, welcome.credit.bytes)
    return queue


def most_frontier_ids(welcome: Welcome, limits: SessionLimits) -> int:
    """How many ids one request may name; never so few that a walk could not go on."""
    return max(2, _smallest(limits.frontier_ids, welcome.limits.get("frontier_ids")))


def _smallest(ours: int, *theirs: object) -> int:
    return min([ours, *(each for each in theirs if isinstance(each, int))])
