"""Real servers on loopback for the tests beside this file."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import pytest

from roomlog.server.config import load_config
from roomlog.server.service import Service
from roomlog.store.sqlite import SqliteStore
from tests.server.raw_client import RawClient, dial, join
from tests.store.faults import Faults

Start = Callable[..., Awaitable[Service]]
Join = Callable[..., Awaitable[RawClient]]


@pytest.fixture
async def stack() -> AsyncIterator[AsyncExitStack]:
    """Closes clients before servers, within bounds."""
    async with AsyncExitStack() as entered:
        yield entered


@pytest.fixture
async def start(stack: AsyncExitStack) -> Start:
    """Starts servers: on a store, on the store at `path`, or in memory.

    Other keywords are keys of the configuration.
    """

    async def started(
        store: SqliteStore | None = None, path: str | None = None, **keys: Any
    ) -> Service:
        values = {"bind": "127.0.0.1:0", "log_level": "error", "drain_deadline_ms": 3_000, **keys}
        values["store"] = path
        return await stack.enter_async_context(Service(load_config(values, {}), store=store))

    return started


@pytest.fixture
async def enter(stack: AsyncExitStack) -> Join:
    """Joins rooms: `enter(service, room, **options)`."""

    async def joined(service: Service, room: str = "room", **options: Any) -> RawClient:
        return await stack.enter_async_context(await join(service.url, room, **options))

    return joined


@pytest.fixture
async def call(stack: AsyncExitStack) -> Join:
    """Dials without a hello."""

    async def dialled(service: Service, room: str = "room", **options: Any) -> RawClient:
        return await stack.enter_async_context(await dial(service.url, room, **options))

    return dialled


@pytest.fixture
def faults() -> Faults:
    return Faults()


@pytest.fixture
def failing_store(tmp_path: Path, faults: Faults, stack: AsyncExitStack) -> SqliteStore:
    """A SQLite store that fails on demand."""
    store = SqliteStore.open(
        tmp_path / "store", store_id=os.urandom(16), now_ms=1, connect=faults.connect
    )
    stack.callback(store.close)
    return store


async def eventually(is_so: Callable[[], bool], seconds: float = 5.0) -> None:
    """Wait for something that another task will bring about."""
    async with asyncio.timeout(seconds):
        while not is_so():  # noqa: ASYNC110 - what is awaited has no event of its own
            await asyncio.sleep(0.002)
