"""The SDK for scripts and threads: the same rooms and handles, without `async`.

    import roomlog.sync

    with roomlog.sync.connect(url, room="demo", identity="me.key") as doc:
        doc.map("users")["ada"] = {"age": 36}
        doc.synced()

The event loop runs in a thread of its own. Everything here may be used from any thread; each call
waits for its result. Outside of a transaction every edit is a node of its own.
"""

from __future__ import annotations

import contextlib
import contextvars
import os
import threading
from collections.abc import Callable, Iterable, Iterator
from types import TracebackType
from typing import final

from roomlog.client.blocking_company import SyncFeed, SyncPeers, SyncPresence
from roomlog.client.blocking_following import SyncUndoManager, SyncVersions
from roomlog.client.blocking_handles import (
    SyncChanges,
    SyncCounter,
    SyncList,
    SyncMap,
    SyncText,
)
from roomlog.client.changes import DEFAULT_QUEUE_CHANGES
from roomlog.client.connect import CLOSE_TIMEOUT_S
from roomlog.client.connect import connect as connect_asynchronously
from roomlog.client.document import Document
from roomlog.client.errors import DocumentClosedError, TransactionError
from roomlog.client.feed import DEFAULT_QUEUE_ITEMS
from roomlog.client.loop_thread import LoopThread
from roomlog.client.options import History, Verify
from roomlog.client.peers import ReceivedSignal, Recipient
from roomlog.client.rejections import Rejection
from roomlog.client.status import Status
from roomlog.client.undo import DEFAULT_GROUP_MS, Scope
from roomlog.core.signing import Signer
from roomlog.core.state_hash import StateHash
from roomlog.protocol.codec import Codec


