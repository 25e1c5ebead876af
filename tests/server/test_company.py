"""Whoever lags, however people come and go: everybody ends up knowing what is so."""

from __future__ import annotations

import asyncio
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from roomlog.protocol.codec import Codec
from roomlog.protocol.greeting import WELCOME_PEERS
from roomlog.protocol.messages import Identity
from roomlog.server.company import LAGGING_BYTES, PIECE_BYTES, Company, Member
from roomlog.server.metrics import Metrics

LONGEST_MESSAGE_BYTES = 8 * 1024


class Listener:
    """One client: its socket, and what it makes of what it hears."""

    def __init__(self, codec: Codec, identity: Identity | None, peers: list[Identity]) -> None:
        self.codec = codec
        self.identity = identity
        self.peers = set(peers)
        self.shown: dict[str, Any] = {}
        self.waiting_bytes = 0
        self.is_woken = False
        self.has_lagged = False
        self.signals: list[Any] = []
        self.member: Member
        self.longest_write = 0

    def wake(self) -> None:
        self.is_woken = True

    def write(self, data: bytes) -> None:
        self.longest_write = max(self.longest_write, len(data))
        while data:
            payload, data = split(data)
            decode = msgspec.json.decode if self.codec is Codec.JSON else msgspec.msgpack.decode
            self.hear(decode(payload))

    def hear(self, message: dict[str, Any]) -> None:
        kind = message["type"]
        if kind == "presence":
            self.shown[message["session"]] = message["data"]
        elif kind == "presence-left":
            self.shown.pop(message["session"], None)
        elif kind == "presence-snapshot":
            for entry in message["entries"]:
                self.shown[entry["session"]] = entry["data"]
        elif kind == "signal":
            self.signals.append(message["data"])
        else:
            key = message["pubkey"]
            if isinstance(key, str):
                key = msgspec.convert(key, bytes)
            identity = Identity(pubkey=key, label=message.get("label", ""))
            if kind == "peer-joined":
                assert self.has_lagged or identity not in self.peers, "told twice"
                self.peers.add(identity)
            else:
                assert kind == "peer-left"
                assert self.has_lagged or identity in self.peers, "told of nobody"
                self.peers.discard(identity)

    def drain(self) -> None:
        """The socket has taken everything, as the feeder waits for."""
        self.waiting_bytes = 0
        if not self.member.is_waiting:
            return
        assert self.is_woken, "who is owed something has been woken"
        self.is_woken = False
        while self.member.is_waiting:
            self.longest_write = 0
            self.member.send_some()
            assert self.longest_write <= PIECE_BYTES + LONGEST_MESSAGE_BYTES


def split(data: bytes) -> tuple[bytes, bytes]:
    """The payload of the first server frame, and the rest."""
    size, start = data[1], 2
    if size == 126:
        size, start = int.from_bytes(data[2:4]), 4
    elif size == 127:
        size, start = int.from_bytes(data[2:10]), 10
    return data[start : start + size], data[start + size :]


async def told(company: Company) -> None:
    """Nobody has anything left to hear."""
    for _ in range(1_000_000):
        if not company.is_telling:
            return
        await asyncio.sleep(0)
    raise AssertionError("the room never stops telling")


IDENTITIES = [Identity(pubkey=bytes([number]) * 32, label="x") for number in range(4)]
STEPS = st.lists(
    st.one_of(
        st.tuples(
            st.just("enter"),
            st.sampled_from([*IDENTITIES, None]),
            st.sampled_from(list(Codec)),
        ),
        st.tuples(st.just("leave"), st.integers(0, 9)),
        st.tuples(st.just("show"), st.integers(0, 9), st.none() | st.integers(0, 5)),
        st.tuples(st.just("lag"), st.integers(0, 9)),
        st.tuples(st.just("drain"), st.integers(0, 9)),
        st.tuples(st.just("time"), st.integers(1, 3)),
        st.tuples(st.just("turn")),
    ),
    max_size=60,
)


@given(steps=STEPS, pad=st.sampled_from([0, 3_000]), turn_writes=st.sampled_from([1, 6, 20_000]))
def test_everybody_ends_up_knowing_who_is_here_and_what_they_show(
    steps: list[tuple[Any, ...]], pad: int, turn_writes: int
) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("roomlog.server.company.TURN_WRITES", turn_writes)
        patch.setattr("roomlog.server.company.FREE_WRITE_SECONDS", 3600.0)
        asyncio.run(play(steps, pad))


