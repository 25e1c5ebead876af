"""One round: a served store, clients that write, what befalls them, and what must be true then."""

from __future__ import annotations

import asyncio
import random
import shutil
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

import roomlog
from roomlog.client.document import Document
from roomlog.client.status import Phase
from roomlog.core.state_hash import StateHash
from roomlog.identity import Identity
from roomlog.protocol.capabilities import CAPABILITIES
from roomlog.protocol.codec import Codec
from tests.client.chaos_writer import Writer
from tests.crash.killed_writer import MODES, KilledWriter
from tests.crash.served_store import ServedStore
from tests.crash.stored_log import (
    ROOM,
    Answer,
    asked,
    replayed_naively,
    stored_ids,
    stored_nodes,
)

WRITERS = 4
LIMIT_S = 60.0
QUIET_S = 20.0
LOOK_S = 0.02
SNAPSHOT_TRIES = 8
SNAPSHOT_WAIT_S = 0.2
SETTINGS = {
    "checkpoint_interval_ms": 50,
    "drain_deadline_ms": 3_000,
    "drain_retry_after_ms": 10,
    "drain_spread_ms": 10,
    "handshakes_per_address_per_second": 10_000,
    "ping_interval_ms": 300,
    "pings_missed": 2,
    "send_stall_ms": 600,
    "snapshot_every_ms": 300,
    "snapshot_every_nodes": 40,
    "snapshot_margin_nodes": 4,
    "snapshot_worth_nodes": 10,
    "tick_ms": 100,
}
UNEXPECTED = ("Traceback", '"incident"', "internal fault")


