"""A server's session after its handshake: any frames, answers in any order, and nothing breaks."""

from __future__ import annotations

from collections.abc import Iterable
from functools import cache
from random import Random
from typing import Final, final

from roomlog.core.node import NodeHasher
from roomlog.core.pack import decode_pack, encode_pack
from roomlog.core.reject import Reject, RejectClass
from roomlog.protocol import messages
from roomlog.protocol.codec import Codec, encode
from roomlog.protocol.effects import (
    Admit,
    Close,
    DeliverSignal,
    OpenRoom,
    Read,
    ReadBodies,
    ReadHash,
    ReadSnapshot,
    Send,
    ServerEffect,
    ShowPresence,
)
from roomlog.protocol.limits import SessionLimits
from roomlog.protocol.server_session import State
from roomlog.protocol.session_lifetime import SessionLifetime
from tests.fuzz.choices import Choices, piece
from tests.fuzz.frame_edits import edited_frame
from tests.fuzz.target import Target
from tests.fuzz.vectors import entries
from tests.protocol.session_driver import CLIENT, LINEAGE, Driver, Facts, some_node

HASHER: Final = NodeHasher(LINEAGE)
HEAD_SEQ: Final = 12
MOST_STEPS: Final = 60
SMALL: Final = SessionLimits(
    live_nodes_per_second=4,
    slice_nodes=8,
    slice_bytes=2048,
    live_bytes_per_second=1024,
    messages_per_second=8,
    queued_requests=2,
    subscription_patterns=2,
    presence_bytes=64,
    signal_bytes=64,
    checkpoint_interval_ms=100,
)
RAW, TEMPLATE, EDITED, SETTLE, ANSWER, TIME, DRAIN, CONTROL, PUSH = range(9)


