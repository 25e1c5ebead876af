"""What it costs to come together again: d of a million nodes apart, for each rung of the ladder.

- `tail`: the client is behind by d nodes and has its cursor.
- `cut`: the server was put back to an older copy and lacks the d newest nodes, which the client
  holds: they find the place by seq, and the client pushes.
- `walk`: the same without a cursor: they find the place from the frontier.
- `branches`: the server lacks d nodes on a hundred concurrent branches that the client holds.
- `behind branches`: the client lacks them, and has a frontier but no cursor.

Real servers on loopback, the SDK's own sessions without its documents. What is counted are the
frames after the welcome; acknowledgments are in. Missing nodes are counted as signed packs of
1,024, as pages are.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import shutil
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import uvloop

from bench.histories import ROOM
from bench.machine import machine
from bench.measure import RESULTS, Claim, Figures, Samples, require_build
from bench.processes import free_port, roomlog_command, server, store_directory
from bench.rooms import LogOf, RoomWriter, UnsignedSigner, typed
from bench.websocket import WebSocketClient, connect
from roomlog.core.graph import Graph
from roomlog.core.node import Node
from roomlog.core.pack import encode_pack
from roomlog.identity import Identity
from roomlog.protocol import client_events as events
from roomlog.protocol.client_session import ClientSession
from roomlog.protocol.codec import Codec, client_frames, server_frames
from roomlog.protocol.messages import Cursor, Pack, Pending, Request

NODES = 1_000_000
DIFFERENCES = (0, 1, 10, 100, 1_000, 10_000, 100_000)
BRANCHES = 100
PAGE_NODES = 1_024
NEGOTIATION_LIMIT_BYTES = 2_048
SECONDS = 300
RAISED_LIMITS = {"ROOMLOG_RESEND_WINDOW_MS": str(10**15)}


class Held:
    """The client's log for the session: seqs where they are known, and the graph."""

    def __init__(self, log: LogOf, graph: Graph) -> None:
        self.graph = graph
        self.id_at = log.id_at


class Session(WebSocketClient):
    """One session; counts the frames after its welcome."""

    def __init__(self, url: str, session: ClientSession, to_push: Sequence[Node]) -> None:
        super().__init__(url, Codec.MSGPACK.subprotocol)
        self.session = session
        self.done = asyncio.Event()
        self.error: Exception | None = None
        self.catch_up = ""
        self.handshake_bytes = self.requests = self.asked_ids = 0
        self.negotiation_bytes = self.pack_bytes = self.all_bytes = 0
        self.received_nodes = 0
        self._to_push = to_push
        self._unacknowledged = {node.id for node in to_push}
        self._is_caught_up = False
        self._read = server_frames(Codec.MSGPACK).read
        self._read_own = client_frames(Codec.MSGPACK).read

    def received(self, data: bytes, start: int, end: int) -> None:
        frame = data[start:end]
        was_open = self.session.is_open
        try:
            self._count(frame, was_open)
            for event in self.session.receive(frame):
                self._take(event)
        except Exception as error:
            self.error = error
            self.done.set()
            return
        self._write_frames()
        if self._is_caught_up and not self._unacknowledged:
            self.done.set()

    def _count(self, frame: bytes, was_open: bool) -> None:
        if not was_open:
            self.handshake_bytes += len(frame)
            return
        self.all_bytes += len(frame)
        message = self._read(frame)
        if isinstance(message, Pack):
            self.pack_bytes += len(frame)
            self.received_nodes += message.to_seq - message.from_seq + 1
        elif type(message).__name__ == "RequestEnd":
            self.negotiation_bytes += len(frame)

    def _take(self, event: events.ClientEvent) -> None:
        if isinstance(event, events.Opened):
            self.catch_up = event.catch_up
            self._is_caught_up = event.catch_up == "none"
        elif isinstance(event, events.CatchUpChanged):
            raise ValueError(f"another rung: {event.catch_up}, {event.reason}")
        elif isinstance(event, events.CaughtUp):
            self._is_caught_up = True
        elif isinstance(event, events.Acknowledged):
            self._unacknowledged -= set(event.seqs)
        elif isinstance(event, events.Refused):
            raise ValueError(f"refused: {event.nodes[0]}")
        elif isinstance(event, events.Faulted):
            raise ValueError(str(event.reject))
        if self._is_caught_up and self._to_push:
            nodes, self._to_push = self._to_push, ()
            self.session.push(nodes)

    def _write_frames(self) -> None:
        for frame in self.session.take_frames():
            if not self.session.is_open:
                self.handshake_bytes += len(frame)
            else:
                self.all_bytes += len(frame)
                message = self._read_own(frame)
                if isinstance(message, Request):
                    self.requests += 1
                    self.negotiation_bytes += len(frame)
                    self.asked_ids += len(message.frontier or ())
            self.send(frame)