async def play(steps: list[tuple[Any, ...]], pad: int) -> None:
    company = Company(Metrics())
    here: list[Listener] = []
    truth: dict[str, tuple[Any, float]] = {}
    now, sessions = 0.0, 0
    for step, *arguments in steps:
        if step == "enter":
            identity, codec = arguments
            peers = [Identity(pubkey=p.pubkey, label=p.label) for p in company.peers.all()]
            # A welcome names only some of them.
            listener = Listener(codec, identity, peers[:2])
            sessions += 1
            listener.member = company.enter(
                listener,
                codec=codec,
                session_id=str(sessions),
                identity=identity,
                kind="",
                known_peers=2,
            )
            here.append(listener)
        elif step == "turn":
            await asyncio.sleep(0)
        elif step == "time":
            now += arguments[0]
            company.tick(now)
            truth = {name: (data, until) for name, (data, until) in truth.items() if until > now}
        elif here:
            listener = here[arguments[0] % len(here)]
            member = listener.member
            if step == "leave":
                company.leave(member)
                here.remove(listener)
                truth.pop(member.session_id, None)
            elif step == "lag":
                listener.waiting_bytes = LAGGING_BYTES + 1
                listener.has_lagged = True
            elif step == "drain":
                listener.drain()
            elif member.identity is not None:
                (value,) = arguments[1:]
                data = None if value is None else {"value": value, "pad": "x" * pad}
                company.show(member, data, now + 2)
                truth.pop(member.session_id, None)
                if data is not None:
                    truth[member.session_id] = (data, now + 2)
    await told(company)
    for listener in here:
        listener.drain()
        own = listener.member.session_id
        expected = {name: data for name, (data, _) in truth.items() if name != own}
        assert listener.shown == expected
        present = {other.identity for other in here if other.identity is not None}
        assert listener.peers - {listener.identity} == present - {listener.identity}


async def test_t30_a_flood_of_presence_waits_as_the_newest_of_each_session_alone() -> None:
    company = Company(Metrics())
    listeners = [Listener(Codec.MSGPACK, identity, []) for identity in IDENTITIES]
    for number, listener in enumerate(listeners):
        listener.member = company.enter(
            listener,
            codec=Codec.MSGPACK,
            session_id=str(number),
            identity=listener.identity,
            kind="",
            known_peers=WELCOME_PEERS,
        )
    await told(company)
    for value in range(1_000):
        for listener in listeners[:3]:
            company.show(listener.member, {"value": value, "pad": "x" * 3_000}, 9.0)
    assert company.waiting_events == 3
    await told(company)
    assert listeners[3].shown.keys() == {"0", "1", "2"}
    assert {data["value"] for data in listeners[3].shown.values()} == {999}
    assert listeners[3].longest_write < 4 * 3_100


async def test_a_room_that_told_much_at_once_rests_and_tells_the_rest(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("roomlog.server.company.FREE_WRITE_SECONDS", -1.0)
    monkeypatch.setattr("roomlog.server.company.TURN_BYTES", 1)
    company = Company(Metrics())
    listeners = [Listener(Codec.JSON, identity, []) for identity in IDENTITIES]
    for number, listener in enumerate(listeners):
        listener.member = company.enter(
            listener,
            codec=Codec.JSON,
            session_id=str(number),
            identity=listener.identity,
            kind="",
            known_peers=WELCOME_PEERS,
        )
        company.show(listener.member, number, 9.0)
    await told(company)
    for number, listener in enumerate(listeners):
        listener.drain()
        assert listener.shown == {str(each): each for each in range(4) if each != number}


async def test_a_signal_that_no_socket_can_take_is_refused_and_kept_by_nobody() -> None:
    company = Company(Metrics())
    listeners = [Listener(Codec.MSGPACK, identity, []) for identity in IDENTITIES[:2]]
    for number, listener in enumerate(listeners):
        listener.member = company.enter(
            listener,
            codec=Codec.MSGPACK,
            session_id=str(number),
            identity=listener.identity,
            kind="",
            known_peers=WELCOME_PEERS,
        )
    sender, receiver = listeners
    receiver.waiting_bytes = LAGGING_BYTES + 1
    assert company.signal(sender.member, IDENTITIES[1], "lost") is False
    receiver.waiting_bytes = 0
    assert company.signal(sender.member, IDENTITIES[1], "taken") is True
    assert company.signal(sender.member, IDENTITIES[2], "nobody") is None
    assert receiver.signals == ["taken"]
