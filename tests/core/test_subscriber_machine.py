"""A replica of some keys, however nodes, bodies and wishes come, is the whole room seen through."""

from __future__ import annotations

from random import Random

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from roomlog.core.errors import NotSubscribedError, RoomlogError
from roomlog.core.node import Node
from roomlog.core.patterns import PatternSet, pattern_set
from roomlog.core.replica import Replica
from roomlog.core.subscription import as_subscribed, touches
from tests.core.devices import plain
from tests.core.subscribing import POOL, HiddenOperation, SeenNode
from tests.oracle.handle_edits import edits, perform
from tests.oracle.histories import random_graph
from tests.oracle.naive_room import NaiveRoom
from tests.oracle.room_histories import ROOM_ID, UnsignedAuthor, room_history
from tests.state_machines import machine_test

picks = st.integers(0, 1 << 16)
wishes = st.lists(st.sampled_from(POOL), max_size=3, unique=True)
SUBSCRIBER = UnsignedAuthor(9)


class TwoSets:
    """Keys of either of two sets of patterns; None is every key."""

    def __init__(self, one: PatternSet | None, other: PatternSet | None, *, both: bool) -> None:
        self._sets = [one, other]
        self._both = both

    def matches(self, key: str) -> bool:
        matched = [each is None or each.matches(key) for each in self._sets]
        return all(matched) if self._both else any(matched)