class Round:
    """`async with Round(...).living() as here`, then faults, then `here.finish()`."""

    def __init__(self, seed: int, directory: Path) -> None:
        self.seed = seed
        self.choose = random.Random(seed)
        self.directory = directory
        self.trail: list[str] = []
        """What was done, in words, for whoever reads a failure."""
        self.store = directory / "store"
        self.seen: set[bytes] = set()
        """Every id that any client ever saw as admitted: it is in the log for ever."""
        self.authors: set[bytes] = set()
        """Whose nodes there may be, beside the server's own."""
        self.writer_keys: set[bytes] = set()
        """The authors whose every node is known here, also before anybody acknowledged it."""
        self.may_lack = False
        """A file was changed behind the server's back: its log may be shorter for a while."""
        self.facts: dict[str, int] = {}
        self.writers: list[Writer] = []
        self.killed: list[KilledWriter] = []
        self._writing: list[asyncio.Task[None]] = []
        self._is_ending = False

    def put_store(self, path: Path) -> None:
        """Where the store is to be, before it is served."""
        self.store = path

    @asynccontextmanager
    async def living(self, *, is_founded: bool = True) -> AsyncIterator[Round]:
        """The server (started, unless a fault does that) and the clients; all gone afterwards."""
        self.server = ServedStore(self.store, self.directory / "server.log", SETTINGS)
        try:
            if is_founded:
                await self.server.start()
            yield self
        except BaseException as error:
            error.add_note(f"trail: {'; '.join(self.trail)}")
            states = [(each.name, str(each.doc.status)) for each in self.writers]
            error.add_note(f"clients: {states}")
            error.add_note(f"server: ...{self.server.logged()[-3_000:]}")
            raise
        finally:
            await self._end()

    async def _end(self) -> None:
        self._is_ending = True
        for task in self._writing:
            task.cancel()
        await asyncio.gather(*self._writing, return_exceptions=True)
        for killed in self.killed:
            killed.end()
        for writer in self.writers:
            await asyncio.gather(writer.doc.close(timeout_s=0), return_exceptions=True)
        await self.server.kill()

    # load

    async def begin(self, *killed_modes: str) -> None:
        """Let clients write until `finish`: four in here, others in processes of their own."""
        url = self.server.url
        for number, mode in enumerate(killed_modes):
            assert mode in MODES
            killed = KilledWriter(number, mode, url, self.directory)
            self.killed.append(killed)
            self.authors.add(killed.public_key)
            killed.start()
        for number in range(WRITERS):
            codec = Codec.JSON if (self.seed + number) % 3 == 0 else Codec.MSGPACK
            writer = Writer(number, self.seed, url, codec, self.directory)
            await writer.open()
            self.writers.append(writer)
            assert writer.doc.replica.identity is not None
            self.writer_keys.add(writer.doc.replica.identity.public_key)
        self.authors |= self.writer_keys
        # Ids are final only under the room's own lineage.
        for writer in self.writers:
            await writer.doc.synced(LIMIT_S)
        self._writing = [asyncio.create_task(self._write(writer)) for writer in self.writers]
        self._writing.append(asyncio.create_task(self._look_on()))

    async def _write(self, writer: Writer) -> None:
        number = 0
        while not self._is_ending:
            await writer.write(number, again=0.01)
            writer.doc.presence.set({"number": number})
            await writer.pause(0.06)
            number += 1

    async def _look_on(self) -> None:
        while not self._is_ending:
            self.look()
            await asyncio.sleep(0.1)

    def look(self) -> None:
        """Note what every client in here holds as admitted."""
        for task in self._writing:
            if task.done() and not self._is_ending:
                task.result()
        for writer in self.writers:
            doc = writer.doc
            phase = doc.status.phase
            assert phase is not Phase.STOPPED, f"{writer.name} gave up: {doc.status.problem!r}"
            pending = set(doc.pending)
            self.seen.update(each.id for each in doc.replica.nodes() if each.id not in pending)

    async def pause(self, least_s: float, most_s: float) -> None:
        await asyncio.sleep(self.choose.uniform(least_s, most_s))

    def note(self, text: str) -> None:
        self.trail.append(text)

    def count(self, fact: str, number: int = 1) -> None:
        self.facts[fact] = self.facts.get(fact, 0) + number

    # what must be true

    async def check_dead(self) -> None:
        """The server is dead: whatever anybody saw acknowledged is in its files, once."""
        assert not self.server.is_up
        await self._heard_out()
        self.look()
        for killed in self.killed:
            self.seen |= killed.told()[1]
        if self.may_lack:
            return
        ids = await asyncio.to_thread(stored_ids, self.store)
        assert len(set(ids)) == len(ids), "a node is in the log twice"
        lost = self.seen - set(ids)
        assert not lost, f"{len(lost)} acknowledged nodes are not in a log of {len(ids)}"

    async def _heard_out(self) -> None:
        """Everything that was on its way from a dead server has been read."""
        deadline = time.monotonic() + QUIET_S
        while any(
            each.doc.status.phase in (Phase.LIVE, Phase.CATCHING_UP, Phase.DRAINING)
            for each in self.writers
        ):
            assert time.monotonic() < deadline, "a client does not see that its server is dead"
            await asyncio.sleep(LOOK_S / 4)

    async def acknowledged_again(self) -> None:
        """Somebody's new write gets its acknowledgment: the server takes writes."""
        async with asyncio.timeout(LIMIT_S):
            await self.writers[0].doc.synced()

    async def finish(self) -> None:
        """No more faults: everybody agrees, and so do those who come now and the files."""
        self._is_ending = True
        for outcome in await asyncio.gather(*self._writing, return_exceptions=True):
            if isinstance(outcome, BaseException):
                raise outcome
        if not self.server.is_up:
            await self.server.start()
        async with AsyncExitStack() as stack:
            docs = {writer.name: writer.doc for writer in self.writers}
            for killed in self.killed:
                killed.kill()
                docs[killed.name] = await killed.open()
                stack.push_async_callback(docs[killed.name].close, timeout_s=0)
                await self._widened(docs[killed.name])
            state_hash = await self._agreed(docs)
            fresh = await self._fresh(stack)
            fresh_hashes = {name: doc.state_hash() for name, doc in fresh.items()}
            assert set(fresh_hashes.values()) == {state_hash}, (state_hash, fresh_hashes)
            everybody = {**docs, **fresh}
            self._check_writes(everybody)
            self.look()
            texts = {
                name: str(doc.text("text"))
                for name, doc in everybody.items()
                if name != self._partial
            }
            frontier = fresh["full msgpack"].frontier
        self.facts["kills"] = self.server.kills + sum(each.kills for each in self.killed)
        await self.server.drain()
        await self.check_dead()
        await asyncio.to_thread(self._check_files, str(state_hash), texts, list(frontier))
        logged = self.server.logged()
        faults = [line for line in logged.splitlines() if any(word in line for word in UNEXPECTED)]
        assert not faults, f"the server met a fault of its own: {faults[0][:2000]}"
        if not self.may_lack:
            assert "log lost" not in logged, "a log was lost, and nobody had touched it"

    @property
    def _partial(self) -> str:
        return next(each.name for each in self.writers if each.is_partial)

    async def _widened(self, doc: Document) -> None:
        async with asyncio.timeout(LIMIT_S):
            await doc.synced()
            await doc.subscribe([])

    async def _agreed(self, docs: dict[str, Document]) -> StateHash:
        """The state hash of everybody who holds everything, once they are the same."""
        try:
            async with asyncio.timeout(LIMIT_S):
                while True:
                    for doc in docs.values():
                        await doc.synced()
                    hashes = {
                        doc.state_hash() for name, doc in docs.items() if name != self._partial
                    }
                    if len(hashes) == 1 and (found := hashes.pop()).complete:
                        return found
                    await asyncio.sleep(LOOK_S)
        except TimeoutError as error:
            held = {
                name: (str(doc.state_hash()), len(doc.replica), doc.status)
                for name, doc in docs.items()
            }
            error.add_note(f"they do not agree: {held}")
            raise

    async def _fresh(self, stack: AsyncExitStack) -> dict[str, Document]:
        """Who comes for the first time: by all of history and by a snapshot, in both codecs."""
        docs = {}
        ways = [row.name for row in CAPABILITIES if row.name != "snapshot_join"]
        for codec in Codec:
            name = codec.name.lower()
            docs[f"full {name}"] = await stack.enter_async_context(
                roomlog.connect(
                    self.server.url, room=ROOM, codec=codec, verify="all", capabilities=ways
                )
            )
            docs[f"recent {name}"] = await self._by_snapshot(stack, codec)
        async with asyncio.timeout(LIMIT_S):
            for doc in docs.values():
                await doc.synced()
        return docs

    async def _by_snapshot(self, stack: AsyncExitStack, codec: Codec) -> Document:
        """Somebody new who is given a snapshot; after a few tries, somebody who is not."""
        for attempt in range(SNAPSHOT_TRIES):
            doc = roomlog.connect(self.server.url, room=ROOM, codec=codec, history="recent")
            await doc.__aenter__()
            await doc.synced(LIMIT_S)
            if doc.status.catch_up == "snapshot":
                self.count("snapshot joins")
                break
            if attempt < SNAPSHOT_TRIES - 1:
                await doc.close(timeout_s=0)
                await asyncio.sleep(SNAPSHOT_WAIT_S)
        stack.push_async_callback(doc.close, timeout_s=0)
        return doc

    def _check_writes(self, docs: dict[str, Document]) -> None:
        """What was written is there once, with everybody."""
        for writer in self.writers:
            assert not writer.doc.pending
            assert not writer.doc.rejections(), list(writer.doc.rejections())
            writer.check_own(writer.doc)
        for name, doc in docs.items():
            if name == self._partial:
                continue
            for writer in self.writers:
                writer.check_own(doc)
                writer.check_shared(doc)
            written = set(doc.map("w"))
            for killed in self.killed:
                lacking = killed.told()[0] - written
                assert not lacking, f"{name} lacks what {killed.name} wrote: {sorted(lacking)[:9]}"

    def _check_files(self, state_hash: str, texts: dict[str, str], frontier: list[bytes]) -> None:
        """The files of a store at rest, by the commands and by the naive oracle."""
        commands = [
            asked("verify", "--store", self.store, "--json", "--processes", 0),
            asked("replay", self.store, "--room", ROOM, "--json"),
        ]
        nodes = stored_nodes(self.store)
        ids = [node.id for node in nodes]
        assert len(set(ids)) == len(ids), "a node is in the log twice"
        lost = self.seen - set(ids)
        assert not lost, f"{len(lost)} acknowledged nodes are not in a log of {len(ids)}"
        server_key = Identity.load(self.store / "server.key").public_key
        strangers = {node.author for node in nodes} - self.authors - {server_key}
        assert not strangers, "there are nodes of authors that nobody knows"
        naive = replayed_naively(nodes)
        assert naive.state_hash() == state_hash, "the oracle reads the log differently"
        assert naive.frontier() == sorted(frontier)
        expected = naive.text("text", naive.everything())
        assert set(texts.values()) == {expected}, "a text reads differently"
        verified, replayed = (Answer(each) for each in commands)
        assert verified.code == 0, verified.out + verified.err
        (room,) = verified.json["rooms"]
        assert room["nodes"] == len(ids)
        assert replayed.code == 0, replayed.err
        assert replayed.json["state_hash"] == state_hash
        self.facts["nodes"] = len(ids)
        self.facts["acknowledged"] = len(self.seen)

    # files of the server, behind its back

    def copy_of_store(self, name: str) -> Path:
        """A raw copy of the store's directory as it is now."""
        target = self.directory / name
        if target.exists():
            shutil.rmtree(target)
        shutil.copytree(self.store, target)
        return target

    def put_back(self, copy: Path) -> None:
        """Put the files of a copy in the place of what is in the store's directory."""
        for path in self.store.iterdir():
            path.unlink()
        for path in copy.iterdir():
            shutil.copy2(path, self.store / path.name)
        self.may_lack = True
