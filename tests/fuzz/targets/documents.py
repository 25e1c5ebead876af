"""The whole SDK but its socket and disk, with a server that says anything.

What comes is faults and events; what is stored is what is held, also after the session is over.
"""

from __future__ import annotations

import asyncio
import logging
import sqlite3
from collections.abc import Iterable
from functools import cache
from random import Random
from typing import Final, final

from roomlog.client.backoff import Backoff
from roomlog.client.company import Company
from roomlog.client.engine import Engine
from roomlog.client.history_build import SnapshotLie
from roomlog.client.history_stream import HistoryStream
from roomlog.client.local_rows import apply_write
from roomlog.client.local_schema import SCHEMA_VERSION, migrate
from roomlog.client.log_places import ClientLog
from roomlog.client.session_ended import SessionEnded, ended_by_fault
from roomlog.client.session_events import SessionEvents
from roomlog.client.standing import Standing
from roomlog.client.stored_document import read_document
from roomlog.core.errors import RoomlogError
from roomlog.core.reject import Reject
from roomlog.protocol.client_events import ClientEvent, ServerFault
from roomlog.protocol.client_session import ClientSession
from roomlog.protocol.codec import Codec
from tests.fuzz.choices import Choices
from tests.fuzz.lying_server import Server
from tests.fuzz.server_log import MOST_STEPS
from tests.fuzz.target import Target
from tests.protocol.client_wire import ADA, ORIGIN, Wire

DRAFT: Final = b"D" * 32
SESSIONS: Final = 3
STEPS_OF_OTHERS: Final = 12
"""How often others of the loop have a turn: enough to put a short history together."""
_WISHES: Final = 8


@final
class Document:
    """An engine, its store in memory, and one session after the other."""

    def __init__(self, choices: Choices) -> None:
        self.choices = choices
        self.codec = choices.one_of((Codec.MSGPACK, Codec.JSON))
        self.identity = None if choices.is_one_in(6) else ADA
        self.verify_all = choices.is_one_in(3)
        self.engine = Engine("demo", self.identity, DRAFT, is_draft=True)
        self.connection = new_store()
        self.now_ms = 1_000_000
        own = None if self.identity is None else (ADA.public_key, "desk")
        self.company = Company(own)
        self.standing = Standing(None)
        self.backoff = Backoff(lambda: 0.5)
        self.gate = asyncio.Event()
        self.gate.set()
        self.history = HistoryStream(
            self.engine,
            is_wanted=not choices.is_one_in(3),
            verify=self.verify_all,
            gate=self.gate,
            clock_ms=lambda: self.now_ms,
            after_change=self.pump,
        )
        self.session: ClientSession | None = None
        self.events: SessionEvents | None = None

    def run_session(self) -> None:
        """From the challenge to whatever ends it."""
        choices, engine = self.choices, self.engine
        wire = Wire(signer=self.identity, codec=self.codec)
        wire.session = self.session = ClientSession(
            room_id="demo",
            origin=ORIGIN,
            nonce=b"c" * 32,
            signer=self.identity,
            codec=self.codec,
            pinned_key=self.standing.server_key,
            lineage=engine.known_lineage,
            cursor=None if engine.is_draft else engine.cursor,
            frontier=engine.admitted_frontier(),
            held=ClientLog(engine.log.places, engine.replica.graph),
            checkpoint=None if engine.is_draft else engine.checkpoint,
            pending=engine.backlog,
            subscribe=engine.patterns_to_show,
            wants_snapshot=engine.wants_snapshot,
            wants_signatures=self.verify_all,
            label="desk" if self.identity is not None else "",
        )
        self.events = SessionEvents(
            self.session,
            engine,
            self.standing,
            self.company,
            self.history,
            backoff=self.backoff,
            clock_ms=lambda: self.now_ms,
            verify_all=self.verify_all,
            pin=lambda key: None,
            after_send=lambda: None,
        )
        server = Server(wire, choices, handle=self.handle, wish=self.wish)
        ended: SessionEnded | None = None
        try:
            wire.challenge()
            server.welcome(engine.patterns_to_show)
            for _ in range(MOST_STEPS):
                if not choices.are_left or choices.is_one_in(32):
                    break
                server.step()
        except ServerFault as fault:
            ended = ended_by_fault(fault)
        except SessionEnded as end:
            ended = end
        if ended is not None and ended.hint_ms is not None:
            assert 0 <= self.backoff.hinted_wait_s(ended.hint_ms / 1000) < 1_000
        if self.standing.hint_ms is not None:
            assert 0 <= self.backoff.hinted_wait_s(self.standing.hint_ms / 1000) < 1_000
        error = self.session.last_error
        if error is not None and error.retry_after_ms is not None:
            assert 0 <= self.backoff.hinted_wait_s(error.retry_after_ms / 1000) < 1_000
        self.pump()
        self.session = self.events = None
        self.history.disconnected()
        self.company.disconnected()
        engine.disconnected()

    def handle(self, events: list[ClientEvent]) -> None:
        """As a connection does: the events, then what they left behind."""
        assert self.events is not None
        self.now_ms += 1
        try:
            self.events.handle(events)
        finally:
            self.pump()

    def pump(self) -> None:
        """What is to be stored is stored at once; what is to be pushed is pushed."""
        engine, session = self.engine, self.session
        writes = engine.take_writes()
        for write in writes:
            apply_write(self.connection, write)
        engine.stored(writes)
        withdrawn = engine.take_withdrawn()
        if session is None:
            return
        if withdrawn:
            session.withdraw(withdrawn)
        if session.is_open and engine.has_unsent:
            back = engine.take_unsent_back(self.now_ms)
            if back:
                session.push_back(back)
            nodes = engine.take_unsent(self.now_ms)
            if nodes:
                session.push(nodes)
            resumes_at_ms = engine.resumes_at_ms
            assert resumes_at_ms is None or isinstance(resumes_at_ms / 1000, float)

    def wish(self) -> None:
        """What an application asks for."""
        choices, session, engine = self.choices, self.session, self.engine
        assert session is not None
        wish = choices.below(_WISHES)
        try:
            if wish <= 3 and self.identity is not None:
                engine.replica.map("m")[choices.one_of(("a", "b"))] = choices.byte()
                if wish == 1:
                    engine.replica.text("t").insert(0, "x")
                engine.flush(self.now_ms)
            elif wish == 4:
                engine.set_patterns(choices.one_of(((), ("a",), ("k", "t"))), self.now_ms)
                session.subscribe(engine.patterns)
            elif wish == 5 and self.identity is not None:
                self.company.presence.set({"x": 1})
            elif wish == 6:
                session.ping(choices.byte() + 1)
            else:
                self.now_ms += choices.one_of((1, 500, 40_000))
        except (ValueError, RoomlogError):
            # Not now, or not that key.
            pass
        self.pump()

    def check_stored(self) -> None:
        """A document that is opened again holds what this one held."""
        engine = self.engine
        stored = read_document(self.connection, "memory", SCHEMA_VERSION)
        again = Engine.restored(self.identity, stored)
        before, after = engine.replica, again.replica
        assert {node.id for node in after.nodes()} == {node.id for node in before.nodes()}
        assert set(again.pending) == set(engine.pending)
        assert again.cursor == engine.cursor
        assert after.state_hash().hex == before.state_hash().hex
        assert again.patterns == engine.patterns


