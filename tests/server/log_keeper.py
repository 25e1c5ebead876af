"""A plain client that keeps a log by hand and brings back what a server lost."""

from __future__ import annotations

from typing import Any

from roomlog.core.node import Node
from roomlog.core.operation import MapSet
from roomlog.core.pack import encode_pack
from roomlog.identity import Identity
from tests.server.raw_client import RawClient, join

PACK_NODES = 50


class LogKeeper:
    """Everything one client knows of a room, from session to session."""

    def __init__(self, url: str, *, identity: Identity | None = None) -> None:
        self.url = url
        self.identity = identity or Identity.generate()
        self.nodes: dict[bytes, Node] = {}
        self.own: list[bytes] = []
        self.acked: set[bytes] = set()
        self.lineage: bytes | None = None
        self.cursor: dict[str, Any] | None = None
        self.checkpoint: dict[str, Any] | None = None
        self.heads: list[bytes] = []
        self.clock = 0
        self.refused: list[str] = []

    def hello(self, *, shows: bool) -> dict[str, Any]:
        fields: dict[str, Any] = {"pending": {"nodes": 10_000, "bytes": 10_000_000}}
        if self.lineage is not None:
            fields["lineage"] = self.lineage
        if self.cursor is not None:
            fields["cursor"] = self.cursor
            fields["frontier"] = self.heads
        if shows and self.checkpoint is not None:
            fields["checkpoint"] = self.checkpoint
        return fields

    async def enter(self, *, shows: bool = True) -> RawClient:
        """A session that was told how far the log is; its checkpoint is kept."""
        client = await join(self.url, identity=self.identity, hello=self.hello(shows=shows))
        self.lineage = client.welcome["lineage"]
        client.heads, client.clock = self.heads, self.clock
        return client

    def keep_checkpoint(self, client: RawClient) -> None:
        welcome = client.welcome
        self.checkpoint = {
            "lineage": welcome["lineage"],
            "epoch": welcome["epoch"],
            "seq": welcome["seq"],
            "frontier": welcome["frontier"],
            "signature": welcome["checkpoint"],
        }

    async def write(self, client: RawClient, count: int) -> None:
        """Nodes on top of what this client knows, all acknowledged."""
        for _ in range(count):
            node = client.write(MapSet(f"k{len(self.own) % 9}", len(self.own)))
            ack = await client.push_and_wait(node)
            assert not ack["rejected"], ack
            self.learn(node)
            self.own.append(node.id)
            self.acked.add(node.id)
        self.heads, self.clock = client.heads, client.clock

    def learn(self, node: Node) -> None:
        self.nodes[node.id] = node
        self.clock = max(self.clock, node.clock)

    async def read_all(self, client: RawClient) -> set[bytes]:
        """Read the whole log of the session; the ids in it."""
        welcome = client.welcome
        client.packs.clear()
        await client.catch_up(after={"epoch": welcome["epoch"], "seq": 0})
        ids: list[bytes] = []
        for pack in client.packs:
            for node in client.nodes_of(pack):
                ids.append(node.id)
                self.learn(node)
        if ids:
            last = client.packs[-1]["to_seq"]
            self.cursor = {"epoch": welcome["epoch"], "seq": last, "id": ids[-1]}
        parents = {parent for node in self.nodes.values() for parent in node.parents}
        self.heads = sorted(self.nodes.keys() - parents)
        client.heads, client.clock = self.heads, self.clock
        return set(ids)

    async def bring_back(self, client: RawClient, there: set[bytes]) -> int:
        """Push what the server lacks and may be given; how many nodes it took."""
        of_all = "missing" in client.welcome
        lacking = [
            node
            for node in self.nodes.values()
            if node.id not in there and (of_all or node.author == self.identity.public_key)
        ]
        taken = 0
        for start in range(0, len(lacking), PACK_NODES):
            nodes = lacking[start : start + PACK_NODES]
            await client.push(nodes=encode_pack(nodes))
            ack = await client.receive_type("pack-ack")
            self.refused += [each["class"] for each in ack["rejected"]]
            taken += len(nodes) - len(ack["rejected"]) - len(ack["duplicates"])
        return taken

    async def visit(self, *, shows: bool = True) -> dict[str, Any]:
        """Come, read everything, bring back what is lacking, and go; the welcome."""
        async with await self.enter(shows=shows) as client:
            there = await self.read_all(client)
            await self.bring_back(client, there)
            return client.welcome
