"""Everybody comes back at once."""

from __future__ import annotations

import asyncio
import random
from pathlib import Path

from roomlog.server.service import Service
from tests.server.conftest import Join, Start, eventually
from tests.server.raw_client import Closed, RawClient, dial

CLIENTS = 500


async def test_t36_a_storm_of_500_clients_is_let_in_and_the_room_opened_once(
    start: Start, enter: Join, tmp_path: Path
) -> None:
    path = str(tmp_path / "store")
    first = await start(path=path)
    writer = await enter(first)
    await writer.push_and_wait(*[writer.write() for _ in range(50)])
    await first.stop()
    service = await start(path=path, handshakes_max=50, drain_spread_ms=400, drain_retry_after_ms=1)
    loads = 0
    read_index = service.hub.store.load_index

    def counted(room_id: str):  # type: ignore[no-untyped-def]
        nonlocal loads
        loads += 1
        return read_index(room_id)

    service.hub.store.load_index = counted  # type: ignore[method-assign]
    hints: list[int] = []
    async with asyncio.timeout(60):
        clients = await asyncio.gather(*(come_back(service, hints) for _ in range(CLIENTS)))
    assert len(service.hub.connections) == CLIENTS
    assert loads == 1
    assert {client.welcome["seq"] for client in clients} == {50}
    assert hints, "with 50 at once, some of 500 were put off"
    assert len(set(hints)) > 20
    for client in clients:
        await client.close()
    await eventually(lambda: not service.hub.connections)


async def come_back(service: Service, hints: list[int]) -> RawClient:
    """Dial until welcomed, waiting as told."""
    while True:
        client = await dial(service.url)
        try:
            answer = await client.receive()
            if answer["type"] == "challenge":
                client.challenge = answer
                answer = await client.greet()
        except (Closed, ConnectionError):
            await client.close()
            await asyncio.sleep(random.random() / 10)
            continue
        if answer["type"] == "welcome":
            return client
        assert (answer["class"], answer["kind"]) == ("queue_full", "retry")
        hints.append(answer["retry_after_ms"])
        assert (await client.closed()).code == 1013
        await client.close()
        await asyncio.sleep(answer["retry_after_ms"] / 1000)