@cache
def empty_store() -> sqlite3.Connection:
    connection = sqlite3.connect(":memory:", isolation_level=None)
    migrate(connection, 0, "fuzz", lambda: 1)
    connection.executemany(
        "INSERT INTO meta (key, value) VALUES (?, ?)",
        [("room_id", "demo"), ("lineage", DRAFT), ("is_draft", 1)],
    )
    return connection


def new_store() -> sqlite3.Connection:
    connection = sqlite3.connect(":memory:", isolation_level=None)
    empty_store().backup(connection)
    return connection


async def check_input(data: bytes) -> None:
    """Choices: the document, then session after session."""
    choices = Choices(data)
    document = Document(choices)
    if document.identity is not None and choices.is_one_in(2):
        document.engine.replica.map("m")["before"] = 1
        document.engine.flush(document.now_ms)
        document.pump()
    for _ in range(SESSIONS):
        if choices.are_left:
            document.run_session()
            for _ in range(STEPS_OF_OTHERS):
                await asyncio.sleep(0)
            document.pump()
            # What is wrong with history is told, and only the server can be at fault.
            problem = document.history.problem
            assert problem is None or isinstance(problem, Reject | SnapshotLie), problem
    document.history.close()
    document.company.close()
    document.check_stored()
    document.connection.close()


@cache
def loop() -> asyncio.AbstractEventLoop:
    """One for all inputs: making one costs more than most of them."""
    return asyncio.new_event_loop()


def check(data: bytes) -> None:
    """No exception but the faults of a server, whatever it says."""
    logging.getLogger("roomlog").setLevel(logging.CRITICAL)
    loop().run_until_complete(check_input(data))


def seeds() -> Iterable[bytes]:
    """Random choices, short and long ones."""
    random = Random(23)
    for size in (32, 64, 128, 256):
        for _ in range(24):
            yield random.randbytes(size)


TARGET = Target(check, seeds, most_bytes=768)
