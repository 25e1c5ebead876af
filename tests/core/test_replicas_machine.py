"""Replicas that edit, fork, branch and exchange arbitrary slices say what the naive room says."""

from __future__ import annotations

from typing import Any, ClassVar

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from roomlog.core.branch import Branch
from roomlog.core.node import Node
from roomlog.core.pack import Layout, encode_pack, write_pack_file
from roomlog.core.replica import Replica
from roomlog.core.state import COUNTER, LIST, MAP, TEXT
from tests.core.devices import plain
from tests.oracle.handle_edits import Edit, edits, perform
from tests.oracle.naive_room import NaiveRoom
from tests.oracle.room_histories import LINEAGE, ROOM_ID, UnsignedAuthor
from tests.state_machines import machine_test

MOST_REPLICAS = 5
picks = st.integers(0, 1 << 16)
numbers = st.lists(picks, max_size=3)
KINDS = {"maps": MAP, "blobs": MAP, "counters": COUNTER, "lists": LIST, "texts": TEXT}


class Member:
    """A replica, the ids that have arrived there, and what it said when it was last asked."""

    def __init__(self, number: int) -> None:
        self.author = UnsignedAuthor(number)
        self.replica = Replica(ROOM_ID, self.author)
        self.arrived: set[bytes] = set()
        self.now_ms = 1_000_000
        self.noted = self.replica.state()
        self.branch: Branch | None = None
        self.branch_version: frozenset[bytes] = frozenset()


