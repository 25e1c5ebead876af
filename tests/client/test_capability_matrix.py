"""Every capability off on the client, on the server, and on both: the same rooms in the end."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

import roomlog
from roomlog.client.document import Document
from roomlog.client.status import Phase
from roomlog.protocol.capabilities import CAPABILITIES
from roomlog.protocol.codec import Codec
from roomlog.server.service import Service
from tests.client.conftest import ADA, BOB, server_config
from tests.client.server_process import free_port
from tests.client.test_snapshot_join import EAGER, with_snapshot

NAMES = [row.name for row in CAPABILITIES]
EVERYTHING = "everything"
SIDES = ["client", "server", "both"]
EXTREMES = [("nothing", "both"), (EVERYTHING, "client"), (EVERYTHING, "server")]
CASES = [
    *((name, side, Codec.MSGPACK) for name in [*NAMES, EVERYTHING] for side in SIDES),
    ("nothing", "both", Codec.MSGPACK),
    *((name, side, Codec.JSON) for name, side in EXTREMES),
]
LIMIT_S = 30.0


async def same(*docs: Document) -> None:
    async with asyncio.timeout(LIMIT_S):
        for doc in (*docs, *docs):
            await doc.synced()
    assert len({doc.state_hash() for doc in docs}) == 1
    assert docs[0].state_hash().complete


async def write(doc: Document, count: int) -> None:
    for number in range(count):
        doc.map("m")[str(number % 5)] = number
        await doc.flush()
        doc.text("t").append(f"{number} ")
        await doc.flush()


@pytest.mark.parametrize(("name", "side", "codec"), CASES)
async def test_whatever_is_off_all_documents_end_with_the_same_room(
    name: str, side: str, codec: Codec, tmp_path: Path
) -> None:
    off = NAMES if name == EVERYTHING else [name] if name in NAMES else []
    left = [each for each in NAMES if each not in off] if side in ("client", "both") else None
    server_off = off if side in ("server", "both") else []
    port = free_port()
    config = server_config(
        port, store=str(tmp_path / "server"), capabilities_off=server_off, **EAGER
    )
    url = f"ws://127.0.0.1:{port}"
    store = tmp_path / "bob.sqlite3"

    def opened(identity: roomlog.Identity | None, **more: object) -> Document:
        return roomlog.connect(
            url,
            room="demo",
            identity=identity,
            codec=codec,
            capabilities=left,
            **more,  # type: ignore[arg-type]
        )

    async with opened(ADA) as ada:
        async with Service(config) as service:
            async with opened(BOB, store=store) as bob:
                await write(ada, 15)
                await write(bob, 3)
                await same(ada, bob)
            await write(ada, 15)
            await ada.synced(LIMIT_S)
            await with_snapshot(service)
            # One who comes back, one who is new, one who wants a few keys.
            async with (
                opened(BOB, store=store) as bob,
                opened(None) as eve,
                opened(None, subscribe=["m/*"]) as part,
            ):
                await same(ada, bob, eve)
                can_join = "snapshot_join" not in off
                assert (eve.status.catch_up == "snapshot") is can_join
                await part.synced(LIMIT_S)
                assert part.map("m").to_dict() == ada.map("m").to_dict()
                assert part.state_hash() == ada.replica.state_hash(["m/*"])
                has_bodies = all(node.body is not None for node in part.replica.nodes())
                assert has_bodies is ("header_only_nodes" in off)
                ada.presence.set("here")
                await ada.synced(LIMIT_S)
                await eve.synced(LIMIT_S)
                seen = [each.data for each in eve.presence.values()]
                assert seen == ([] if "presence_ttl" in off else ["here"])
                await eve.history(LIMIT_S)
                await same(ada, bob, eve)
        # What was written without a server comes to the next one.
        await write(ada, 3)
        async with Service(config), opened(BOB, store=store) as bob:
            await ada.until(lambda status: status.phase is Phase.LIVE, LIMIT_S)
            await same(ada, bob)


@pytest.mark.parametrize("codec", list(Codec))
async def test_t43_a_client_of_plain_protocol_1_meets_a_full_server(codec: Codec) -> None:
    async with (
        Service(server_config()) as service,
        roomlog.connect(service.url, room="demo", identity=ADA) as ada,
        roomlog.connect(
            service.url, room="demo", identity=BOB, codec=codec, capabilities=[]
        ) as plain,
    ):
        await write(ada, 5)
        await write(plain, 5)
        await same(ada, plain)
        assert len(plain.peers) == 0