async def meet(
    url: str,
    held: LogOf,
    graph: Graph,
    writer: Identity,
    cursor: Cursor | None,
    frontier: list[bytes],
    to_push: Sequence[Node],
) -> Session:
    pending = Pending(nodes=len(to_push), bytes=400 * len(to_push)) if to_push else None
    session = ClientSession(
        room_id=ROOM,
        origin=url.rpartition("/ws/")[0],
        nonce=os.urandom(32),
        signer=writer,
        lineage=held.lineage,
        cursor=cursor,
        frontier=frontier,
        held=Held(held, graph),
        pending=pending,
    )
    client = Session(url, session, to_push)
    await connect(client)
    async with asyncio.timeout(SECONDS):
        await client.done.wait()
    if client.error is not None:
        raise client.error
    client.transport.close()
    return client


def pack_bytes_of(nodes: Sequence[Node]) -> int:
    starts = range(0, len(nodes), PAGE_NODES)
    return sum(len(encode_pack(nodes[start : start + PAGE_NODES])) for start in starts)


def graph_of(nodes: Sequence[Node]) -> Graph:
    graph = Graph()
    for node in nodes:
        graph.add(node.id, node.author, node.clock, node.parents)
    return graph


def figures_of(client: Session, missing: Sequence[Node], heads: int) -> Figures:
    missing_bytes = pack_bytes_of(missing)
    over = max(0, client.all_bytes - NEGOTIATION_LIMIT_BYTES)
    figures = {
        "rounds": float(client.requests),
        "handshake_bytes": float(client.handshake_bytes),
        "negotiation_bytes": float(client.negotiation_bytes),
        "all_bytes": float(client.all_bytes),
        "missing_pack_bytes": float(missing_bytes),
        "times_the_missing": over / missing_bytes if missing_bytes else float(over > 0),
    }
    if heads:
        # One id asked about is one level of one head; the welcome answered the first one of each.
        figures["bytes_a_head_and_level"] = client.negotiation_bytes / (client.asked_ids + heads)
    return figures


