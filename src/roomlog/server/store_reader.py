"""Reads from the store, off the event loop."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import ParamSpec, TypeVar, final

from roomlog.server.metrics import Metrics
from roomlog.server.old_pages import OldPages
from roomlog.store.errors import StoreUnavailable
from roomlog.store.interface import NodeStore

Arguments = ParamSpec("Arguments")
Result = TypeVar("Result")

READER_THREADS = 2


@final
class StoreReader:
    """A few threads that read; opening a large room leaves one for the pages of the others.

    `on_unavailable` is called when the store could not be read: a rest after a failed commit ends
    only when somebody writes, and it may be that nobody does.
    """

    def __init__(
        self,
        store: NodeStore,
        metrics: Metrics,
        monotonic: Callable[[], float],
        on_unavailable: Callable[[], None] = lambda: None,
    ) -> None:
        self.store = store
        self.old_pages = OldPages()
        self._metrics = metrics
        self._monotonic = monotonic
        self._on_unavailable = on_unavailable
        self._loading = ThreadPoolExecutor(1, "roomlog-loader")
        self._paging = ThreadPoolExecutor(READER_THREADS, "roomlog-reader")

    async def read(
        self,
        name: str,
        function: Callable[Arguments, Result],
        /,
        *arguments: Arguments.args,
        **keywords: Arguments.kwargs,
    ) -> Result:
        """Call `function` in a reader thread; `name` is its label in the metrics."""
        pool = self._loading if name == "load_index" else self._paging
        started = self._monotonic()
        loop = asyncio.get_running_loop()
        try:
            result = await loop.run_in_executor(pool, lambda: function(*arguments, **keywords))
        except StoreUnavailable:
            self._on_unavailable()
            raise
        self._metrics.store_seconds.labels(name).observe(self._monotonic() - started)
        return result

    def close(self) -> None:
        """Let go of the threads; what runs ends by itself."""
        self._loading.shutdown(wait=False, cancel_futures=True)
        self._paging.shutdown(wait=False, cancel_futures=True)
