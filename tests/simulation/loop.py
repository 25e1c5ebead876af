"""An asyncio event loop in which time is a number and a run can be repeated exactly.

Nothing waits: when nobody is ready, time jumps to the next timer. What would run in a thread runs
as one step of the loop, at a moment that chance decides. Every step belongs to a life of a machine
(`Life`); steps of a life that is over are never taken, as when power goes.
"""

from __future__ import annotations

import asyncio
import contextlib
import contextvars
import heapq
import logging
import random
from collections.abc import Callable
from concurrent.futures import Executor
from typing import Any


class Life:
    """One life of a machine, from its start to its end: by itself, or by a crash."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.is_over = False


NOBODY = Life("world")
CURRENT_LIFE: contextvars.ContextVar[Life] = contextvars.ContextVar("life", default=NOBODY)


class Stuck(Exception):
    """Nobody is ready and no timer runs, but the run was to go on."""


class TooManySteps(Exception):
    """More steps than a run may take: something goes round in circles."""


class SimulatedLoop(asyncio.BaseEventLoop):
    """Drive it with `run_until_complete`. `chance` decides how long threads take."""

    def __init__(self, chance: random.Random, *, most_steps: int) -> None:
        super().__init__()
        self.steps = 0
        self.before_step: Callable[[], None] | None = None
        """Called before every step: the place for a crash between any two of them."""
        self.faults: list[dict[str, Any]] = []
        """What asyncio would have logged: exceptions that nobody took."""
        self._tasks: list[asyncio.Task[Any]] = []
        # Kept, so that no collection of garbage runs the end of a task whose life is over.
        self._chance = chance
        self._most_steps = most_steps
        self._now = 1_000.0
        self.set_exception_handler(self._keep_fault)
        # One running loop a process, and nothing that could wake it from outside.
        self._clock_resolution = 1e-9

    def time(self) -> float:
        return self._now

    def skip(self, seconds: float) -> None:
        """Let time pass in which no machine does anything, as if all of them slept."""
        self._now += seconds

    def run_in_executor(  # type: ignore[override]
        self,
        executor: Executor | None,
        func: Callable[..., Any],
        *args: Any,
    ) -> asyncio.Future[Any]:
        """As one step of the loop, some time from now."""
        future: asyncio.Future[Any] = self.create_future()

        def work() -> None:
            try:
                result = func(*args)
            except Exception as error:
                if not future.done():
                    future.set_exception(error)
            else:
                if not future.done():
                    future.set_result(result)

        self.call_later(self.thread_seconds(), work)
        return future

    def thread_seconds(self) -> float:
        """How long a thread takes this time: mostly little, at times long."""
        if self._chance.random() < 0.05:
            return self._chance.uniform(0.01, 0.5)
        return self._chance.uniform(0.0, 0.004)

    def in_life(self, life: Life, function: Callable[..., Any], *arguments: Any) -> Any:
        """Call `function` as part of a life: what it starts belongs to that life as well."""
        context = contextvars.copy_context()
        context.run(CURRENT_LIFE.set, life)
        return context.run(function, *arguments)

    def create_task(self, coro, **keywords):  # type: ignore[no-untyped-def,override]
        task = super().create_task(coro, **keywords)
        self._tasks.append(task)
        return task

    def forget(self) -> None:
        """The run is over: let go of tasks that will never be taken further."""
        # What they say about ending in the middle of something is nobody's fault.
        logging.disable(logging.CRITICAL)
        for task in self._tasks:
            if not task.done():
                task._log_destroy_pending = False  # type: ignore[attr-defined]
                with contextlib.suppress(BaseException):
                    task.get_coro().close()  # type: ignore[union-attr]
        logging.disable(logging.NOTSET)
        self._tasks.clear()
        self._ready.clear()  # type: ignore[attr-defined]
        self._scheduled.clear()  # type: ignore[attr-defined]
        self.close()

    def _keep_fault(self, loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        if not CURRENT_LIFE.get().is_over:
            self.faults.append(context)

    def call_soon_threadsafe(self, callback, *args, context=None):  # type: ignore[no-untyped-def,override]
        return self.call_soon(callback, *args, context=context)

    def _run_once(self) -> None:
        """One turn: all that is ready, in order."""
        scheduled, ready = self._scheduled, self._ready  # type: ignore[attr-defined]
        while scheduled and scheduled[0]._cancelled:
            heapq.heappop(scheduled)._scheduled = False
        if not ready:
            if not scheduled:
                if self._stopping:  # type: ignore[attr-defined]
                    return
                raise Stuck("nobody is ready and no timer runs")
            self._now = max(self._now, scheduled[0]._when)
        while scheduled and scheduled[0]._when <= self._now:
            handle = heapq.heappop(scheduled)
            handle._scheduled = False
            if not handle._cancelled:
                ready.append(handle)
        for _ in range(len(ready)):
            handle = ready.popleft()
            if handle._cancelled or handle._context.get(CURRENT_LIFE, NOBODY).is_over:
                continue
            self.steps += 1
            if self.steps > self._most_steps:
                raise TooManySteps(f"more than {self._most_steps} steps")
            if self.before_step is not None:
                self.before_step()
                if handle._context.get(CURRENT_LIFE, NOBODY).is_over:
                    continue
            handle._run()

    def _write_to_self(self) -> None:
        """Nobody else could need waking."""

    def _process_events(self, event_list: object) -> None:
        raise AssertionError("there is no selector")
