"""`Document`: a shared room as an application holds it."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Iterable
from contextvars import ContextVar
from pathlib import Path
from types import TracebackType
from typing import TypeAlias, final

from roomlog.client.address import Address
from roomlog.client.backoff import Backoff
from roomlog.client.branch import DocumentBranch
from roomlog.client.connection import Connection
from roomlog.client.document_reading import DocumentReading
from roomlog.client.engine import Engine
from roomlog.client.errors import (
    DocumentClosedError,
    LocalStoreIdentityError,
    ReadOnlyError,
    RoomlogError,
    TransactionError,
    UnsentChangesError,
)
from roomlog.client.exporting import export_all
from roomlog.client.handles import (
    DocumentCounter,
    DocumentList,
    DocumentMap,
    DocumentText,
    ReadableRoom,
    Room,
)
from roomlog.client.host import Host
from roomlog.client.options import DocumentOptions
from roomlog.client.patterns import checked_patterns
from roomlog.client.peers import Recipient
from roomlog.client.presence import checked_data
from roomlog.client.rejections import Rejections
from roomlog.client.status import Phase
from roomlog.client.undo import DEFAULT_GROUP_MS, Scope, UndoManager
from roomlog.client.versions import Versions
from roomlog.core.hashing import HASH_BYTES
from roomlog.core.reject import RejectClass
from roomlog.core.signing import Signer
from roomlog.protocol.limits import DEFAULT_LIMITS

NodeIds: TypeAlias = list[bytes]

_transactions: ContextVar[tuple[object, ...]] = ContextVar("roomlog_transactions", default=())
"""The transactions, of any documents, that the running code is part of."""


@final
class Document(DocumentReading):
    """One room, held locally and kept in step with a server. Made by `connect`.

    Reading and writing never wait: edits apply at once, become a node at the end of the current
    turn of the event loop, and reach the server when it can be reached. A document belongs to one
    event loop.
    """

    def __init__(
        self,
        address: Address,
        room_id: str,
        identity: Signer | None,
        store_path: Path | None,
        options: DocumentOptions,
        *,
        backoff: Backoff,
        clock_ms: Callable[[], int],
        host: Host,
    ) -> None:
        # Replaced when the document is opened: only then there is a loop, and a store was read.
        super().__init__(
            Engine(room_id, identity, host.random_bytes(HASH_BYTES), is_draft=True),
            options.label,
        )
        self._address = address
        self._room_id = room_id
        self._identity = identity
        self._store_path = store_path
        self._options = options
        self._backoff = backoff
        self._clock_ms = clock_ms
        self._host = host
        self._task: asyncio.Task[None] | None = None
        self._subscribing: asyncio.Task[None] | None = None
        self._is_flush_scheduled = False
        self._subscription_lock = asyncio.Lock()
        self._transaction_lock = asyncio.Lock()
        self._transaction_token: object | None = None

    # opening and closing

    async def __aenter__(self) -> Document:
        if self._is_open or self._is_closed:
            raise DocumentClosedError("a document is opened once")
        server_key = self._options.server_key
        if self._store_path is not None:
            path, draft_lineage = self._store_path, self._engine.replica.lineage
            opening = asyncio.to_thread(self._host.open_store, path, self._room_id, draft_lineage)
            self._store = await opening
            stored = self._store.document
            if stored.has_unsent_of_others(self._identity):
                await asyncio.to_thread(self._store.close)
                raise LocalStoreIdentityError(
                    f"{path}: keeps {len(stored.pending)} unsent nodes of another key: nobody else"
                    " can send them, and they must not get lost"
                )
            self._engine = Engine.restored(self._identity, stored)
            self._rejections = Rejections(stored.rejections)
            server_key = server_key or stored.server_keys.get(self._address.origin)
        wanted = self._options.patterns
        if wanted == self._engine.patterns:
            wanted = None
        # Only the change that was interrupted mends what it left behind: it is finished first.
        is_busy = self._engine.replica.awaits_bodies or self._engine.older is not None
        if wanted is not None and not is_busy:
            await self._open_with(wanted)
            wanted = None
        self._connection = Connection(
            self._engine,
            self._store,
            self._address,
            self._company,
            options=self._options,
            pinned_key=server_key,
            backoff=self._backoff,
            clock_ms=self._clock_ms,
            host=self._host,
            on_progress=self._on_progress,
        )
        self._is_open = True
        self._task = asyncio.create_task(self._connection.run(), name=f"roomlog {self._room_id}")
        self._task.add_done_callback(lambda _: self._on_progress())
        if wanted is not None:
            self._subscribing = asyncio.create_task(self._subscribe_in_time(wanted))
        return self

    async def _subscribe_in_time(self, patterns: tuple[str, ...]) -> None:
        with contextlib.suppress(RoomlogError):
            await self.subscribe(patterns)

    async def _open_with(self, patterns: tuple[str, ...]) -> None:
        """Want other keys than the store was filled with."""
        try:
            self._engine.set_patterns(patterns, self._clock_ms())
        except RoomlogError:
            if self._store is not None:
                await asyncio.to_thread(self._store.close)
            raise

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        try:
            await self.close()
        except UnsentChangesError:
            # What ended the block says more.
            if error is None:
                raise

    async def close(self, timeout_s: float | None = None) -> None:
        """Flush, push what is pending, and leave.

        Waits at most `timeout_s` (by default `close_timeout_s` of `connect`) for
        acknowledgments. A local store keeps what remains; without one `UnsentChangesError` is
        raised, which carries it.
        """
        if not self._is_open:
            return
        assert self._connection is not None
        assert self._task is not None
        if not self._engine.is_transaction_open:
            self._flush()
        wait_s = self._options.close_timeout_s if timeout_s is None else timeout_s
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(wait_s):
                while not self._may_leave():
                    await self._progress.wait()
        self._is_open = False
        self._is_closed = True
        tasks = [self._task] if self._subscribing is None else [self._task, self._subscribing]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        self._connection.history.close()
        self._connection.standing.phase = Phase.CLOSED
        try:
            if self._store is not None:
                await asyncio.to_thread(self._store.close)
                if self._store.failure is not None:
                    raise self._store.failure
            elif len(self._engine.pending):
                raise UnsentChangesError(
                    len(self._engine.pending), export_all(self._engine.replica)
                )
        finally:
            for feed in list(self._feeds):
                feed.close()
            self._company.close()
            self._rejections.close()
            self._on_progress()

    def _may_leave(self) -> bool:
        assert self._connection is not None
        if self._identity is None or not len(self._engine.pending):
            return True
        phase = self._connection.standing.phase
        # What a store keeps need not wait for a server that is known to be away.
        return phase is Phase.STOPPED or (phase is Phase.OFFLINE and self._store is not None)

    # handles

    def room(self) -> Room:
        """The replica, to be read by handles."""
        return self._engine.replica

    def editing(self) -> Room:
        """The replica, about to be edited by a handle.

        Raises `DocumentClosedError`, `ReadOnlyError`, `TransactionError`.
        """
        self._check_writable()
        if not self._engine.is_transaction_open and not self._is_flush_scheduled:
            self._is_flush_scheduled = True
            asyncio.get_running_loop().call_soon(self._flush_scheduled)
        return self._engine.replica

    def canonical_room(self) -> ReadableRoom:
        """What the server has acknowledged, to be read by handles."""
        return self._engine.canonical()

    def _check_writable(self) -> None:
        if not self._is_open:
            raise DocumentClosedError("the document is not open")
        if self._identity is None:
            raise ReadOnlyError("the document was opened without an identity: it reads only")
        if self._engine.is_transaction_open and not self._is_own_transaction():
            raise TransactionError("another task's transaction is open: edit after it, or in it")

    def _is_own_transaction(self) -> bool:
        return self._transaction_token in _transactions.get()

    def map(self, prefix: str) -> DocumentMap:
        """The map below one path segment: `doc.map("users")["ada"]` is the path `users/ada`."""
        return DocumentMap(self, prefix)

    def counter(self, key: str) -> DocumentCounter:
        """The counter of a key, one path segment."""
        return DocumentCounter(self, key)

    def list(self, key: str) -> DocumentList:
        """The list of a key, one path segment."""
        return DocumentList(self, key)

    def text(self, key: str) -> DocumentText:
        """The text of a key, one path segment."""
        return DocumentText(self, key)

    def undo_manager(
        self, scope: Scope | None = None, group_ms: int = DEFAULT_GROUP_MS
    ) -> UndoManager:
        """Undo and redo of what this document writes from now on.

        `scope` has handles, and path keys that stand for all below them; None is everything.
        """
        self._check_writable()
        return UndoManager(self, scope, group_ms)

    @property
    def versions(self) -> Versions:
        """Versions of the room that have a name."""
        return Versions(self)

    # writing

    def check_writable(self) -> None:
        """Raise why nothing can be written now, if so."""
        self._check_writable()

    def write_apart(self, write: Callable[[int], NodeIds]) -> NodeIds:
        """Let `write(now_ms)` make nodes of its own in the replica, after the edits so far."""
        self._check_writable()
        self.committed()
        ids = write(self._clock_ms())
        if ids:
            self._engine.take_own(ids)
            self._after_commit()
        return ids

    def _flush_scheduled(self) -> None:
        self._is_flush_scheduled = False
        if self._is_open and not self._engine.is_transaction_open:
            self._flush()

    def _flush(self) -> tuple[bytes, ...]:
        ids = self._engine.flush(self._clock_ms())
        if ids:
            self._after_commit()
        return tuple(ids)

    def _after_commit(self) -> None:
        if self._connection is not None:
            self._connection.pump()
        self._on_progress()

    async def flush(self) -> tuple[bytes, ...]:
        """Make a node of the edits so far and wait until the local store has all of them; its ids.

        Usually one id, none when there was nothing to write since the last flush, of which every
        turn of the loop makes one by itself. Raises `TransactionError` inside of a transaction, and
        `LocalStoreError` when the store fails.
        """
        await self._outside_transactions()
        ids = self._flush()
        serial = self._engine.pending.last_serial
        while self._is_open and not self._engine.pending.is_stored(serial):
            self._raise_store_failure()
            await self._progress.wait()
        return ids

    def _raise_store_failure(self) -> None:
        if self._store is not None and self._store.failure is not None:
            raise self._store.failure

    async def _outside_transactions(self) -> None:
        self._check_open()
        while self._engine.is_transaction_open:
            if self._is_own_transaction():
                raise TransactionError("not inside of a transaction: it is one node")
            assert self._connection is not None
            await self._connection.gate.wait()

    @contextlib.asynccontextmanager
    async def transaction(self) -> AsyncIterator[Document]:
        """Several edits as one node: `async with doc.transaction(): ...`.

        Nothing from the server is merged inside of the block. When it raises, all of its edits are
        taken back. Transactions of several tasks follow each other; edits of a task that is not
        part of the open one raise `TransactionError`.
        """
        if self._engine.is_transaction_open and self._is_own_transaction():
            raise TransactionError("this transaction is open already")
        async with self._transaction_lock:
            self._check_writable()
            assert self._connection is not None
            self._engine.begin_transaction(self._clock_ms())
            self._after_commit()
            self._connection.gate.clear()
            self._transaction_token = object()
            reset = _transactions.set((*_transactions.get(), self._transaction_token))
            is_complete = False
            try:
                yield self
                is_complete = True
            finally:
                _transactions.reset(reset)
                self._transaction_token = None
                self._engine.end_transaction(self._clock_ms(), keep=is_complete)
                self._connection.gate.set()
                self._after_commit()

    def branch(self, frontier: Iterable[bytes] | None = None) -> DocumentBranch:
        """Handles whose commit has exactly the parents `frontier`, by default the present ones.

        Raises `UnknownNodeError` for an id that is not held.
        """
        self._check_writable()
        if frontier is None:
            self._flush()
            frontier = self._engine.replica.frontier
        return DocumentBranch(
            self._engine,
            frontier,
            clock_ms=self._clock_ms,
            before_edit=self._check_branch_writable,
            after_commit=self._after_commit,
        )

    def _check_branch_writable(self) -> None:
        self._check_writable()
        if self._engine.is_transaction_open:
            raise TransactionError("a branch cannot be written inside of a transaction")

    async def synced(self, timeout_s: float | None = None) -> None:
        """Wait until this document and the server agree on everything up to now.

        Afterwards every write made before the call is acknowledged or in `rejections`, and all
        that the server had acknowledged to anybody by the time of the call has been read. Raises
        TimeoutError, or why the connection stopped.
        """
        await self._outside_transactions()
        self._flush()
        serial = self._engine.pending.last_serial
        async with asyncio.timeout(timeout_s):
            await self._agreement().reach(serial)

    async def subscribe(self, patterns: Iterable[str] = (), timeout_s: float | None = None) -> None:
        """Hold and follow only the keys of these globs, [] for all; wait until they are here.

        `*` is anything within a segment, `**` any number of segments; at most 64 patterns. What is
        dropped is gone at once; what is added appears together, when all of it has come. A local
        store remembers the patterns. Waits first for older history that is still loading, and for
        a change before this one.

        Raises ValueError for a broken pattern, TimeoutError (the change goes on nevertheless), or
        why the connection stopped.
        """
        wanted = checked_patterns(patterns)
        async with asyncio.timeout(timeout_s):
            async with self._subscription_lock:
                await self._agreement().complete_history()
                await self._agreement().hold_bodies()
                await self._outside_transactions()
                assert self._connection is not None
                self._engine.set_patterns(wanted, self._clock_ms())
                self._connection.subscribe(wanted)
                await self._agreement().hold_bodies()

    async def signal(self, to: Recipient, data: object, timeout_s: float | None = 10.0) -> None:
        """Send `data`, as in `presence`, to everybody who has the key and label of `to`.

        `to` is a `Peer`, or whatever else came from somebody: something shown, or a signal. Nothing
        is stored: who is not there does not get it. Returns when the server has passed it on.

        Raises ValueError or TypeError for what is no data, `ReadOnlyError`, `NotConnectedError`,
        `PeerUnknownError`, TimeoutError.
        """
        self._check_open()
        if self._identity is None:
            raise ReadOnlyError("the document was opened without an identity: it says nothing")
        checked_data(data, DEFAULT_LIMITS.signal_bytes, RejectClass.MESSAGE_TOO_LARGE)
        async with asyncio.timeout(timeout_s):
            await self._agreement().tell(to.pubkey, to.label, data)
