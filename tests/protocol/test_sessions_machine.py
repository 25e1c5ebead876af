"""Both sessions under any order of frames, cuts, restores and wishes, around the naive room."""

from __future__ import annotations

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from roomlog.protocol.capabilities import CAPABILITIES, Offer, own_offer
from roomlog.protocol.checkpoint import is_log_lost
from roomlog.protocol.client_events import (
    Acknowledged,
    ClientEvent,
    Faulted,
    HistoryEnd,
    HistoryPage,
    Received,
    Refused,
    SubscriptionComplete,
    WalkFound,
)
from roomlog.protocol.codec import Codec
from roomlog.protocol.limits import SessionLimits
from tests.protocol.naive_sync import Link, NaiveClient, NaiveRoom, heads_of, history_of
from tests.state_machines import machine_test

NAMES = [row.name for row in CAPABILITIES]
PATTERNS = [(), ("a/**",), ("b/**",), ("a/**", "b/**")]
MOST_CLIENTS = 5
LIMITS = SessionLimits(messages_per_second=1_000_000, checkpoint_interval_ms=1_000)
# What can be spent at once is little: whoever has more has to wait for it.
TIGHT = SessionLimits(
    messages_per_second=1_000_000,
    checkpoint_interval_ms=1_000,
    slice_nodes=3,
    live_nodes_per_second=2,
    pack_nodes=5,
    queued_requests=2,
)
picks = st.integers(0, 1 << 16)
offers = st.sets(st.sampled_from(NAMES), max_size=3)
frames = st.sampled_from([1, 1, 2, 3, 100])


def offer_without(off: set[str]) -> Offer:
    return {name: value for name, value in own_offer().items() if name not in off}


class MovedClient(NaiveClient):
    """A naive client whose frames move one by one, and that believes nothing unseen."""

    outgoing: list[bytes]
    put_off: set[bytes]
    changing: bool
    may_lack_bodies: bool
    keys: list[tuple[str, ...]]

    def start(self) -> None:
        if self.link is not None:
            self.leave()
        self.outgoing = []
        self.put_off = set()
        # Bodies that were under way when a session ended do not come in the next one.
        self.may_lack_bodies = getattr(self, "may_lack_bodies", False) or (
            getattr(self, "changing", False)
        )
        self.changing = False
        self.connect()

    @property
    def is_up(self) -> bool:
        return self.link is not None and self.link.is_up

    def up(self, count: int) -> bool:
        """Give the server some frames."""
        link = self.link
        assert link is not None
        self.outgoing += link.client.take_frames()
        given, self.outgoing = self.outgoing[:count], self.outgoing[count:]
        for frame in given:
            link.perform(link.server.receive(frame, self.room.now_ms))
        return bool(given)

    def down(self, count: int) -> bool:
        """Give the client some frames."""
        link = self.link
        assert link is not None
        given, link.to_client = link.to_client[:count], link.to_client[count:]
        for frame in given:
            for event in link.client.receive(frame):
                self.check(event)
                self.hear(event)
        return bool(given)

    def check(self, event: ClientEvent) -> None:
        """Whatever the server says of its log is so."""
        log = self.room.log
        assert not isinstance(event, Faulted), event
        if isinstance(event, Acknowledged):
            for node_id, seq in event.seqs.items():
                assert log[seq - 1].id == node_id
        elif isinstance(event, Received | HistoryPage):
            for seq, node in enumerate(event.nodes, event.from_seq):
                assert log[seq - 1].id == node.id

    def hear(self, event: ClientEvent) -> None:
        if isinstance(event, Refused):
            self.put_off.update(node.id for node in event.nodes)
            assert {node.reject_class for node in event.nodes} == {"parent_missing"}
            return
        if isinstance(event, SubscriptionComplete):
            self.changing = False
        if isinstance(event, HistoryEnd) and event.from_seq == 1:
            assert self.base_ids <= self.nodes.keys()
            self.base_ids, self.base_seq = set(), 0
        if isinstance(event, WalkFound):
            # What was unknown then may have been given back by others since.
            assert {node.id for node in self.room.log}.issuperset(event.known)
            return
        super().hear(event)

    def subscribe_to(self, patterns: tuple[str, ...]) -> None:
        assert self.link is not None
        self.changing = True
        self.link.client.subscribe(patterns)

    def push_again(self) -> bool:
        """What was refused for want of a parent, once the parents may be there."""
        link = self.link
        assert link is not None
        if not self.put_off or not link.client.is_live:
            return False
        nodes = [self.nodes[each] for each in self.put_off]
        nodes.sort(key=lambda node: (node.clock, node.id))
        self.put_off.clear()
        if self._is_missing_asked:
            link.client.push_back(nodes)
        else:
            link.client.push(nodes)
        return True


