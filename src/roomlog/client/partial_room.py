"""A room of which not all is here: a snapshot stands for older history, or keys are left out.

Both end in the same way: what is missing comes in beside what is read, and then takes its place.
"""

from __future__ import annotations

from collections.abc import Sequence

from roomlog.client.changes import RESYNC, Origin
from roomlog.client.older_history import OlderHistory
from roomlog.client.own_writing import OwnWriting
from roomlog.client.store_writes import (
    HistoryComplete,
    HistoryDropped,
    PatternsChanged,
    ReceivedPack,
    SnapshotKept,
)
from roomlog.core.node import Node
from roomlog.core.pack import encode_pack
from roomlog.core.reject import Reject
from roomlog.core.replica import Replica
from roomlog.core.signing import Signer
from roomlog.core.snapshot.facts import check_snapshot
from roomlog.core.subscription import missing_bodies
from roomlog.protocol.client_events import (
    BodiesFilled,
    Fault,
    HistoryPage,
    ServerFault,
    SnapshotReceived,
)


class PartialRoom(OwnWriting):
    """What an engine knows of what it does not have."""

    def __init__(
        self, room_id: str, identity: Signer | None, lineage: bytes, *, is_draft: bool
    ) -> None:
        super().__init__(room_id, identity, lineage, is_draft=is_draft)
        self.snapshot: SnapshotKept | None = None
        """What the replica stands on; None when all history is in it."""
        self.older: OlderHistory | None = None
        """The history below that snapshot, as far as it has come."""
        self.is_snapshot_refused = False
        """Whether a server sent one that was no good, or there was no use for it."""
        self.refused_too_early: list[bytes] = []
        """Own nodes that were refused for good, which cannot be taken back from a snapshot."""

    # a snapshot

    @property
    def wants_snapshot(self) -> bool:
        """Whether a session may begin with one: only where nothing was read or written yet."""
        replica = self.replica
        return (
            not self.is_snapshot_refused
            and not len(replica)
            and not replica.has_open_edits
            and not replica.subscription.takes_headers
            and self.snapshot is None
        )

    def restore_snapshot(self, snapshot: SnapshotKept, older: OlderHistory) -> None:
        """Begin with a snapshot that was stored. Raises `Reject` when it is damaged."""
        replica = self.replica
        self.replica = _begun_with(snapshot, replica.room_id, replica.identity, replica.lineage)
        self.snapshot = snapshot
        self.older = older

    def snapshot_received(self, event: SnapshotReceived, server_key: bytes) -> bool:
        """Begin with a snapshot; False when something was written meanwhile that it cannot hold.

        Raises `ServerFault` for one that is not what the server may send.
        """
        if not self.wants_snapshot:
            # Own nodes that do not know of it would be out of sight until older history is here.
            self.is_snapshot_refused = True
            return False
        snapshot = SnapshotKept(
            seq=event.seq,
            frontier_pack=event.frontier_pack,
            state=event.state,
            state_hash=event.state_hash,
            digest=event.digest,
            signature=event.signature,
            server_key=server_key,
            history_seq=event.seq,
        )
        old = self.replica
        try:
            replica = _begun_with(snapshot, old.room_id, old.identity, old.lineage)
        except Reject as reject:
            self.is_snapshot_refused = True
            raise ServerFault(Fault.PROTOCOL, reject) from None
        self._go_on_with(replica)
        self.snapshot = snapshot
        self.older = OlderHistory(snapshot.history_seq)
        self._writes.append(snapshot)
        self._note_changes(Origin.REMOTE, ())
        return True

    # older history

    @property
    def held_count(self) -> int:
        """How many nodes are here that say nothing yet: what they build on is missing."""
        return len(self.replica.waiting) + len(self.replica.log.held)

    @property
    def needs_history(self) -> bool:
        """Whether something says nothing, or cannot be undone, without older history."""
        return bool(len(self.replica.log.held) or self.refused_too_early)

    def history_page(self, page: HistoryPage) -> None:
        """A pack of older history came in."""
        if self.older is not None:
            self.older.take(page)

    def history_page_end(self) -> None:
        """A page of older history is whole."""
        if self.older is not None:
            self._writes.extend(self.older.end_page())

    def history_refused(self) -> None:
        """What came as older history cannot be it."""
        if self.older is not None:
            self.older.drop()
            self._writes.append(HistoryDropped())

    def history_complete(self, replica: Replica, lone_heads: Sequence[Node] = ()) -> bool:
        """Go on with a replica of all history; False when it lacks what the present one has.

        `lone_heads` are heads of the snapshot that nothing but it had.
        """
        present = self.replica
        if any(node_id not in replica for node_id in present.frontier):
            return False
        had_held = bool(len(present.log.held))
        self._go_on_with(replica)
        replica.take_changes()
        self.pending.sort(replica.graph)
        self.pending.send_again(self.refused_too_early)
        self.refused_too_early = []
        if lone_heads:
            self._writes.append(ReceivedPack(encode_pack(lone_heads)))
        self.snapshot = None
        self.older = None
        self._writes.append(HistoryComplete())
        if had_held and self.is_observed:
            self._changes.append(RESYNC)
        return True

    # keys

    @property
    def patterns(self) -> tuple[str, ...]:
        """Whose state is wanted, in canonical order; () for all."""
        return tuple(self.replica.subscription.names())

    @property
    def patterns_to_show(self) -> tuple[str, ...]:
        """What a hello says: the patterns that the bodies here follow."""
        before = self.replica.subscription.before
        if self.replica.awaits_bodies:
            return () if before is None else tuple(before.patterns)
        return self.patterns

    def set_patterns(self, patterns: Sequence[str], now_ms: int) -> None:
        """Want the state of other keys.

        Raises ValueError for a broken pattern, RoomlogError while the bodies for others come,
        `HistoryMissingError`.
        """
        self.flush(now_ms)
        self.replica.set_patterns(patterns, now_ms)
        self._canonical = None
        self._patterns_changed()

    def bodies_filled(self, event: BodiesFilled, now_ms: int) -> None:
        """Whole nodes came for keys that are wanted now. Raises `ServerFault` for bad ones."""
        self.flush(now_ms)
        result = self.replica.fill_bodies(event.nodes, now_ms)
        if result.rejected:
            first = result.rejected[0]
            raise ServerFault(Fault.PROTOCOL, Reject(first.reject_class, first.message))
        self._writes.append(ReceivedPack(event.pack))

    def take_what_is_here(self) -> None:
        """The server sends everything and cannot be asked for bodies: if none lacks, that is it."""
        if self.replica.awaits_bodies and not missing_bodies(self.replica):
            self.subscription_complete(self.patterns)

    def subscription_complete(self, patterns: Sequence[str]) -> None:
        """All bodies came. Raises `ServerFault` when that is not so."""
        if set(patterns) != set(self.patterns) or not self.replica.awaits_bodies:
            return
        try:
            self.replica.complete_patterns()
        except Reject as reject:
            raise ServerFault(Fault.PROTOCOL, reject) from None
        self._canonical = None
        self._patterns_changed()

    def _patterns_changed(self) -> None:
        before = self.patterns_to_show if self.replica.awaits_bodies else None
        self._writes.append(PatternsChanged(self.patterns, before))
        self._note_changes(Origin.REMOTE, ())


def _begun_with(
    snapshot: SnapshotKept, room_id: str, identity: Signer | None, lineage: bytes
) -> Replica:
    opened = check_snapshot(
        snapshot.server_key,
        lineage,
        snapshot.seq,
        snapshot.frontier_pack,
        snapshot.state_hash,
        snapshot.digest,
        snapshot.signature,
        snapshot.state,
    )
    return Replica.from_snapshot(room_id, identity, lineage, opened)
