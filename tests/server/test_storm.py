"""Many writers on a store that keeps failing: what is acknowledged is there, once, in order."""

from __future__ import annotations

import asyncio
import random

import pytest

from roomlog.core.node import Node
from roomlog.server.service import Service
from roomlog.store.sqlite import SqliteStore
from tests.server.conftest import Join, Start
from tests.server.raw_client import Closed, RawClient, join
from tests.server.test_store_faults import INSERT, durable_ids
from tests.store.faults import Faults

NODES_A_WRITER = 200


class Writer:
    """Writes a chain, a few packs ahead; sends again what was put off, after any disconnect."""

    def __init__(self, service: Service, seed: int) -> None:
        self.service = service
        self.chosen = random.Random(seed)
        self.acknowledged: dict[bytes, int] = {}
        self.chain: list[Node] = []

    async def run(self) -> None:
        client = await join(self.service.url)
        identity = client.identity
        self.chain = [client.write(parents=[]) if not n else client.write() for n in range(1)]
        client.heads = [self.chain[0].id]
        self.chain += [client.write() for _ in range(NODES_A_WRITER - 1)]
        while len(self.acknowledged) < NODES_A_WRITER:
            try:
                await self.push_some(client)
            except Closed as closed:
                if closed.code != 1013:
                    raise
                await client.close()
                client = await self.back(identity)
            else:
                if self.chosen.random() < 0.1:
                    await client.close()
                    client = await self.back(identity)
        await client.close()

    async def back(self, identity: object) -> RawClient:
        for _ in range(500):
            try:
                return await join(self.service.url, identity=identity)
            except (AssertionError, Closed):
                await asyncio.sleep(0)
        raise AssertionError("the room never came back")

    async def push_some(self, client: RawClient) -> None:
        """Push the next nodes in a few packs and read the answers."""
        missing = [node for node in self.chain if node.id not in self.acknowledged]
        sent: list[list[Node]] = []
        while missing and len(sent) < 4:
            count = self.chosen.choice([1, 1, 2, 5])
            sent.append(missing[:count])
            missing = missing[count:]
            await client.push(*sent[-1])
        for part in sent:
            answer = await client.receive()
            while answer["type"] not in ("pack-ack", "error"):
                answer = await client.receive()
            if answer["type"] == "error":
                assert answer["class"] == "store_unavailable", answer
                continue
            self.note(part, answer)

    def note(self, part: list[Node], ack: dict[str, object]) -> None:
        rejected = {each["id"] for each in ack["rejected"]}  # type: ignore[attr-defined]
        duplicates = dict(ack["duplicates"])  # type: ignore[call-overload]
        seq = ack["from_seq"]
        assert isinstance(seq, int)
        for index, node in enumerate(part):
            if node.id in rejected:
                continue
            if index in duplicates:
                here = duplicates[index]
            else:
                here, seq = seq, seq + 1
            assert self.acknowledged.setdefault(node.id, here) == here


async def follow(service: Service, until: asyncio.Event) -> list[tuple[int, bytes]]:
    """Everything relayed to one reader that stays for as long as it is let."""
    seen: list[tuple[int, bytes]] = []
    client = await join(service.url, anonymous=True)
    position = client.welcome["seq"]
    while True:
        try:
            await client.send({"type": "ping"})
            message = await client.receive()
            while message["type"] != "pong":
                if message["type"] == "pack":
                    assert message["from_seq"] == position + 1
                    position = message["to_seq"]
                    for offset, node in enumerate(client.nodes_of(message)):
                        seen.append((message["from_seq"] + offset, node.id))
                message = await client.receive()
        except Closed as closed:
            if closed.code != 1013:
                raise
            return seen
        if until.is_set() and message["seq"] == position:
            await client.close()
            return seen
        await asyncio.sleep(0.002)


@pytest.mark.parametrize("seed", range(4))
async def test_t19_a_storm_of_failing_writes_loses_and_doubles_nothing(
    start: Start, enter: Join, failing_store: SqliteStore, faults: Faults, seed: int
) -> None:
    service = await start(failing_store, messages_per_second=100_000)
    await enter(service)
    chosen = random.Random(seed)
    done = asyncio.Event()
    readers = [asyncio.create_task(follow(service, done)) for _ in range(3)]
    writers = [Writer(service, seed * 10 + number) for number in range(4)]

    async def disturb() -> None:
        while not done.is_set():
            kind = chosen.choice([INSERT, INSERT, "COMMIT"])
            faults.committing_first = chosen.random() < 0.5
            faults.failing[kind] = chosen.randint(1, 4)
            await asyncio.sleep(0.005)

    disturbing = asyncio.create_task(disturb())
    async with asyncio.timeout(30):
        await asyncio.gather(*(writer.run() for writer in writers))
        done.set()
        await disturbing
        faults.failing.clear()
        streams = await asyncio.gather(*readers)
    counters = service.hub.committer.counters
    assert counters.failed_appends
    assert counters.ambiguous_appends
    stored = durable_ids(failing_store)
    assert len(stored) == len(set(stored)) == 4 * NODES_A_WRITER
    for writer in writers:
        for node_id, seq in writer.acknowledged.items():
            assert stored[seq - 1] == node_id
    for stream in streams:
        for seq, node_id in stream:
            assert stored[seq - 1] == node_id
