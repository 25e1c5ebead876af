"""An event loop in a thread of its own, for code that does not want to know about it."""

from __future__ import annotations

import asyncio
import concurrent.futures
import contextvars
import threading
from collections.abc import Callable, Coroutine
from typing import Any, ParamSpec, TypeVar, final

from roomlog.client.errors import DocumentClosedError, TransactionError

Result = TypeVar("Result")
Arguments = ParamSpec("Arguments")


@final
class LoopThread:
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