@final
class Shell:
    """Performs effects as a server does, and looks at every one of them."""

    def __init__(self, driver: Driver, choices: Choices) -> None:
        self.driver = driver
        self.choices = choices
        self.now_ms = 0
        self.admits: list[Admit] = []
        self.reads: list[Read] = []
        self.switched: list[Read] = []
        self.is_closed = False

    def perform(self, effects: list[ServerEffect]) -> None:
        assert not (self.is_closed and effects), f"after the close: {effects}"
        for effect in effects:
            assert not self.is_closed, "something follows the close"
            if isinstance(effect, Send):
                self.driver.messages([effect])
            elif isinstance(effect, Close):
                self.is_closed = True
                assert self.driver.session.state is State.CLOSED
            elif isinstance(effect, Admit):
                self.admits.append(effect)
                assert effect.author == CLIENT.public_key
            elif isinstance(effect, ShowPresence):
                assert 0 < effect.ttl_ms <= self.driver.limits.presence_ttl_max_ms
            elif isinstance(effect, OpenRoom):
                raise AssertionError("the room is open")
            elif not isinstance(effect, DeliverSignal):
                self.reads.append(effect)
                limit = self.driver.limits.queued_requests
                assert len(self.reads) <= limit
                assert isinstance(effect, ReadHash) or 1 <= effect.page_nodes <= 4096
        if not self.admits and not self.is_closed:
            assert self.driver.session.packs_in_flight == 0

    def step(self) -> None:
        """One thing that a client, the store or time does."""
        choices, session = self.choices, self.driver.session
        kind = choices.below(9)
        if kind == RAW:
            self.perform(session.receive(choices.piece(), self.now_ms))
        elif kind == TEMPLATE:
            self.perform(session.receive(self.template(), self.now_ms))
        elif kind == EDITED:
            frame = edited_frame(self.template(), choices, self.driver.codec)
            self.perform(session.receive(frame, self.now_ms))
        elif kind == SETTLE:
            self.settle()
        elif kind == ANSWER:
            self.answer()
        elif kind == TIME:
            self.now_ms += choices.one_of((0, 1, 50, 1_000, 20_000))
            self.driver.facts.head_seq += choices.below(2)
            self.perform(session.tick(self.now_ms))
        elif kind == DRAIN:
            if choices.is_one_in(8):
                self.perform(session.drain(10, 10))
        elif kind == CONTROL:
            self.perform(session.receive_control(self.now_ms))
        else:
            self.push()

    def template(self) -> bytes:
        return self.choices.one_of(templates(self.driver.codec))

    def push(self) -> None:
        choices = self.choices
        nodes = [some_node(clock + 1) for clock in range(choices.below(5))]
        data = encode_pack(nodes, signatures=not choices.is_one_in(8))
        if choices.is_one_in(4):
            data = data[: choices.below(len(data) + 1)] + choices.take(2)
        lineage = LINEAGE if not choices.is_one_in(16) else bytes(32)
        ref = choices.one_of((None, "a", "b"))
        message = messages.PushPack(ref=ref, lineage=lineage, nodes=data)
        frame = encode(self.driver.codec, message)
        self.perform(self.driver.session.receive(frame, self.now_ms))

    def settle(self) -> None:
        if not self.admits:
            return
        admit = self.admits.pop(self.choices.below(len(self.admits)))
        session = self.driver.session
        if self.choices.is_one_in(3):
            reject = Reject(RejectClass.STORE_UNAVAILABLE, "down", {"retry_after_ms": 5})
            self.perform(session.pack_refused(admit.ticket, reject))
            return
        try:
            count = len(decode_pack(admit.pack, HASHER))
        except Reject as reject:
            self.perform(session.pack_refused(admit.ticket, reject))
            return
        ack = messages.PackAck(from_seq=1 if count else 0, to_seq=count)
        self.perform(session.pack_settled(admit.ticket, ack))

    def answer(self) -> None:
        if not self.reads:
            return
        choices, session = self.choices, self.driver.session
        read = self.reads[choices.below(len(self.reads))]
        is_over = not choices.is_one_in(3)
        if isinstance(read, ReadBodies) and read not in self.switched:
            if is_over and choices.is_one_in(3):
                self.reads.remove(read)
                self.perform(session.request_failed(read, Reject(RejectClass.DRAINING)))
                return
            self.switched.append(read)
            self.perform(session.subscribed(read, self.driver.facts.head_seq))
        elif isinstance(read, ReadHash):
            self.perform(session.state_hash(read, [], "0" * 64, {}))
        elif isinstance(read, ReadSnapshot) and choices.is_one_in(2):
            self.perform(session.snapshot_chunk(read, messages.Snapshot(data=b"x")))
        else:
            self.perform(session.page(read, encode_pack([some_node()]), 1, 1))
        if is_over:
            self.reads.remove(read)
            if read in self.switched:
                self.switched.remove(read)
            if choices.is_one_in(4):
                self.perform(session.request_failed(read, Reject(RejectClass.EPOCH_UNKNOWN)))
            else:
                self.perform(session.request_done(read, self.driver.facts.head_seq))


def check(data: bytes) -> None:
    """Choices: the session, then what happens to it."""
    choices = Choices(data)
    facts = Facts(HEAD_SEQ)
    facts.snapshot_seq = choices.one_of((0, 5))
    driver = Driver(
        codec=choices.one_of((Codec.MSGPACK, Codec.JSON)),
        limits=choices.one_of((SMALL, SessionLimits())),
        facts=facts,
    )
    session = driver.session
    assert isinstance(session, SessionLifetime)
    shell = Shell(driver, choices)
    session.start(0)
    if choices.is_one_in(4):
        greet_badly(shell)
        return
    caps: dict[str, object] = {
        name: True
        for name in (
            "cursor_resume",
            "log_cut",
            "snapshot_join",
            "header_only_nodes",
            "unsigned_bulk",
            "presence_ttl",
        )
        if not choices.is_one_in(6)
    }
    fields: dict[str, object] = {"caps": caps, "lineage": LINEAGE}
    if choices.is_one_in(3):
        fields["pending"] = messages.Pending(nodes=choices.below(99), bytes=choices.below(9_999))
    if choices.is_one_in(3):
        fields["subscribe"] = ["a/**", "k"]
    if choices.is_one_in(3):
        epoch = choices.one_of((facts.epoch, bytes(16)))
        seq = choices.below(HEAD_SEQ + 3)
        fields["cursor"] = messages.Cursor(epoch=epoch, seq=seq, id=facts.id_at(seq))
        fields["frontier"] = [facts.id_at(seq)]
    identity = None if choices.is_one_in(6) else CLIENT
    if identity is None:
        fields.pop("pending", None)
    effects = driver.say(driver.hello(identity=identity, **fields))
    assert [type(each) for each in effects] == [OpenRoom], effects
    while choices.is_one_in(4):
        shell.perform(session.receive(shell.template(), 0))
    shell.perform(session.room_opened(facts, 0))
    for _ in range(MOST_STEPS):
        if not choices.are_left:
            break
        shell.step()
    session.disconnected()
    assert session.receive(b"\x00", shell.now_ms) == []


