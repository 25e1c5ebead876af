"""The SDK for scripts and threads: the same rooms and handles, without `async`.

    import roomlog.sync

    with roomlog.sync.connect(url, room="demo", identity="me.key") as doc:
        doc.map("users")["ada"] = {"age": 36}
        doc.synced()

The event loop runs in a thread of its own. Everything here may be used from any thread; each call
waits for its result. Outside of a transaction every edit is a node of its own, unless several are
made within one turn of that loop.
"""

from __future__ import annotations

import asyncio
import concurrent.futures
import contextlib
import contextvars
import os
import threading
from collections.abc import (
    Callable,
    Coroutine,
    Iterable,
    Iterator,
    MutableMapping,
    MutableSequence,
)
from types import TracebackType
from typing import Any, ParamSpec, TypeVar, final

from roomlog.client.changes import DEFAULT_QUEUE_CHANGES, Change, ChangeFeed
from roomlog.client.connect import CLOSE_TIMEOUT_S
from roomlog.client.connect import connect as connect_asynchronously
from roomlog.client.document import Document
from roomlog.client.errors import DocumentClosedError, TransactionError
from roomlog.client.handles import DocumentCounter, DocumentList, DocumentMap, DocumentText
from roomlog.client.rejections import Rejection
from roomlog.client.status import Status
from roomlog.core.signing import Signer
from roomlog.core.state_hash import StateHash
from roomlog.protocol.codec import Codec

Result = TypeVar("Result")
Arguments = ParamSpec("Arguments")


@final
class _Loop:
    """An event loop in a thread, and the transaction that the calling thread may be in."""

    def __init__(self) -> None:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._run, name="roomlog", daemon=True)
        self._thread.start()
        self.transaction_thread: int | None = None
        self.transaction_context: contextvars.Context | None = None

    def _run(self) -> None:
        asyncio.set_event_loop(self._loop)
        try:
            self._loop.run_forever()
        finally:
            self._loop.run_until_complete(self._loop.shutdown_asyncgens())
            self._loop.close()

    def _context(self) -> contextvars.Context:
        """A thread inside of its transaction runs everything in that one's context."""
        if self.transaction_context is not None and (
            self.transaction_thread == threading.get_ident()
        ):
            return self.transaction_context
        return contextvars.copy_context()

    def call(
        self,
        function: Callable[Arguments, Result],
        *arguments: Arguments.args,
        **named: Arguments.kwargs,
    ) -> Result:
        """`function(...)` in the loop's thread."""
        done: concurrent.futures.Future[Result] = concurrent.futures.Future()

        def run() -> None:
            try:
                done.set_result(function(*arguments, **named))
            except BaseException as error:
                done.set_exception(error)

        self._submit(run)
        return done.result()

    def _submit(self, run: Callable[[], None]) -> None:
        if threading.current_thread() is self._thread:
            raise TransactionError("not from inside of the document's own event loop")
        try:
            self._loop.call_soon_threadsafe(run, context=self._context())
        except RuntimeError:
            raise DocumentClosedError("the document is not open") from None

    def wait(self, make: Callable[[], Coroutine[Any, Any, Result]]) -> Result:
        """The result of a coroutine that `make` gives, run in the loop's thread."""
        done: concurrent.futures.Future[Result] = concurrent.futures.Future()
        tasks: list[asyncio.Task[Result]] = []

        def settle(task: asyncio.Task[Result]) -> None:
            if task.cancelled():
                done.cancel()
            elif (error := task.exception()) is not None:
                done.set_exception(error)
            else:
                done.set_result(task.result())

        context = self._context()

        def run() -> None:
            task = self._loop.create_task(make(), context=context)
            tasks.append(task)
            task.add_done_callback(settle)

        self._submit(run)
        try:
            return done.result()
        except KeyboardInterrupt:
            self._loop.call_soon_threadsafe(lambda: [task.cancel() for task in tasks])
            raise

    def stop(self) -> None:
        """End the loop and its thread."""
        if self._thread.is_alive():
            self._loop.call_soon_threadsafe(self._loop.stop)
            self._thread.join()


@final
class SyncMap(MutableMapping[str, Any]):
    """`DocumentMap`, from any thread."""

    def __init__(self, loop: _Loop, handle: DocumentMap) -> None:
        self._loop = loop
        self._handle = handle

    def __getitem__(self, key: str) -> Any:
        return self._loop.call(self._handle.__getitem__, key)

    def get(self, key: str, default: Any = None, *, canonical: bool = False) -> Any:
        """The value of `key`; with `canonical`, the one that the server has acknowledged."""
        return self._loop.call(self._handle.get, key, default, canonical=canonical)

    def __contains__(self, key: object) -> bool:
        return self._loop.call(self._handle.__contains__, key)

    def __len__(self) -> int:
        return self._loop.call(self._handle.__len__)

    def __iter__(self) -> Iterator[str]:
        return iter(self._loop.call(lambda: list(self._handle)))

    def __setitem__(self, key: str, value: Any) -> None:
        self._loop.call(self._handle.__setitem__, key, value)

    def __delitem__(self, key: str) -> None:
        self._loop.call(self._handle.__delitem__, key)

    def set_blob(self, key: str, hash: bytes, size_bytes: int, media_type: str) -> None:
        """Let `key` refer to a blob."""
        self._loop.call(self._handle.set_blob, key, hash, size_bytes, media_type)

    def to_dict(self) -> dict[str, Any]:
        """A plain copy, all of one moment."""
        return self._loop.call(self._handle.to_dict)

    def __repr__(self) -> str:
        return f"SyncMap({self.to_dict()!r})"


