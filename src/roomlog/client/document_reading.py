"""What a document shows: its room, its standing with the server, its feeds."""

from __future__ import annotations

import asyncio
import weakref
from collections.abc import Callable, Iterable

from roomlog.client.agreement import Agreement, Progress
from roomlog.client.changes import DEFAULT_QUEUE_CHANGES, ChangeFeed
from roomlog.client.company import Company
from roomlog.client.connection import Connection
from roomlog.client.engine import Engine
from roomlog.client.errors import DocumentClosedError, TransactionError
from roomlog.client.exporting import export_all
from roomlog.client.feed import DEFAULT_QUEUE_ITEMS, Feed
from roomlog.client.local_store import LocalStore
from roomlog.client.peers import Peers, ReceivedSignal
from roomlog.client.presence import Presence
from roomlog.client.rejections import Rejections
from roomlog.client.standing import Standing
from roomlog.client.status import HistoryState, Phase, Status
from roomlog.core.conflict import Conflict
from roomlog.core.replica import Replica
from roomlog.core.state_hash import StateHash
from roomlog.core.view import View


class DocumentReading:
    """The half of a `Document` that changes nothing in its room."""

    def __init__(self, engine: Engine, label: str) -> None:
        self._engine = engine
        identity = engine.replica.identity
        self._company = Company(None if identity is None else (identity.public_key, label))
        self._store: LocalStore | None = None
        self._connection: Connection | None = None
        self._is_open = False
        self._is_closed = False
        self._feeds: weakref.WeakSet[ChangeFeed] = weakref.WeakSet()
        self._rejections = Rejections()
        self._progress = Progress()

    def _flush(self) -> tuple[bytes, ...]:
        """Make a node of the open edits; what writes says how."""
        raise NotImplementedError

    def _flush_for_reading(self) -> None:
        if self._is_open and not self._engine.is_transaction_open:
            self._flush()

    def followed(self) -> Replica:
        """The replica, whose texts anchors and attribution follow."""
        return self._engine.replica

    def committed(self) -> Replica:
        """The replica, its open edits made a node. Raises `TransactionError` inside of one."""
        if self._engine.is_transaction_open:
            raise TransactionError("not inside of a transaction: it is one node")
        self._flush_for_reading()
        return self._engine.replica

    def flush_if_possible(self) -> None:
        """Make a node of the edits so far, except inside of a transaction."""
        self._flush_for_reading()

    def _check_open(self) -> None:
        if not self._is_open:
            raise DocumentClosedError("the document is not open")

    @property
    def replica(self) -> Replica:
        """The whole room in memory; another object after history was rewritten."""
        return self._engine.replica

    @property
    def frontier(self) -> tuple[bytes, ...]:
        """The ids of the heads, ascending."""
        return tuple(self._engine.replica.frontier)

    def state(self) -> dict[str, dict[str, object]]:
        """Everything a reader sees, as plain values by kind and key."""
        return self._engine.replica.state()

    def state_hash(self) -> StateHash:
        """The hash of the state, equal on everyone who holds the same nodes.

        Edits so far become a node first, except inside of a transaction: then it is incomplete.
        """
        self._flush_for_reading()
        return self._engine.replica.state_hash()

    def at(self, frontier: Iterable[bytes]) -> View:
        """The room as it was at `frontier`, read-only. Replays history."""
        return self._engine.replica.at(frontier)

    def conflicts(self) -> tuple[Conflict, ...]:
        """Where concurrent writes to one register lost and nobody has written since."""
        return tuple(self._engine.replica.conflicts())

    def export(self) -> bytes:
        """The history that is here as a pack file, unacknowledged nodes included.

        Nodes that were taken on the server's word have no signatures in it.
        """
        self._flush_for_reading()
        return export_all(self._engine.replica)

    @property
    def pending(self) -> tuple[bytes, ...]:
        """Ids of own nodes that the server has not acknowledged, parents first."""
        return tuple(self._engine.pending)

    def is_pending(self, node_id: bytes) -> bool:
        """Whether this own node has no acknowledgment yet."""
        return node_id in self._engine.pending

    @property
    def status(self) -> Status:
        """How the document stands with its server."""
        connection = self._connection
        standing = Standing(None) if connection is None else connection.standing
        history = None if connection is None else connection.history
        cursor = self._engine.cursor
        return Status(
            phase=Phase.CLOSED if connection is None else standing.phase,
            pending_nodes=len(self._engine.pending),
            put_off=self._engine.put_off_class,
            is_draft=self._engine.is_draft,
            seq=0 if cursor is None else cursor.seq,
            problem=standing.problem,
            server_key=standing.server_key,
            is_proven=standing.is_proven,
            server=standing.server,
            catch_up=standing.catch_up,
            progress=standing.progress,
            history=HistoryState.COMPLETE if history is None else history.state,
            history_progress=None if history is None else history.progress,
        )

    def changes(self, queue_changes: int = DEFAULT_QUEUE_CHANGES) -> ChangeFeed:
        """Changes from now on, for one consumer: `async for change in doc.changes()`."""
        feed = ChangeFeed(queue_changes)
        if self._is_closed:
            feed.close()
        self._feeds.add(feed)
        self._engine.is_observed = True
        return feed

    def rejections(self) -> Rejections:
        """Own writes that the server refused for good: those so far, and a feed."""
        return self._rejections

    async def wait_for(self, node_ids: Iterable[bytes], timeout_s: float | None = None) -> None:
        """Wait until all of these nodes are in the document, from whomever.

        Raises TimeoutError, or why the connection stopped.
        """
        self._check_open()
        async with asyncio.timeout(timeout_s):
            await self._agreement().hold(node_ids)

    async def history(self, timeout_s: float | None = None) -> None:
        """Wait until all of the room's history is here; it is brought in if it was left out.

        Until then `at`, `conflicts` and whatever else looks back raise `HistoryMissingError`.
        Raises TimeoutError, or why the connection stopped.
        """
        self._check_open()
        async with asyncio.timeout(timeout_s):
            await self._agreement().join()
            await self._agreement().complete_history()

    @property
    def patterns(self) -> tuple[str, ...]:
        """The globs of the keys that this document holds; () for all."""
        return self._engine.patterns

    @property
    def presence(self) -> Presence:
        """What others in the room show, by session, and what this document shows."""
        return self._company.presence

    @property
    def peers(self) -> Peers:
        """Who else is in the room."""
        return self._company.peers

    def signals(self, queue_items: int = DEFAULT_QUEUE_ITEMS) -> Feed[ReceivedSignal]:
        """What others say to this document from now on: `async for signal in doc.signals()`."""
        return self._company.signals.open(queue_items)

    async def until(
        self, condition: Callable[[Status], bool], timeout_s: float | None = None
    ) -> Status:
        """Wait until `condition` of the status holds, and return that status.

        Raises TimeoutError. A condition that can no longer come true waits for ever: check for
        `Phase.STOPPED` and `Phase.CLOSED` where that may happen.
        """
        async with asyncio.timeout(timeout_s):
            while not condition(status := self.status):
                await self._progress.wait()
        return status

    def _agreement(self) -> Agreement:
        assert self._connection is not None
        return Agreement(self._engine, self._store, self._connection, self._progress)

    def _on_progress(self) -> None:
        """Something may have changed: tell those who follow and those who wait."""
        changes = self._engine.take_changes()
        feeds = list(self._feeds)
        self._engine.is_observed = bool(feeds)
        if changes:
            for feed in feeds:
                feed.put(changes)
        rejections = self._engine.take_rejections()
        if rejections:
            self._rejections.put(rejections)
        self._progress.notify()
