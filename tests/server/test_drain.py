"""Stopping: nobody loses what was pushed, nobody keeps the server from leaving."""

from __future__ import annotations

import asyncio
import contextlib
import os
import re
import signal
import sys
import time
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from roomlog.store.sqlite import SqliteStore
from tests.server.conftest import Join, Start, eventually
from tests.server.raw_client import RawClient, join
from tests.server.test_reading import DeafReader, flood
from tests.server.test_store_faults import HeldBack

SERVE = """
import sys
from roomlog.server.config import load_config
from roomlog.server.service import run
keys = dict(part.split("=", 1) for part in sys.argv[1:])
raise SystemExit(run(load_config(keys, {}), lambda service: print(service.url, flush=True)))
"""


async def test_t44_packs_in_flight_are_acknowledged_before_the_close(
    start: Start, enter: Join
) -> None:
    service = await start()
    writer, reader = await enter(service), await enter(service)
    held = HeldBack(service)
    nodes = [writer.write() for _ in range(5)]
    for node in nodes:
        await writer.push(node)
    room = service.hub.registry.rooms["room"]
    await eventually(lambda: len(room._in_flight) == 5)
    stopping = asyncio.create_task(service.stop())
    notice = await writer.receive_type("notice")
    assert notice["drain"]["deadline_ms"] > 0
    await held.release()
    for number in range(1, 6):
        assert (await writer.receive_type("pack-ack"))["to_seq"] == number
    assert (await writer.closed()).code == 1012
    assert (await reader.closed()).code == 1012
    assert await stopping


async def test_t36_retry_hints_are_spread(start: Start, enter: Join) -> None:
    service = await start(drain_retry_after_ms=1_000, drain_spread_ms=5_000)
    clients = [await enter(service) for _ in range(20)]
    stopping = asyncio.create_task(service.stop())
    hints = []
    for client in clients:
        hints.append((await client.receive_type("notice"))["drain"]["retry_after_ms"])
        assert (await client.closed()).code == 1012
    await stopping
    assert len(set(hints)) > 5
    assert all(1_000 <= hint <= 6_000 for hint in hints)


async def test_new_sessions_are_sent_away_while_draining(
    start: Start, enter: Join, call: Join
) -> None:
    service = await start()
    service.hub.is_draining = True
    client = await call(service)
    error = await client.receive()
    assert (error["class"], error["kind"]) == ("draining", "retry")
    assert (await client.closed()).code == 1012


async def test_t44_a_socket_that_takes_nothing_does_not_keep_the_server(
    start: Start, enter: Join
) -> None:
    service = await start(drain_deadline_ms=500, live_bytes_per_second=1 << 30, slice_bytes=1 << 27)
    writer = await enter(service)
    deaf = await DeafReader.enter(service, enter)
    await flood(writer, 12)
    started = time.monotonic()
    assert await service.stop()
    assert time.monotonic() - started < 5
    assert not service.hub.connections
    deaf.listen()