class SessionsMachine(RuleBasedStateMachine):
    """A room, its clients, and every frame between them delivered, or lost with its socket."""

    def __init__(self) -> None:
        super().__init__()
        self.room = NaiveRoom()
        self.clients: list[MovedClient] = []
        self.written = 0

    @initialize(off=offers, is_tight=st.booleans(), count=st.integers(0, 30))
    def begin(self, off: set[str], is_tight: bool, count: int) -> None:
        limits = TIGHT if is_tight else LIMITS
        self.room = NaiveRoom(offer_without(off), limits)
        self.add_client(set(), False, True, True, Codec.MSGPACK, ())
        self.settle()
        self.write(0, count, "a/text")
        self.settle()

    # Clients

    @rule(
        off=offers,
        wants_snapshot=st.booleans(),
        wants_signatures=st.booleans(),
        declares_backlog=st.booleans(),
        codec=st.sampled_from(Codec),
        subscribe=st.sampled_from([(), *PATTERNS]),
    )
    def add_client(
        self,
        off: set[str],
        wants_snapshot: bool,
        wants_signatures: bool,
        declares_backlog: bool,
        codec: Codec,
        subscribe: tuple[str, ...],
    ) -> None:
        if len(self.clients) == MOST_CLIENTS:
            return
        if {"header_only_nodes"} & off or "header_only_nodes" not in self.room.offer:
            subscribe = ()
        client = MovedClient(
            self.room,
            bytes([97 + len(self.clients)]),
            codec=codec,
            offer=offer_without(off),
            wants_snapshot=wants_snapshot,
            wants_signatures=wants_signatures,
            subscribe=subscribe,
        )
        client.declares_backlog = declares_backlog
        self.clients.append(client)
        client.start()

    def client(self, number: int) -> MovedClient:
        return self.clients[number % len(self.clients)]

    @rule(number=picks)
    def reconnect(self, number: int) -> None:
        """Whatever was under way on the old socket is lost."""
        self.client(number).start()

    @rule(number=picks)
    def leave(self, number: int) -> None:
        client = self.client(number)
        if client.is_up:
            client.leave()

    @rule(count=st.sampled_from([1, 3]), key=st.sampled_from(["a/t", "b/t"]))
    def everybody_writes(self, count: int, key: str) -> None:
        for number in range(len(self.clients)):
            self.write(number, count, key)

    @rule(number=picks, count=st.sampled_from([1, 1, 2, 9]), key=st.sampled_from(["a/t", "b/t"]))
    def write(self, number: int, count: int, key: str) -> None:
        client = self.client(number)
        # Who has nothing but a snapshot's names yet has no heads to write on.
        if client.lineage is not None and not client.base_ids:
            client.write(count, key)

    @rule(number=picks, patterns=st.sampled_from(PATTERNS))
    def subscribe(self, number: int, patterns: tuple[str, ...]) -> None:
        client = self.client(number)
        if client.is_up and client.link is not None and client.link.client.is_live:
            session = client.link.client
            if "header_only_nodes" in session.caps and not client.base_ids:
                client.subscribe_to(patterns)

    # Frames

    @rule(number=picks, count=frames)
    def deliver_up(self, number: int, count: int) -> None:
        client = self.client(number)
        if client.is_up:
            client.up(count)

    @rule(number=picks, count=frames)
    def deliver_down(self, number: int, count: int) -> None:
        client = self.client(number)
        if client.is_up:
            client.down(count)

    @rule(rounds=st.integers(1, 6))
    def everybody_moves(self, rounds: int) -> None:
        for _ in range(rounds):
            for client in self.clients:
                if client.is_up:
                    client.up(100)
                    client.down(100)

    @rule(later_ms=st.sampled_from([100, 1_000, 60_000]))
    def time_passes(self, later_ms: int) -> None:
        self.room.now_ms += later_ms
        for link in self.links():
            link.perform(link.server.tick(self.room.now_ms))

    def links(self) -> list[Link]:
        # A greeting that takes too long is another matter.
        return [each for each in self.room.links if each.is_up and each.server.is_welcomed]

    # The server

    @rule(number=picks, lost=picks | st.integers(0, 8), is_same_epoch=st.booleans())
    def restore(self, number: int, lost: int, is_same_epoch: bool) -> None:
        """An older copy of the log comes back: noticed by a checkpoint, or by nobody."""
        room = self.room
        if any(client.base_ids for client in self.clients):
            return
        kept = len(room.log) - lost % (len(room.log) + 1)
        epoch, missing = room.epoch, room.missing
        room.renew(kept, None)
        if is_same_epoch:
            room.epoch = epoch
        checkpoint = self.client(number).checkpoint
        if checkpoint is not None and is_log_lost(checkpoint, room):
            # Noticed: then it takes another epoch, and asks everybody.
            room.renew(kept, checkpoint)
            assert room.missing is not None
            room.missing.epoch = epoch
        elif missing is not None:
            # A window that was open is kept, and what lies above it is still missing.
            missing.seq = min(missing.seq, kept)
        room.snapshot_seq = 0
        for client in self.clients:
            client.link = None

    @rule(number=picks)
    def take_snapshot(self, number: int) -> None:
        """At a place that everything later has in its history."""
        log = self.room.log
        nodes = {node.id: node for node in log}
        if not log:
            return
        seq = 1 + number % len(log)
        below = {node.id for node in log[:seq]}
        if all(below <= history_of(nodes, [node.id]) for node in log[seq:]):
            self.room.snapshot_seq = seq

    @invariant()
    def a_snapshot_is_offered_only_while_its_place_is_critical(self) -> None:
        room = self.room
        if room.snapshot_seq:
            below = set(heads_of(room.log[: room.snapshot_seq]))
            nodes = {node.id: node for node in room.log}
            if any(not below <= history_of(nodes, [n.id]) for n in room.log[room.snapshot_seq :]):
                room.snapshot_seq = 0

    @invariant()
    def places_are_those_of_the_log(self) -> None:
        for client in self.clients:
            session = client.link.client if client.is_up and client.link is not None else None
            if session is not None and session.is_live and session.cursor is not None:
                cursor = session.cursor
                log = self.room.log
                assert cursor.epoch == self.room.epoch
                if cursor.seq:
                    assert log[cursor.seq - 1].id == cursor.id
                held = client.ids
                assert {node.id for node in log[: cursor.seq]} <= held

    # At rest

    @rule()
    def settle(self) -> None:
        """Everybody comes, everything arrives: equal nodes, nothing pending, true places."""
        for client in self.clients:
            if not client.is_up:
                client.start()
        for _ in range(400):
            moved = True
            while moved:
                moved = False
                for client in self.clients:
                    moved |= client.up(100)
                    moved |= client.down(100)
            self.time_passes(60_000)
            for client in self.clients:
                moved |= client.push_again()
            if not moved and not any(
                client.pending or client.outgoing or client.link.to_client  # type: ignore[union-attr]
                for client in self.clients
            ):
                break
        else:
            raise AssertionError("they never come to rest")
        self.check_rest()

    def check_rest(self) -> None:
        room = self.room
        ids = {node.id for node in room.log}
        for client in self.clients:
            assert client.link is not None
            session = client.link.client
            assert session.is_live
            assert session.held_seq == room.head_seq
            assert session.packs_in_flight == 0
            assert client.ids == ids
            assert not client.pending
            for seq, node_id in client.places.items():
                assert room.log[seq - 1].id == node_id
            if not client.may_lack_bodies:
                for node in client.nodes.values():
                    key = node_key(room, node.id)
                    wanted = not client.subscribe or f"{key[0]}/**" in client.subscribe
                    assert node.body is not None or not wanted


def node_key(room: NaiveRoom, node_id: bytes) -> str:
    (node,) = [each for each in room.log if each.id == node_id]
    return node.operations()[0].key


TestSessionsOfOneRoomComeToRestWithTheSameNodes = machine_test(SessionsMachine, steps=40, weight=2)
