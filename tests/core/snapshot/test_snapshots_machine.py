"""Whoever joins by a snapshot, at any critical place, sees what those see who have all history."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from roomlog.core.errors import InvalidValueError
from roomlog.core.node import Node
from roomlog.core.replica import Replica
from roomlog.core.snapshot.facts import OpenedSnapshot
from roomlog.core.snapshot.taking import SnapshotTaker, take_snapshot
from tests.core.devices import plain
from tests.core.snapshot.taken import opened, replica_of
from tests.oracle.handle_edits import edits, perform
from tests.oracle.naive_room import NaiveRoom
from tests.oracle.room_histories import LINEAGE, ROOM_ID, UnsignedAuthor
from tests.state_machines import machine_test

picks = st.integers(0, 1 << 16)
MOST_MEMBERS = 6


class Member:
    """A replica with all of history, or on top of a snapshot that stands for `base`."""

    def __init__(self, number: int, snapshot: OpenedSnapshot | None, base: set[bytes]) -> None:
        author = UnsignedAuthor(number)
        if snapshot is None:
            self.replica = Replica(ROOM_ID, author, LINEAGE)
        else:
            self.replica = Replica.from_snapshot(ROOM_ID, author, LINEAGE, snapshot)
        self.base = base
        self.arrived: set[bytes] = set()
        self.now_ms = 1_000_000


class SnapshotsMachine(RuleBasedStateMachine):
    """A log, who writes to it, and snapshots of it. The model knows each node's history."""

    def __init__(self) -> None:
        super().__init__()
        self.room = NaiveRoom()
        self.log: list[Node] = []
        self.members: list[Member] = []
        self.snapshots: list[OpenedSnapshot] = []
        self.said: dict[frozenset[bytes], tuple[Any, str]] = {}

    @initialize(data=st.data(), count=st.integers(1, 4))
    def begin(self, data: st.DataObject, count: int) -> None:
        for number in range(2):
            self.members.append(Member(number, None, set()))
        first = self.members[0]
        first.replica.map("m")["first"] = 1
        self.take_own(first, first.replica.commit(first.now_ms))
        self.write(0, data, count)
        self.push(0)

    def member(self, number: int) -> Member:
        return self.members[number % len(self.members)]

    def accepted(self, member: Member) -> set[bytes]:
        """What is on top of all of the base, and stands on nothing that is not."""
        accepted: set[bytes] = set()
        for node_id, node in self.room.nodes.items():
            if node_id in member.arrived and self.room.histories[node_id] >= member.base:
                known = accepted | member.base
                if known.issuperset(node.parents):
                    accepted.add(node_id)
        return accepted

    def take_own(self, member: Member, ids: list[bytes]) -> None:
        for node_id in ids:
            self.room.add(member.replica.node(node_id))
            member.arrived.add(node_id)

    # Writing

    @rule(number=picks, data=st.data(), count=st.sampled_from([1, 2, 4]))
    def write(self, number: int, data: st.DataObject, count: int) -> None:
        member = self.member(number)
        for _ in range(count):
            perform(member.replica, data.draw(edits()))
            perform(member.replica, data.draw(edits()))
            member.now_ms += 1
            self.take_own(member, member.replica.commit(member.now_ms))

    @rule(number=picks, data=st.data())
    def discard(self, number: int, data: st.DataObject) -> None:
        replica = self.member(number).replica
        perform(replica, data.draw(edits()))
        replica.discard()

    @rule(number=picks)
    def merge(self, number: int) -> None:
        member = self.member(number)
        if len(member.replica.frontier) > 1:
            self.take_own(member, [member.replica.merge(member.now_ms)])

    # The log

    @rule(number=picks)
    def push(self, number: int) -> None:
        """What a member has in its history goes to the log, its own and what it got from others."""
        there = {node.id for node in self.log}
        for node in self.member(number).replica.nodes():
            if node.id not in there and there.issuperset(node.parents):
                self.log.append(node)
                there.add(node.id)

    @rule(number=picks, start=picks, size=st.sampled_from([1, 2, 5, 100]), is_mixed=st.booleans())
    def pull(self, number: int, start: int, size: int, is_mixed: bool) -> None:
        member = self.member(number)
        nodes = [node for node in self.log if node.id not in member.base | member.arrived]
        start %= len(nodes) + 1
        nodes = (nodes[start:] + nodes[:start] if is_mixed else nodes)[:size]
        before = self.accepted(member)
        member.arrived.update(node.id for node in nodes)
        result = member.replica.add_nodes(nodes, member.now_ms, verify=False)
        assert not result.rejected
        assert set(result.accepted) == self.accepted(member) - before
        assert not (result.waiting if member.base else result.held)

    @rule()
    def everybody_gets_everything(self) -> None:
        """The room falls quiet: its end becomes a critical place."""
        for number in range(len(self.members)):
            self.push(number)
        for number in range(len(self.members)):
            self.pull(number, 0, 1 << 16, False)

    # Snapshots

    def is_critical(self, seq: int) -> bool:
        early = {node.id for node in self.log[:seq]}
        return all(early <= self.room.histories[node.id] for node in self.log[seq:])

    @rule(number=picks, from_older=picks)
    def take_a_snapshot(self, number: int, from_older: int) -> None:
        """At any place; the bytes are the same on top of any older snapshot that still holds."""
        seq = len(self.log) - number % len(self.log)
        replica = replica_of(self.log)
        if not self.is_critical(seq):
            with pytest.raises(InvalidValueError):
                take_snapshot(replica, seq)
            return
        taken = take_snapshot(replica, seq)
        state_hash = self.says(frozenset(node.id for node in self.log[:seq]))[1]
        assert taken.state_hash.hex() == state_hash
        older = [
            each
            for each in self.snapshots
            if each.facts.seq < seq and self.is_critical(each.facts.seq)
        ]
        if older:
            base = older[from_older % len(older)]
            taker = SnapshotTaker(LINEAGE, base)
            taker.add(self.log[base.facts.seq :])
            assert taker.newest_critical(seq) == seq
            again = taker.take(seq)
            assert again.data == taken.data
            assert again.frontier_pack == taken.frontier_pack
            assert again.digest == taken.digest
        self.snapshots.append(opened(taken))

    @rule(number=picks)
    def join(self, number: int) -> None:
        """A snapshot is offered as long as its place is critical; then it joins at once."""
        if not self.snapshots or len(self.members) == MOST_MEMBERS:
            return
        snapshot = self.snapshots[number % len(self.snapshots)]
        seq = snapshot.facts.seq
        if self.is_critical(seq):
            base = {node.id for node in self.log[:seq]}
            self.members.append(Member(len(self.members), snapshot, base))

    @rule(place=picks, number=picks)
    def join_when_quiet(self, place: int, number: int) -> None:
        self.everybody_gets_everything()
        self.take_a_snapshot(place % 3, number)
        self.join(len(self.snapshots) - 1)

    @rule(number=picks)
    def complete(self, number: int) -> None:
        """The older history has come: a replica of all of it takes the place of the partial one."""
        member = self.member(number)
        partial = member.replica
        if not member.base:
            return
        full = Replica(ROOM_ID, partial.identity, LINEAGE)
        older = [node for node in self.log if node.id in member.base]
        assert not full.add_nodes(older, verify=False).rejected
        full.add_nodes([*partial.nodes(), *partial.log.held], verify=False)
        member.replica = full
        member.arrived |= member.base
        member.base = set()

    # What holds

    def says(self, version: frozenset[bytes]) -> tuple[Any, str]:
        if version not in self.said:
            self.said[version] = self.room.state(version), self.room.state_hash(version)
        return self.said[version]

    @rule(number=picks, which=picks)
    def look_at_a_version(self, number: int, which: int) -> None:
        member = self.member(number)
        ids = sorted(self.accepted(member))
        if ids:
            node_id = ids[which % len(ids)]
            state, digest = self.says(self.room.histories[node_id])
            for view in (member.replica.at([node_id]), member.replica.branch([node_id])):
                assert plain(view.state()) == state
                assert view.state_hash().hex == digest

    @invariant()
    def everybody_says_what_their_history_says(self) -> None:
        for member in self.members:
            replica = member.replica
            accepted = self.accepted(member)
            state, digest = self.says(frozenset(accepted | member.base))
            assert plain(replica.state()) == state
            hashed = replica.state_hash()
            assert hashed.hex == digest
            apart = member.arrived - accepted
            assert hashed.complete == (not apart)
            assert set(replica.held_ids) == (apart if member.base else set())
            assert {node.id for node in replica.nodes()} == accepted
            below = {p for each in accepted for p in self.room.nodes[each].parents}
            heads = accepted | set(replica.log.base.opened.facts.frontier if member.base else ())  # type: ignore[union-attr]
            assert replica.frontier == sorted(heads - below)


TestJoinersSeeWhatTheRoomSays = machine_test(SnapshotsMachine, steps=40, weight=2)