async def test_t44_the_deadline_of_a_drain_ends_what_does_not_end_by_itself(
    start: Start, enter: Join, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Nobody else cuts a socket that is not read to its close.
    for module in ("connection", "edge"):
        monkeypatch.setattr(f"roomlog.server.{module}.CLOSE_WAIT_SECONDS", 3_600.0)
    service = await start(
        drain_deadline_ms=200,
        live_bytes_per_second=1 << 30,
        slice_bytes=1 << 27,
        send_stall_ms=3_600_000,
    )
    writer = await enter(service)
    deaf = await DeafReader.enter(service, enter)
    await flood(writer, 12)
    await writer.close()
    async with asyncio.timeout(10):
        assert await service.stop()
    assert not service.hub.connections
    deaf.listen()


async def test_stopping_twice_is_stopping_once(start: Start) -> None:
    service = await start()
    assert await service.stop()
    assert await service.stop()


@contextlib.asynccontextmanager
async def server_process(**keys: str) -> AsyncIterator[tuple[asyncio.subprocess.Process, str]]:
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-c",
        SERVE,
        *(f"{key}={value}" for key, value in {"bind": "127.0.0.1:0", **keys}.items()),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    try:
        assert process.stdout is not None
        line = await asyncio.wait_for(process.stdout.readline(), 20)
        yield process, line.decode().strip()
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
async def test_t44_a_signal_drains_the_process_and_it_exits_with_zero(
    tmp_path: Path, number: signal.Signals
) -> None:
    path = str(tmp_path / "store")
    async with server_process(store=path, log_format="json") as (process, url):
        writer = await join(url)
        acknowledged = []
        for _ in range(20):
            node = writer.write()
            await writer.push_and_wait(node)
            acknowledged.append(node.id)
        process.send_signal(number)
        assert (await writer.receive_type("notice"))["drain"]["retry_after_ms"] > 0
        assert (await writer.closed()).code == 1012
        await writer.close()
        assert process.stderr is not None
        log = (await asyncio.wait_for(process.stderr.read(), 20)).decode()
        assert await asyncio.wait_for(process.wait(), 20) == 0
    assert re.search(r'"code": ?1012.*"event": ?"session ended"', log)
    for secret in (acknowledged[0].hex(), writer.client_nonce.hex()):
        assert secret not in log
    store = SqliteStore.open_read_only(path)
    (room,) = store.rooms()
    assert room.head_seq == 20
    assert b"".join(row.ids for row in store.load_index("room")) == b"".join(acknowledged)
    store.close()
    assert (tmp_path / "store" / "server.key").stat().st_mode & 0o777 == 0o600


async def test_t44_stuck_sockets_do_not_keep_the_process_from_ending_with_zero(
    tmp_path: Path,
) -> None:
    path = str(tmp_path / "store")
    keys = {"drain_deadline_ms": "2000", "messages_per_second": "1000000"}
    async with contextlib.AsyncExitStack() as stack:
        process, url = await stack.enter_async_context(server_process(store=path, **keys))
        writer = await stack.enter_async_context(await join(url))
        await writer.push_and_wait(*[writer.write() for _ in range(10)])
        # One never reads, and a lot waits for it.
        deaf = await stack.enter_async_context(await join(url))
        assert deaf.socket._response.connection is not None
        transport = deaf.socket._response.connection.transport
        assert isinstance(transport, asyncio.Transport)
        transport.pause_reading()
        stack.callback(transport.abort)
        for _ in range(40_000):
            await deaf.send({"type": "ping", "ref": "r" * 64})
        # One is in the middle of a pack.
        cut = await stack.enter_async_context(await join(url))
        assert cut.socket._response.connection is not None
        half = cut.socket._response.connection.transport
        assert half is not None
        stack.callback(half.abort)
        half.write(b"\x82\xfe\xff\xff" + b"mask" + bytes(100))
        # One is no session, one says nothing at all.
        port = int(url.rpartition(":")[2])
        for head in (b"GET /healthz HTTP/1.1\r\nHost: a\r\n\r\n", b"", b"GET /ws/room HT"):
            _, plain = await asyncio.open_connection("127.0.0.1", port)
            plain.write(head)
            stack.callback(plain.close)
        process.send_signal(signal.SIGTERM)
        await writer.receive_type("notice")
        assert (await writer.receive_type("checkpoint"))["seq"] == 10
        assert (await writer.closed()).code == 1012
        assert await asyncio.wait_for(process.wait(), 20) == 0
        assert process.stderr is not None
        log = (await process.stderr.read()).decode()
        seconds = re.search(r'"seconds": ?([0-9.]+), "event": ?"stopped"', log)
        assert seconds is not None, log
        assert float(seconds[1]) <= 2.5
    store = SqliteStore.open_read_only(path)
    assert store.rooms()[0].head_seq == 10
    store.close()


async def test_a_second_signal_ends_at_once(tmp_path: Path) -> None:
    async with server_process(store=str(tmp_path / "store"), drain_deadline_ms="60000") as (
        process,
        url,
    ):
        clients: list[RawClient] = [await join(url) for _ in range(2)]
        process.send_signal(signal.SIGTERM)
        await clients[0].receive_type("notice")
        # Nobody answers the close: the drain has not ended when the second signal comes.
        process.send_signal(signal.SIGTERM)
        assert await asyncio.wait_for(process.wait(), 20) == 1
        for client in clients:
            await client.close()


async def test_t23_a_restarted_server_continues_under_the_same_key_epoch_and_lineage(
    tmp_path: Path,
) -> None:
    path = str(tmp_path / "store")
    seen = []
    heads: list[bytes] = []
    for number in range(3):
        async with server_process(store=path, log_level="error") as (process, url):
            client = await join(url)
            assert client.welcome["seq"] == number
            assert client.welcome["frontier"] == heads
            client.clock = number
            await client.push_and_wait(client.write())
            heads = client.heads
            welcome = client.welcome
            seen.append((client.challenge["server_pubkey"], welcome["epoch"], welcome["lineage"]))
            if number:
                os.kill(process.pid, signal.SIGKILL)
                await process.wait()
            else:
                process.terminate()
                await client.closed()
                await asyncio.wait_for(process.wait(), 20)
            await client.close()
    assert len(set(seen)) == 1