@final
class SyncCounter:
    """`DocumentCounter`, from any thread."""

    def __init__(self, loop: _Loop, handle: DocumentCounter) -> None:
        self._loop = loop
        self._handle = handle

    @property
    def value(self) -> int:
        """The sum of all amounts."""
        return self.get()

    def get(self, *, canonical: bool = False) -> int:
        """The sum; with `canonical`, of what the server has acknowledged."""
        return self._loop.call(self._handle.get, canonical=canonical)

    def add(self, amount: int = 1) -> None:
        """Add `amount`."""
        self._loop.call(self._handle.add, amount)

    def __int__(self) -> int:
        return self.value

    def __repr__(self) -> str:
        return f"SyncCounter({self.value})"


@final
class SyncList(MutableSequence[Any]):
    """`DocumentList`, from any thread."""

    def __init__(self, loop: _Loop, handle: DocumentList) -> None:
        self._loop = loop
        self._handle = handle

    def __len__(self) -> int:
        return self._loop.call(self._handle.__len__)

    def __getitem__(self, index: int | slice) -> Any:
        return self._loop.call(self._handle.__getitem__, index)

    def __iter__(self) -> Iterator[Any]:
        return iter(self.to_list())

    def to_list(self, *, canonical: bool = False) -> list[Any]:
        """A plain copy, all of one moment."""
        return self._loop.call(self._handle.to_list, canonical=canonical)

    def __setitem__(self, index: int | slice, value: Any) -> None:
        self._loop.call(self._handle.__setitem__, index, value)

    def __delitem__(self, index: int | slice) -> None:
        self._loop.call(self._handle.__delitem__, index)

    def insert(self, index: int, value: Any) -> None:
        """Insert `value` before item `index`; the length appends."""
        self._loop.call(self._handle.insert, index, value)

    def append(self, value: Any) -> None:
        """Insert `value` at the end."""
        self._loop.call(self._handle.append, value)

    def extend(self, values: Iterable[Any]) -> None:
        """Insert several values at the end, as one node."""
        self._loop.call(self._handle.extend, list(values))

    def move(self, source: int, target: int) -> None:
        """Take item `source` out and put it back so that it becomes item `target`."""
        self._loop.call(self._handle.move, source, target)

    def update(self, index: int, value: Any) -> None:
        """Give item `index` another value."""
        self._loop.call(self._handle.update, index, value)

    def delete(self, index: int) -> None:
        """Delete item `index` for good."""
        self._loop.call(self._handle.delete, index)

    def __repr__(self) -> str:
        return f"SyncList({self.to_list()!r})"


@final
class SyncText:
    """`DocumentText`, from any thread."""

    def __init__(self, loop: _Loop, handle: DocumentText) -> None:
        self._loop = loop
        self._handle = handle

    def __str__(self) -> str:
        return self.get()

    def get(self, *, canonical: bool = False) -> str:
        """The text; with `canonical`, what the server has acknowledged of it."""
        return self._loop.call(self._handle.get, canonical=canonical)

    def __len__(self) -> int:
        return self._loop.call(self._handle.__len__)

    def __getitem__(self, index: int | slice) -> str:
        return self._loop.call(self._handle.__getitem__, index)

    def insert(self, position: int, text: str) -> None:
        """Insert `text` before `position`."""
        self._loop.call(self._handle.insert, position, text)

    def append(self, text: str) -> None:
        """Insert `text` at the end."""
        self._loop.call(self._handle.append, text)

    def delete(self, position: int, length: int = 1) -> None:
        """Delete `length` characters from `position` on."""
        self._loop.call(self._handle.delete, position, length)

    def replace(self, position: int, length: int, text: str) -> None:
        """Delete `length` characters from `position` on and insert `text` there."""
        self._loop.call(self._handle.replace, position, length, text)

    def __repr__(self) -> str:
        return f"SyncText({str(self)!r})"


@final
class SyncChanges:
    """A feed of changes: `for change in doc.changes(timeout_s=1)` ends after that much silence."""

    def __init__(self, loop: _Loop, feed: ChangeFeed, timeout_s: float | None) -> None:
        self._loop = loop
        self._feed = feed
        self._timeout_s = timeout_s

    def __iter__(self) -> SyncChanges:
        return self

    def __next__(self) -> Change:
        change = self._loop.wait(self._next)
        if change is None:
            raise StopIteration
        return change

    async def _next(self) -> Change | None:
        # StopAsyncIteration cannot leave a coroutine as it is.
        try:
            async with asyncio.timeout(self._timeout_s):
                return await anext(self._feed)
        except (TimeoutError, StopAsyncIteration):
            return None


@final
class SyncDocument:
    """`Document`, from any thread. Made by `roomlog.sync.connect`."""

    def __init__(self, make: Callable[[], Document]) -> None:
        self._make = make
        self._loop = _Loop()
        self._transaction_lock = threading.Lock()
        self._document: Document | None = None

    def __enter__(self) -> SyncDocument:
        async def open_document() -> Document:
            document = self._make()
            await document.__aenter__()
            return document

        try:
            self._document = self._loop.wait(open_document)
        except BaseException:
            self._loop.stop()
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
    verify_history: bool = True,
    close_timeout_s: float = CLOSE_TIMEOUT_S,
) -> SyncDocument:
    """Open a room: `with roomlog.sync.connect(url, room="demo", identity="me.key") as doc`.

    Arguments and errors are those of `roomlog.connect`.
    """
    return SyncDocument(
        lambda: connect_asynchronously(
            url,
            room=room,
            identity=identity,
            store=store,
            label=label,
            codec=codec,
            server_key=server_key,
            verify_history=verify_history,
            close_timeout_s=close_timeout_s,
        )
    )