class Sweep:
    """The rooms of one sweep: a million nodes in a line, and a hundred branches on top of most."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._base = directory / "base"
        self._base.mkdir()
        self.writer = Identity.generate()
        common = NODES - DIFFERENCES[-1]
        self._room = RoomWriter(str(self._base))
        log = self._room.log
        old = typed(self._room.hasher, UnsignedSigner(bytes([7]) * 32), common, 0, [])
        self._room.add(old)
        self._room.close()
        self.new = typed(self._room.hasher, self.writer, DIFFERENCES[-1], common, [old[-1].id])
        self.base_log = log
        self.log = LogOf(log.lineage, log.epoch)
        self.log.ids = [*log.ids, *(node.id for node in self.new)]
        self._old = old

    def branches(self, count: int) -> list[Node]:
        """`count` nodes on a hundred branches that begin at the last common node."""
        each = max(1, count // BRANCHES)
        first = len(self._old)
        nodes: list[Node] = []
        for number in range(min(BRANCHES, count)):
            nodes += typed(
                self._room.hasher, self.writer, each, first + number * each, [self._old[-1].id]
            )
        return nodes[:count]

    def graph(self, more: Sequence[Node]) -> Graph:
        return graph_of([*self._old, *more])

    def serve(self, more: Sequence[Node]) -> tuple[str, int]:
        """A store of the common nodes and `more`, and a port."""
        copy = self._directory / "copy"
        if copy.exists():
            shutil.rmtree(copy)
        shutil.copytree(self._base, copy)
        if more:
            append(str(copy), self.base_log, more)
        return str(copy), free_port()

    def run(
        self,
        server_has: Sequence[Node],
        client_has: Sequence[Node],
        log: LogOf,
        cursor: Cursor | None,
        frontier: list[bytes],
        missing: Sequence[Node],
        heads: int,
    ) -> tuple[Session, Figures]:
        store, port = self.serve(server_has)
        known = {node.id for node in server_has}
        to_push = [node for node in client_has if node.id not in known]
        with server(roomlog_command(store, port), RAISED_LIMITS, port):
            url = f"ws://127.0.0.1:{port}/ws/{ROOM}"
            graph = self.graph(client_has)
            client = uvloop.run(meet(url, log, graph, self.writer, cursor, frontier, to_push))
        return client, figures_of(client, missing, heads)


def append(directory: str, log: LogOf, nodes: Sequence[Node]) -> None:
    """Write more nodes into a copy of the store."""
    from roomlog.store.interface import Append
    from roomlog.store.sqlite import SqliteStore

    store = SqliteStore.open(directory, store_id=bytes(16), now_ms=0)
    seq = len(log.ids)
    for start in range(0, len(nodes), 4096):
        part = nodes[start : start + 4096]
        made = Append(
            room_id=ROOM,
            epoch=log.epoch,
            from_seq=seq + start + 1,
            count=len(part),
            pack=encode_pack(part),
            ids=b"".join(node.id for node in part),
            submitter=part[0].author,
            admitted_ms=int(time.time() * 1000),
        )
        (outcome,) = store.commit([made])
        assert outcome.is_committed, outcome.reason
    store.close()


def sweep(directory: Path) -> Samples:
    rooms = Sweep(directory)
    new, log = rooms.new, rooms.log
    head = Cursor(epoch=log.epoch, seq=NODES, id=log.ids[-1])
    samples: Samples = {}

    def note(rung: str, difference: int, wanted: str, ran: tuple[Session, Figures]) -> None:
        client, figures = ran
        assert client.catch_up == wanted, (rung, difference, client.catch_up)
        name = f"{rung}, d = {difference:,}"
        samples[name] = [figures]
        shown = "  ".join(f"{each} {value:,.4g}" for each, value in figures.items())
        print(f"differences {name}: {shown}", file=sys.stderr, flush=True)

    for d in DIFFERENCES:
        have = new[: len(new) - d]
        seq = NODES - d
        cursor = Cursor(epoch=log.epoch, seq=seq, id=log.ids[seq - 1])
        missing = new[len(new) - d :]
        short = LogOf(log.lineage, log.epoch)
        short.ids = log.ids[:seq]
        ran = rooms.run(new, have, short, cursor, [log.ids[seq - 1]], missing, 0)
        note("tail", d, "cursor" if d else "none", ran)
        ran = rooms.run(have, new, log, head, [log.ids[-1]], missing, 0)
        note("cut", d, "cut" if d else "none", ran)
        ran = rooms.run(have, new, log, None, [log.ids[-1]], missing, 1)
        note("walk", d, "walk", ran)
        if d < BRANCHES:
            continue
        grown = rooms.branches(d)
        heads = [node.id for node in grown[d // BRANCHES - 1 :: d // BRANCHES]]
        nowhere = LogOf(log.lineage, log.epoch)
        ran = rooms.run([], grown, nowhere, None, sorted(heads), grown, len(heads))
        note("branches", d, "walk", ran)
        base = [rooms.base_log.ids[-1]]
        ran = rooms.run(grown, [], nowhere, None, base, grown, 0)
        note("behind branches", d, "walk", ran)
    return samples


def claims_of(samples: Samples) -> list[dict[str, object]]:
    """The worst of every rung against its limit."""

    def worst(rungs: tuple[str, ...], figure: str) -> list[Figures]:
        found = [
            sample[0][figure]
            for name, sample in samples.items()
            if name.partition(", ")[0] in rungs and figure in sample[0]
        ]
        return [{"worst": max(found)}]

    rows = (
        ("negotiation bytes of a log cut, at worst", ("cut",), "negotiation_bytes", 2_048.0),
        (
            "negotiation bytes a differing head and level of a walk, a hundred heads, at worst",
            ("branches",),
            "bytes_a_head_and_level",
            64.0,
        ),
        (
            "negotiation bytes of a walk from one head, frames included, at worst",
            ("walk",),
            "negotiation_bytes",
            None,
        ),
        (
            "bytes beyond 2 KiB: times the packs of what was missing, at worst",
            ("tail", "cut", "walk", "branches", "behind branches"),
            "times_the_missing",
            1.2,
        ),
    )
    evaluated = []
    for text, rungs, figure, most in rows:
        claim = Claim(text, (text, "worst"), None, at_most=most)
        evaluated.append(claim.evaluate({text: worst(rungs, figure)}))
    return evaluated


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m bench.differences")
    parser.add_argument("--rounds", type=int, help="bytes are the same in every round: one is run")
    parser.parse_args()
    require_build("roomlog")
    started = time.perf_counter()
    with store_directory() as directory:
        samples = sweep(Path(directory))
    claims = claims_of(samples)
    for each in claims:
        print(f"{'met' if each['met'] else 'NOT MET'}: {each['text']}: {each['median']:.3g}")
    result = {
        "bench": "differences",
        "title": f"Coming together again: d of {NODES:,} nodes apart",
        "rounds": 1,
        "samples": samples,
        "claims": claims,
        "facts": {
            "seconds": f"{time.perf_counter() - started:.0f}",
            "branches": str(BRANCHES),
        },
        "machine": machine(),
    }
    RESULTS.mkdir(exist_ok=True)
    path = RESULTS / "differences.json"
    path.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