class SubscriberMachine(RuleBasedStateMachine):
    """A log of whole nodes, one session that reads it by patterns, and the replica behind that."""

    def __init__(self) -> None:
        super().__init__()
        self.log: list[Node] = []
        self.full = Replica(ROOM_ID)
        self.replica = Replica(ROOM_ID, SUBSCRIBER)
        self.wanted: PatternSet | None = None
        self.before: PatternSet | None = None
        self.is_changing = False
        self.position = 0
        self.delayed: list[Node] = []
        self.bodies: list[Node] = []
        self.now_ms = 1_000_000

    @initialize(seed=picks, count=st.integers(2, 20), patterns=wishes)
    def begin(self, seed: int, count: int, patterns: list[str]) -> None:
        """A history of every kind of operation; what is read of it comes later."""
        random = Random(seed)
        history = room_history(random, random_graph(random, count, 3))
        self.log = list(history.nodes)
        self.full.add_nodes(self.log, verify=False)
        self.replica.set_patterns(patterns)
        self.wanted = pattern_set(patterns)

    # The log

    @rule(count=st.sampled_from([1, 2, 5, 50]), seed=st.none() | picks, kept=st.integers(0, 2))
    def read_on(self, count: int, seed: int | None, kept: int) -> None:
        """The next nodes come, whole or without bodies; some of them later than others."""
        nodes = self.log[self.position : self.position + count]
        self.position += len(nodes)
        if self.wanted is not None:
            nodes = as_subscribed(nodes, self.wanted)
        self.delayed += nodes
        if seed is not None:
            Random(seed).shuffle(self.delayed)
        arriving = self.delayed[: max(0, len(self.delayed) - kept)]
        del self.delayed[: len(arriving)]
        result = self.replica.add_nodes(arriving, self.now_ms, verify=False)
        assert not result.rejected
        self.publish(result.flushed)

    @rule(data=st.data(), is_committed=st.booleans())
    def edit(self, data: st.DataObject, is_committed: bool) -> None:
        """Of what is not held or not complete nothing can be written, and nothing changes then."""
        edit = data.draw(edits())
        try:
            perform(self.replica, edit)
        except NotSubscribedError:
            return
        except RoomlogError:
            assert self.is_changing
            return
        if is_committed:
            self.commit()

    def commit(self) -> None:
        self.now_ms += 1
        self.publish(self.replica.commit(self.now_ms))

    def publish(self, ids: list[bytes]) -> None:
        """Own nodes are in the log as soon as all they stand on is: here at once, at its end."""
        for node_id in ids:
            node = self.replica.node(node_id)
            assert node.body is not None
            own = Node(
                node.id,
                node.author,
                node.clock,
                node.kind,
                node.parents,
                node.body_hash,
                node.body,
                node.signature,
            )
            self.log.append(own)
            self.full.add_nodes([own], verify=False)

    # Wishes

    @rule(patterns=wishes)
    def subscribe(self, patterns: list[str]) -> None:
        wanted = pattern_set(patterns)
        if self.is_changing:
            if wanted != self.wanted:
                with pytest.raises(RoomlogError):
                    self.replica.set_patterns(patterns, self.now_ms)
            return
        # What is under way was sent under the patterns before.
        self.read_on(0, None, 0)
        before = self.wanted
        self.publish(self.replica.set_patterns(patterns, self.now_ms))
        self.wanted = wanted
        self.is_changing = self.replica.awaits_bodies
        self.before = before if self.is_changing else None
        self.bodies = [
            node
            for node in self.log[: self.position]
            if before is not None
            and not touches(node, before)
            and (wanted is None or touches(node, wanted))
        ]
        if not self.is_changing:
            assert not self.bodies or self.is_within(wanted, before)
            self.bodies = []

    @staticmethod
    def is_within(wanted: PatternSet | None, before: PatternSet | None) -> bool:
        if before is None:
            return True
        return wanted is not None and set(wanted.patterns) <= set(before.patterns)

    @rule(count=st.sampled_from([1, 2, 50]), seed=st.none() | picks, is_twice=st.booleans())
    def bodies_come(self, count: int, seed: int | None, is_twice: bool) -> None:
        if not self.is_changing:
            return
        self.read_on(0, None, 0)
        if seed is not None:
            Random(seed).shuffle(self.bodies)
        bodies, self.bodies = self.bodies[:count], self.bodies[count:]
        for _ in range(1 + is_twice):
            result = self.replica.fill_bodies(bodies, self.now_ms)
            assert not result.rejected
            self.publish(result.flushed)
        if not self.bodies:
            self.replica.complete_patterns()
            self.is_changing = False
            self.before = None

    # What holds

    def held(self) -> list[Node]:
        """Whole nodes that have arrived with all their ancestors, in the order of the log."""
        late = {node.id for node in self.delayed}
        held: dict[bytes, Node] = {}
        own = SUBSCRIBER.public_key
        for seq, node in enumerate(self.log):
            has_come = (seq < self.position and node.id not in late) or node.author == own
            if has_come and held.keys() >= set(node.parents):
                held[node.id] = node
        return list(held.values())

    @invariant()
    def the_subscriber_sees_the_room_through_its_patterns(self) -> None:
        if not self.log:
            return
        replica = self.replica
        held = self.held()
        assert replica.awaits_bodies == self.is_changing
        assert len(replica) == len(held)
        room = NaiveRoom()
        for node in held:
            room.add(self.seen(node))
        assert replica.frontier == room.frontier()
        if replica.has_open_edits:
            return
        assert plain(replica.state()) == room.state()
        digest = replica.state_hash()
        assert digest.hex == room.state_hash()
        names = () if self.wanted is None else self.wanted.patterns
        assert tuple(digest.coverage.patterns) == names
        if self.is_changing:
            assert not digest.complete
        elif len(held) == len(self.log):
            expected = self.full.state_hash(names)
            assert (expected.hex, expected.complete) == (digest.hex, digest.complete)

    def seen(self, node: Node) -> SeenNode:
        """While bodies come, what both sets have stays readable."""
        seen = SeenNode(node, self.wanted)
        if self.is_changing:
            keys = TwoSets(self.wanted, self.before, both=True)
            seen._operations = [
                each if keys.matches(each.key) else HiddenOperation(each.key)
                for each in node.operations()
            ]
        return seen


TestASubscriberSeesTheRoomThroughItsPatterns = machine_test(SubscriberMachine, steps=30, weight=2)