@final
class SyncDocument:
    """`Document`, from any thread. Made by `roomlog.sync.connect`."""

    def __init__(self, make: Callable[[], Document]) -> None:
        self._make = make
        self._thread: LoopThread | None = None
        self._transaction_lock = threading.Lock()
        self._document: Document | None = None

    def __enter__(self) -> SyncDocument:
        async def open_document() -> Document:
            document = self._make()
            await document.__aenter__()
            return document

        if self._thread is not None:
            raise DocumentClosedError("a document is opened once")
        self._thread = LoopThread()
        try:
            self._document = self._thread.wait(open_document)
        except BaseException:
            self._thread.stop()
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        try:
            self._loop.wait(lambda: self._doc.__aexit__(kind, error, trace))
        finally:
            self._loop.stop()

    @property
    def _loop(self) -> LoopThread:
        if self._thread is None:
            raise DocumentClosedError("the document is not open")
        return self._thread

    @property
    def _doc(self) -> Document:
        if self._document is None:
            raise DocumentClosedError("the document is not open")
        return self._document

    def map(self, prefix: str) -> SyncMap:
        """The map below a path prefix."""
        return SyncMap(self._loop, self._loop.call(self._doc.map, prefix))

    def counter(self, key: str) -> SyncCounter:
        """The counter of a path key."""
        return SyncCounter(self._loop, self._loop.call(self._doc.counter, key))

    def list(self, key: str) -> SyncList:
        """The list of a path key."""
        return SyncList(self._loop, self._loop.call(self._doc.list, key))

    def text(self, key: str) -> SyncText:
        """The text of a path key."""
        return SyncText(self._loop, self._loop.call(self._doc.text, key))

    def undo_manager(
        self, scope: Scope | None = None, group_ms: int = DEFAULT_GROUP_MS
    ) -> SyncUndoManager:
        """Undo and redo of what this document writes from now on."""
        manager = self._loop.call(self._doc.undo_manager, scope, group_ms)
        return SyncUndoManager(self._loop, manager)

    @property
    def versions(self) -> SyncVersions:
        """Versions of the room that have a name."""
        return SyncVersions(self._loop, self._loop.call(lambda: self._doc.versions))

    @contextlib.contextmanager
    def transaction(self) -> Iterator[SyncDocument]:
        """Several edits of this thread as one node; taken back whole when the block raises.

        Other threads' transactions wait; their single edits raise `TransactionError` meanwhile.
        """
        if self._loop.transaction_thread == threading.get_ident():
            raise TransactionError("this transaction is open already")
        with self._transaction_lock:
            context = contextvars.copy_context()
            self._loop.transaction_context = context
            self._loop.transaction_thread = threading.get_ident()
            block = self._doc.transaction()
            try:
                self._loop.wait(block.__aenter__)
                try:
                    yield self
                except BaseException as error:
                    kept = error
                    self._loop.wait(lambda: _leave(block, kept))
                    raise
                else:
                    self._loop.wait(lambda: _leave(block, None))
            finally:
                self._loop.transaction_thread = None
                self._loop.transaction_context = None

    def flush(self) -> tuple[bytes, ...]:
        """Make a node of the edits so far and wait until the local store has it; its ids."""
        return self._loop.wait(self._doc.flush)

    def synced(self, timeout_s: float | None = None) -> None:
        """Wait until this document and the server agree on everything up to now."""
        self._loop.wait(lambda: self._doc.synced(timeout_s))

    def wait_for(self, node_ids: Iterable[bytes], timeout_s: float | None = None) -> None:
        """Wait until all of these nodes are in the document."""
        ids = tuple(node_ids)
        self._loop.wait(lambda: self._doc.wait_for(ids, timeout_s))

    def history(self, timeout_s: float | None = None) -> None:
        """Wait until all of the room's history is here; it is brought in if it was left out."""
        self._loop.wait(lambda: self._doc.history(timeout_s))

    def subscribe(self, patterns: Iterable[str] = (), timeout_s: float | None = None) -> None:
        """Hold and follow only the keys of these globs, [] for all; wait until they are here."""
        wanted = patterns if isinstance(patterns, str) else list(patterns)
        self._loop.wait(lambda: self._doc.subscribe(wanted, timeout_s))

    @property
    def patterns(self) -> tuple[str, ...]:
        """The globs of the keys that this document holds; () for all."""
        return self._loop.call(lambda: self._doc.patterns)

    @property
    def presence(self) -> SyncPresence:
        """What others in the room show, and what this document shows."""
        return SyncPresence(self._loop, self._doc.presence)

    @property
    def peers(self) -> SyncPeers:
        """Who else is in the room."""
        return SyncPeers(self._loop, self._doc.peers)

    def signal(self, to: Recipient, data: object, timeout_s: float | None = 10.0) -> None:
        """Send `data` to everybody who has the key and label of `to`."""
        self._loop.wait(lambda: self._doc.signal(to, data, timeout_s))

    def signals(
        self, timeout_s: float | None = None, queue_items: int = DEFAULT_QUEUE_ITEMS
    ) -> SyncFeed[ReceivedSignal]:
        """What others say to this document from now on."""
        return SyncFeed(self._loop, self._loop.call(self._doc.signals, queue_items), timeout_s)

    def changes(
        self, timeout_s: float | None = None, queue_changes: int = DEFAULT_QUEUE_CHANGES
    ) -> SyncChanges:
        """Changes from now on; with `timeout_s` the feed ends after that much silence."""
        return SyncChanges(self._loop, self._loop.call(self._doc.changes, queue_changes), timeout_s)

    def rejections(self) -> tuple[Rejection, ...]:
        """Own writes that the server refused for good, so far."""
        return self._loop.call(lambda: tuple(self._doc.rejections()))

    @property
    def status(self) -> Status:
        """How the document stands with its server."""
        return self._loop.call(lambda: self._doc.status)

    @property
    def frontier(self) -> tuple[bytes, ...]:
        """The ids of the heads, ascending."""
        return self._loop.call(lambda: self._doc.frontier)

    @property
    def pending(self) -> tuple[bytes, ...]:
        """Ids of own nodes that the server has not acknowledged, parents first."""
        return self._loop.call(lambda: self._doc.pending)

    def state(self) -> dict[str, dict[str, object]]:
        """Everything a reader sees, as plain values by kind and key."""
        return self._loop.call(self._doc.state)

    def state_hash(self) -> StateHash:
        """The hash of the state, equal on everyone who holds the same nodes."""
        return self._loop.call(self._doc.state_hash)

    def export(self) -> bytes:
        """The whole history as a pack file."""
        return self._loop.call(self._doc.export)


async def _leave(
    block: contextlib.AbstractAsyncContextManager[Document], error: BaseException | None
) -> None:
    """End a transaction's block. An error that comes back is the one that went in."""
    try:
        await block.__aexit__(None if error is None else type(error), error, None)
    except BaseException as raised:
        if raised is not error:
            raise


def connect(
    url: str,
    *,
    room: str,
    identity: Signer | str | os.PathLike[str] | None = None,
    store: str | os.PathLike[str] | None = None,
    label: str = "",
    codec: Codec = Codec.MSGPACK,
    server_key: bytes | None = None,
    verify: Verify = "live",
    history: History = "full",
    subscribe: Iterable[str] | None = None,
    capabilities: Iterable[str] | None = None,
    close_timeout_s: float = CLOSE_TIMEOUT_S,
) -> SyncDocument:
    """Open a room: `with roomlog.sync.connect(url, room="demo", identity="me.key") as doc`.

    Arguments and errors are those of `roomlog.connect`.
    """
    # Looked through once here, so that they may be any iterables.
    patterns = subscribe if subscribe is None or isinstance(subscribe, str) else list(subscribe)
    offered = None if capabilities is None else list(capabilities)
    return SyncDocument(
        lambda: connect_asynchronously(
            url,
            room=room,
            identity=identity,
            store=store,
            label=label,
            codec=codec,
            server_key=server_key,
            verify=verify,
            history=history,
            subscribe=patterns,
            capabilities=offered,
            close_timeout_s=close_timeout_s,
        )
    )
