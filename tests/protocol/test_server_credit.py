"""Credit in a session: an honest backlog drains, a flood ends, nobody is ever deaf."""

from __future__ import annotations

from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from roomlog.core.pack.varint import uvarint
from roomlog.protocol import messages
from roomlog.protocol.capabilities import own_offer
from roomlog.protocol.effects import Admit, DeliverSignal, ReadAfter, ReadBodies, ShowPresence
from roomlog.protocol.limits import SessionLimits
from roomlog.protocol.server_session import State
from tests.protocol.session_driver import EPOCH, LINEAGE, Driver, Facts, code_of, error_of

BACKLOG = 50_000
NODE_BYTES = 10
PREFIX = b"\x01\x06"


def pack_of(nodes: int) -> messages.PushPack:
    """A pack that says it has so many nodes; a session looks no further."""
    data = PREFIX + uvarint(nodes)
    return messages.PushPack(lineage=LINEAGE, nodes=data + bytes(nodes * NODE_BYTES - len(data)))


class Backlog:
    """A client that pushes a declared backlog within its credit, and hears what it may push."""

    def __init__(self, driver: Driver, nodes: int) -> None:
        self.driver = driver
        self.left = nodes
        self.in_flight: list[int] = []
        self.sent = 0
        pending = messages.Pending(nodes=nodes, bytes=nodes * NODE_BYTES)
        self.granted = driver.open(pending=pending).credit

    @property
    def room_nodes(self) -> int:
        """How many nodes may be sent now."""
        of_nodes = self.granted.nodes - self.sent
        of_bytes = (self.granted.bytes - self.sent * NODE_BYTES) // NODE_BYTES
        return min(self.left, of_nodes, of_bytes, self.driver.limits.pack_nodes)

    def push(self, nodes: int) -> None:
        (admit,) = self.driver.say(pack_of(nodes))
        assert isinstance(admit, Admit), "an honest pack was refused"
        self.in_flight.append(admit.ticket)
        self.sent += nodes
        self.left -= nodes

    def hear(self, index: int) -> None:
        ticket = self.in_flight.pop(index)
        effects = self.driver.session.pack_settled(ticket, messages.PackAck())
        for answer in self.driver.messages(effects):
            assert isinstance(answer, messages.PackAck)
            assert answer.credit is not None
            assert answer.credit.nodes >= self.granted.nodes
            assert answer.credit.bytes >= self.granted.bytes
            self.granted = answer.credit


@settings(deadline=None, max_examples=20)
@given(seed=st.integers(0, 2**32), slice_nodes=st.sampled_from([1_000, 4_096, 9_000]))
def test_t29_a_backlog_of_50000_nodes_is_granted_in_slices_to_the_end_without_a_close(
    seed: int, slice_nodes: int
) -> None:
    random = Random(seed)
    # Bytes run out before nodes do, or after them; and no time passes, so nothing is live rate.
    limits = SessionLimits(slice_nodes=slice_nodes, slice_bytes=40_000)
    client = Backlog(Driver(limits=limits), BACKLOG)
    while client.left or client.in_flight:
        room_nodes = client.room_nodes
        if room_nodes and (not client.in_flight or random.random() < 0.5):
            client.push(random.randint(1, room_nodes))
        else:
            assert client.in_flight, f"deaf with {client.left} nodes left"
            client.hear(random.randrange(len(client.in_flight)))
    assert client.sent == BACKLOG
    assert client.driver.session.state is State.OPEN
    assert client.driver.session.packs_in_flight == 0


def test_t29_what_was_not_declared_is_granted_at_the_live_rate_only() -> None:
    limits = SessionLimits(slice_nodes=100, live_nodes_per_second=10)
    driver = Driver(limits=limits)
    client = Backlog(driver, 150)
    while client.left:
        client.push(min(50, client.room_nodes))
        client.hear(0)
    client.left = 1_000
    while client.room_nodes:
        client.push(client.room_nodes)
        client.hear(0)
    assert client.sent == 250
    (told,) = driver.messages(driver.session.tick(5_000))
    assert isinstance(told, messages.Credit)
    assert told.nodes == 300


@pytest.mark.parametrize("what", ["nodes", "bytes"])
def test_t29_a_flood_beyond_the_credit_ends_with_4008(what: str) -> None:
    limits = (
        SessionLimits(slice_nodes=100)
        if what == "nodes"
        else SessionLimits(slice_bytes=100 * NODE_BYTES)
    )
    driver = Driver(limits=limits)
    client = Backlog(driver, 50)
    client.push(50)
    effects = driver.say(pack_of(51))
    assert error_of(driver, effects).reject_class == f"rate_{what}"
    assert code_of(effects) == 4008


@pytest.mark.parametrize("what", ["nodes", "bytes"])
def test_t58_a_session_without_credit_is_answered_in_everything_but_packs(what: str) -> None:
    limits = (
        SessionLimits(slice_nodes=100)
        if what == "nodes"
        else SessionLimits(slice_bytes=100 * NODE_BYTES)
    )
    driver = Driver(limits=limits, facts=Facts(5))
    driver.open(caps=own_offer())
    (admit,) = driver.say(pack_of(100))
    assert isinstance(admit, Admit)
    # The room takes its time over that pack. Meanwhile:
    (pong,) = driver.messages(driver.say(messages.Ping(t=7)))
    assert pong == messages.Pong(t=7, seq=5)
    assert driver.session.receive_control(0) == []
    place = messages.After(epoch=EPOCH, seq=1)
    (read,) = driver.say(messages.Request(after=place))
    assert isinstance(read, ReadAfter)
    assert driver.session.page(read, b"nodes", 2, 5)
    assert driver.session.request_done(read, 5)
    (change,) = driver.say(messages.Subscribe(patterns=["a"]))
    assert isinstance(change, ReadBodies)
    assert driver.say(messages.Presence(data=1)) == [ShowPresence(1, limits.presence_ttl_ms)]
    (signal,) = driver.say(messages.Signal(to=messages.Identity(pubkey=b"p" * 32)))
    assert isinstance(signal, DeliverSignal)
    # The ack comes, and time brings the credit for the next one, which is told without asking.
    driver.session.pack_settled(admit.ticket, messages.PackAck())
    (told,) = driver.messages(driver.session.tick(10_000))
    assert isinstance(told, messages.Credit)
    assert isinstance(driver.session.receive(driver.frame(pack_of(10)), 10_000)[0], Admit)