def greet_badly(shell: Shell) -> None:
    """What comes first is no hello of a client, or is one that was changed on its way."""
    driver, choices = shell.driver, shell.choices
    hello = encode(driver.codec, driver.hello(label="desk", lineage=LINEAGE))
    frame = edited_frame(hello, choices, driver.codec) if choices.are_left else b""
    if choices.is_one_in(3):
        frame = choices.rest()
    effects = driver.session.receive(frame, 0)
    opened = [each for each in effects if isinstance(each, OpenRoom)]
    shell.perform([each for each in effects if not isinstance(each, OpenRoom)])
    assert len(opened) + shell.is_closed == 1
    if opened:
        shell.perform(driver.session.room_opened(driver.facts, 0))
        assert driver.session.state in (State.OPEN, State.CLOSED)


@cache
def templates(codec: Codec) -> list[bytes]:
    """Frames of a client, as the vectors have them, and requests that this room can answer."""
    facts = Facts(HEAD_SEQ)
    after = messages.After(epoch=facts.epoch, seq=3)
    made: list[messages.Message] = [
        messages.Request(ref="r", after=after, page=2),
        messages.Request(ref="r", before=after, signatures=False),
        messages.Request(ref="r", have=[(3, bytes(8)), (5, bytes(8))]),
        messages.Request(ref="r", frontier=[facts.id_at(3)], stop_at_unknown=True),
        messages.Request(ref="r", frontier=[bytes(32)], stop_at_unknown=True),
        messages.Request(ref="r", ids=[facts.id_at(1), bytes(32)]),
        messages.Request(ref="r", snapshot=True),
        messages.Request(ref="r", hash=messages.HashOf(patterns=["a"])),
        messages.Subscribe(ref="u", patterns=["a", "b/**"]),
        messages.Subscribe(ref="u"),
        messages.Presence(ref="p", data={"x": [1, 2.5, None]}, ttl_ms=5),
        messages.Signal(ref="s", to=messages.Identity(pubkey=bytes(32)), data="x"),
        messages.Ping(ref="p", t=7),
    ]
    name = "json" if codec.is_text else "msgpack"
    frames = [encode(codec, message) for message in made]
    for entry in entries("messages", "client", "refused", "server"):
        if name in entry:
            text = entry[name]
            frames.append(text.encode() if codec.is_text else bytes.fromhex(text))
    return frames


def seeds() -> Iterable[bytes]:
    """Handshakes of several kinds, each with every template, and random choices."""
    random = Random(11)
    for codec in range(2):
        for index in range(0, len(templates(Codec.MSGPACK)), 4):
            head = bytes((1, codec, 1, 0)) + bytes(10)
            steps = b"".join(bytes((TEMPLATE, index + each)) for each in range(4))
            yield head + steps + bytes((ANSWER, 0, 0, 0, SETTLE, 0, TIME, 3, 1))
    yield bytes((1, 0, 1, 0)) + bytes(10) + bytes((RAW,)) + piece(b"\x80")
    for size in (24, 48, 96, 160):
        for _ in range(16):
            yield random.randbytes(size)


TARGET = Target(check, seeds, most_bytes=512)