class ReplicasMachine(RuleBasedStateMachine):
    """The model is one naive room of every node there is, and a set of ids for each replica."""

    kinds: ClassVar[str] = "mclt"

    def __init__(self) -> None:
        super().__init__()
        self.room = NaiveRoom()
        self.members: list[Member] = []
        self.changed: set[int] = set()
        self.said: dict[frozenset[bytes], tuple[Any, str]] = {}

    @initialize(count=st.integers(2, 3), is_one_author=st.booleans())
    def begin(self, count: int, is_one_author: bool) -> None:
        for number in range(count):
            self.members.append(Member(0 if is_one_author else number))

    # The model

    def member(self, number: int) -> Member:
        index = number % len(self.members)
        self.changed.add(index)
        return self.members[index]

    def held(self, member: Member) -> frozenset[bytes]:
        """Of what has arrived, that of which all ancestors have."""
        arrived = member.arrived
        return frozenset(each for each in arrived if self.room.histories[each] <= arrived)

    def says(self, version: frozenset[bytes]) -> tuple[Any, str]:
        if version not in self.said:
            self.said[version] = self.room.state(version), self.room.state_hash(version)
        return self.said[version]

    def heads(self, version: frozenset[bytes]) -> list[bytes]:
        below = {parent for each in version for parent in self.room.nodes[each].parents}
        return sorted(version - below)

    def wrote(self, member: Member, ids: list[bytes], parents: list[bytes]) -> None:
        """Take nodes into the model that a member has just written in a line on `parents`."""
        for node_id in ids:
            node = member.replica.node(node_id)
            assert sorted(node.parents) == parents
            assert node.author == member.author.public_key
            self.room.add(node)
            member.arrived.add(node_id)
            parents = [node_id]

    # Editing

    @rule(number=picks, data=st.data(), count=st.sampled_from([1, 1, 2, 4]))
    def edit(self, number: int, data: st.DataObject, count: int) -> None:
        member = self.member(number)
        for _ in range(count):
            edit: Edit = data.draw(edits(self.kinds))
            perform(member.replica, edit)

    @rule(number=picks, later_ms=st.sampled_from([0, 1, 50]))
    def commit(self, number: int, later_ms: int) -> None:
        member = self.member(number)
        parents = self.heads(self.held(member))
        member.now_ms += later_ms
        is_open = member.replica.has_open_edits
        ids = member.replica.commit(member.now_ms)
        assert bool(ids) == is_open
        self.wrote(member, ids, parents)

    @rule(
        number=picks,
        data=st.data(),
        count=st.sampled_from([1, 1, 2, 3]),
        nodes=st.sampled_from([1, 2, 5]),
    )
    def write(self, number: int, data: st.DataObject, count: int, nodes: int) -> None:
        for _ in range(nodes):
            self.edit(number, data, count)
            self.commit(number, 1)

    @rule(data=st.data(), later_ms=st.sampled_from([0, 1]))
    def everybody_writes(self, data: st.DataObject, later_ms: int) -> None:
        for _ in range(2):
            for number in range(len(self.members)):
                self.edit(number, data, 1)
                self.commit(number, later_ms)

    @rule()
    def everybody_tells_everybody(self) -> None:
        for sender in range(len(self.members)):
            for receiver in range(len(self.members)):
                self.send_everything(sender, receiver)

    @rule(number=picks)
    def discard(self, number: int) -> None:
        self.member(number).replica.discard()

    @rule(number=picks)
    def merge(self, number: int) -> None:
        member = self.member(number)
        self.flush(member)
        heads = self.heads(self.held(member))
        if len(heads) > 1:
            self.wrote(member, [member.replica.merge(member.now_ms)], heads)

    def flush(self, member: Member) -> None:
        """What an import, a merge and a branch do first."""
        parents = self.heads(self.held(member))
        self.wrote(member, member.replica.commit(member.now_ms), parents)

    # Branches and forks

    @rule(number=picks, chosen=numbers)
    def begin_branch(self, number: int, chosen: list[int]) -> None:
        member = self.member(number)
        ids = sorted(self.held(member))
        frontier = sorted({ids[each % len(ids)] for each in chosen}) if ids else []
        member.branch = member.replica.branch(frontier)
        member.branch_version = self.room.version(frontier)
        assert member.branch.frontier == frontier
        self.check_branch(member)

    @rule(number=picks, edit_now=st.data(), chosen=numbers, is_merged_first=st.booleans())
    def write_on_branch(
        self, number: int, edit_now: st.DataObject, chosen: list[int], is_merged_first: bool
    ) -> None:
        member = self.member(number)
        branch = member.branch
        if branch is None:
            return
        perform(branch, edit_now.draw(edits(self.kinds)))
        self.flush(member)
        if is_merged_first:
            self.merge_into_branch(member, branch, chosen)
        else:
            parents = branch.frontier
            self.branch_wrote(member, branch.commit(member.now_ms), parents)
            self.merge_into_branch(member, branch, chosen)
        self.check_branch(member)

    def merge_into_branch(self, member: Member, branch: Branch, chosen: list[int]) -> None:
        ids = sorted(self.held(member))
        frontier = [ids[each % len(ids)] for each in chosen] if ids else []
        parents = branch.frontier
        self.branch_wrote(member, branch.merge(frontier, member.now_ms), parents)
        member.branch_version |= self.room.version(frontier)

    def branch_wrote(self, member: Member, ids: list[bytes], parents: list[bytes]) -> None:
        self.wrote(member, ids, parents)
        member.branch_version |= set(ids)

    def check_branch(self, member: Member) -> None:
        branch = member.branch
        assert branch is not None
        if not branch.has_open_edits:
            state, digest = self.says(member.branch_version)
            assert plain(branch.state()) == state
            assert branch.state_hash().hex == digest

    @rule(number=picks, chosen=numbers)
    def restore_from_backup(self, number: int, chosen: list[int]) -> None:
        """Another device of the same author, with an old version of what is there."""
        member = self.member(number)
        ids = sorted(self.held(member))
        if len(self.members) == MOST_REPLICAS or not ids:
            return
        version = self.room.version([ids[each % len(ids)] for each in chosen])
        other = Member(member.author.public_key[0] - 1)
        other.now_ms = member.now_ms
        nodes = [node for node in member.replica.nodes() if node.id in version]
        assert len(other.replica.add_nodes(nodes, verify=False).accepted) == len(version)
        other.arrived = set(version)
        self.members.append(other)

    # Exchange

    @rule(
        sender=picks,
        receiver=picks,
        start=picks,
        size=st.sampled_from([1, 1, 2, 3, 40]),
        layout=st.sampled_from([None, Layout.ROWS, Layout.COLUMNS]),
        is_reversed=st.booleans(),
        is_file=st.booleans(),
    )
    def send_a_slice(
        self,
        sender: int,
        receiver: int,
        start: int,
        size: int,
        layout: Layout | None,
        is_reversed: bool,
        is_file: bool,
    ) -> None:
        nodes = list(self.member(sender).replica.nodes())
        start %= len(nodes) + 1
        nodes = nodes[start : start + size]
        if is_reversed:
            nodes.reverse()
        self.deliver(self.member(receiver), nodes, layout, is_file)

    @rule(sender=picks, receiver=picks)
    def send_everything(self, sender: int, receiver: int) -> None:
        self.deliver(self.member(receiver), list(self.member(sender).replica.nodes()), None, False)

    def deliver(
        self, member: Member, nodes: list[Node], layout: Layout | None, is_file: bool
    ) -> None:
        replica = member.replica
        parents = self.heads(self.held(member))
        if is_file:
            data = write_pack_file(LINEAGE, [encode_pack(nodes, layout=layout)] if nodes else [])
            result = replica.import_pack(data, member.now_ms, verify=False)
        else:
            result = replica.add_nodes(nodes, member.now_ms, verify=False)
        self.wrote(member, result.flushed, parents)
        before, arrived = self.held(member), set(member.arrived)
        member.arrived.update(node.id for node in nodes)
        after = self.held(member)
        assert not result.rejected
        assert set(result.accepted) == after - before
        assert len(result.accepted) == len(after - before)
        assert result.duplicates == sum(node.id in arrived for node in nodes)
        # Those that had to wait for a moment are named as well.
        assert set(result.waiting) >= (member.arrived - arrived) - after
        assert set(result.waiting) <= member.arrived - arrived
        assert {node.id for node in replica.waiting} == member.arrived - after

    # Questions

    @rule(
        number=picks,
        chosen=numbers,
        question=st.sampled_from(
            [
                "look_at_a_version",
                "export_what_is_missing",
                "take_changes",
                "take_changes",
                "list_conflicts",
            ]
        ),
    )
    def ask(self, number: int, chosen: list[int], question: str) -> None:
        getattr(self, question)(self.member(number), chosen)

    def look_at_a_version(self, member: Member, chosen: list[int]) -> None:
        ids = sorted(self.held(member))
        frontier = sorted({ids[each % len(ids)] for each in chosen}) if ids else []
        view = member.replica.at(frontier)
        state, digest = self.says(self.room.version(frontier))
        assert plain(view.state()) == state
        assert view.state_hash().hex == digest

    def export_what_is_missing(self, member: Member, chosen: list[int]) -> None:
        held = self.held(member)
        ids = sorted(held)
        since = [ids[each % len(ids)] for each in chosen] if ids else []
        other = Replica(ROOM_ID)
        known = self.room.version(since)
        other.add_nodes([n for n in member.replica.nodes() if n.id in known], verify=False)
        result = other.import_pack(member.replica.export(since=since), verify=False)
        assert set(result.accepted) == held - known
        assert not result.duplicates
        assert other.state_hash().hex == self.says(held)[1]

    def take_changes(self, member: Member, chosen: list[int]) -> None:
        """Whatever reads differently since the last time is among the changes."""
        now = member.replica.state()
        changes = member.replica.take_changes()
        for kind, objects in now.items():
            before = member.noted[kind]
            for key in objects.keys() | before.keys():
                same = key in objects and key in before and objects[key] == before[key]
                assert same or (KINDS[kind], key) in changes
        member.noted = now

    def list_conflicts(self, member: Member, chosen: list[int]) -> None:
        self.flush(member)
        part = NaiveRoom()
        held = self.held(member)
        for node_id, node in self.room.nodes.items():
            if node_id in held:
                part.add(node)
        found = {
            (
                conflict.kind,
                conflict.key,
                conflict.item,
                (conflict.winner.node_id, conflict.winner.operation_index),
                tuple((write.node_id, write.operation_index) for write in conflict.losers),
            )
            for conflict in member.replica.conflicts()
        }
        assert found == part.conflicts()

    @rule(number=picks, chosen=numbers, which=st.none() | st.integers(0, 3))
    def imagine_own_edits_away(self, number: int, chosen: list[int], which: int | None) -> None:
        """The replica without some own operations is a room by itself; the old one stays."""
        member = self.member(number)
        self.flush(member)
        key = member.author.public_key
        own = [node for node in member.replica.nodes() if node.author == key]
        own = [node for node in own if node.operations()]
        if not own:
            return
        refused = {
            node.id: None if which is None else [which % len(node.operations())]
            for node in [own[each % len(own)] for each in chosen]
        }
        rebase = member.replica.without(refused, member.now_ms)
        room = NaiveRoom()
        for node in rebase.replica.nodes():
            room.add(node)
        assert plain(rebase.replica.state()) == room.state()
        assert rebase.replica.frontier == room.frontier()
        kept = {each.id for each in member.replica.nodes()}
        for each in rebase.nodes:
            assert each.id not in kept
            assert each.author == key
        standing = {node.id for node in rebase.replica.nodes()} & kept
        for node_id in kept - standing:
            below = self.room.histories[node_id]
            assert not below.isdisjoint(refused)

    @invariant()
    def who_has_changed_says_what_the_room_says(self) -> None:
        changed, self.changed = self.changed, set()
        for index in changed:
            member = self.members[index]
            held = self.held(member)
            replica = member.replica
            assert len(replica) == len(held)
            assert replica.frontier == self.heads(held)
            digest = replica.state_hash()
            assert digest.coverage.awaited == len(member.arrived - held)
            if replica.has_open_edits:
                assert not digest.complete
                continue
            state, expected = self.says(held)
            assert plain(replica.state()) == state
            assert digest.hex == expected
            assert digest.complete == (len(member.arrived) == len(held))


class MapsAndCountersMachine(ReplicasMachine):
    kinds = "mc"


class ListsMachine(ReplicasMachine):
    kinds = "l"


class TextsMachine(ReplicasMachine):
    kinds = "t"


TestReplicasOfEveryKindAgree = machine_test(ReplicasMachine, steps=60)
TestMapsAndCountersAgree = machine_test(MapsAndCountersMachine, steps=60)
TestListsAgree = machine_test(ListsMachine, steps=60)
TestTextsAgree = machine_test(TextsMachine, steps=60)
