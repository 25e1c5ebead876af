"""Anchors, attribution, undo and named versions go along with a text whatever is done to it.

Every character is written once, by whoever; so a text says which characters it has, and the model
is plain sets of them.
"""

from __future__ import annotations

from typing import Any

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from roomlog.core.anchors import Anchor, SavedAnchor, place_anchor, resolve_anchor
from roomlog.core.attribution import AttributionRun, TextAttribution, attribute_text
from roomlog.core.named_versions import (
    VERSIONS_SEGMENT,
    NamedVersion,
    value_of_version,
    version_of_value,
)
from roomlog.core.replica import Replica
from roomlog.core.undo.history import UndoHistory
from tests.oracle.naive_room import NaiveRoom
from tests.oracle.naive_text import NaiveText
from tests.oracle.room_histories import ROOM_ID, UnsignedAuthor
from tests.state_machines import machine_test

KEY = "t"
WRITERS = 3
picks = st.integers(0, 1 << 16)
sides = st.sampled_from(["left", "right"])


class Watched:
    """An anchor, and the characters on either side of it."""

    def __init__(self, anchor: Anchor, text: str) -> None:
        self.anchor = anchor
        self.left, self.right = set(text[: anchor.position]), set(text[anchor.position :])


class Step:
    """What one undo or redo would take back: characters put in and taken out, in order."""

    def __init__(self) -> None:
        self.records: list[tuple[bool, str]] = []

    def add(self, is_insertion: bool, characters: str) -> None:
        if characters:
            self.records.append((is_insertion, characters))

    def revert(self, visible: set[str]) -> Step:
        """Do the opposite to `visible`; what was done then."""
        done = Step()
        for is_insertion, characters in reversed(self.records):
            if is_insertion:
                gone = "".join(each for each in characters if each in visible)
                visible -= set(gone)
                done.add(False, gone)
            else:
                back = "".join(each for each in characters if each not in visible)
                visible |= set(back)
                done.add(True, back)
        return done


class TextFollowersMachine(RuleBasedStateMachine):
    """One replica is followed; others write to the same text, far from it and beside it."""

    def __init__(self) -> None:
        super().__init__()
        self.replicas = [Replica(ROOM_ID, UnsignedAuthor(number)) for number in range(WRITERS)]
        self.replica = self.replicas[0]
        self.next_character = 0x4E00
        self.now_ms = 1_000_000
        self.watched: list[Watched] = []
        self.saved: list[SavedAnchor] = []
        self.live: TextAttribution | None = None
        self.versions: dict[str, tuple[NamedVersion, str]] = {}
        self.undo = UndoHistory(self.replica, [KEY], group_ms=0)
        self.undo_steps: list[Step] = []
        self.redo_steps: list[Step] = []
        self.open = Step()

    @initialize(count=st.integers(0, 6))
    def begin(self, count: int) -> None:
        other = self.replicas[1]
        other.text(KEY).insert(0, self.fresh(count))
        other.commit(self.now_ms)
        self.send(other, self.replica)

    def fresh(self, length: int) -> str:
        self.next_character += length
        return "".join(map(chr, range(self.next_character - length, self.next_character)))

    def text(self) -> str:
        return str(self.replica.text(KEY))

    # Edits

    @rule(who=st.sampled_from([0, 0, 0, 1, 2]), at=picks, size=st.sampled_from([1, 1, 2, 5]))
    def insert(self, who: int, at: int, size: int) -> None:
        replica = self.replicas[who]
        characters = self.fresh(size)
        at %= len(replica.text(KEY)) + 1
        expected = []
        for each in self.watched:
            place, side = each.anchor.position, each.anchor.side
            expected.append(
                place + size if at < place or (at == place and side == "right") else place
            )
        replica.text(KEY).insert(at, characters)
        if who == 0:
            assert [each.anchor.position for each in self.watched] == expected
        self.note(who, True, characters)

    @rule(who=st.sampled_from([0, 0, 0, 1, 2]), at=picks, size=st.sampled_from([1, 1, 3, 8]))
    def delete(self, who: int, at: int, size: int) -> None:
        replica = self.replicas[who]
        text = str(replica.text(KEY))
        if text:
            at %= len(text)
            gone = text[at : at + size]
            replica.text(KEY).delete(at, len(gone))
            self.note(who, False, gone)

    def note(self, who: int, is_insertion: bool, characters: str) -> None:
        if who == 0:
            self.open.add(is_insertion, characters)
        else:
            self.now_ms += 1
            self.replicas[who].commit(self.now_ms)

    @rule(
        works=st.lists(
            st.tuples(
                st.integers(0, WRITERS - 1), st.booleans(), picks, st.sampled_from([1, 2, 5])
            ),
            min_size=1,
            max_size=6,
        ),
        is_exchanged=st.booleans(),
    )
    def write_in_turns(self, works: list[tuple[int, bool, int, int]], is_exchanged: bool) -> None:
        for who, is_insertion, at, size in works:
            if is_insertion:
                self.insert(who, at, size)
            else:
                self.delete(who, at, size)
            self.commit()
            if is_exchanged:
                self.exchange(who, (who + 1) % WRITERS)

    @rule()
    def commit(self) -> None:
        self.now_ms += 1
        self.replica.commit(self.now_ms)
        self.settle_step()

    def settle_step(self) -> None:
        if self.open.records:
            self.undo_steps.append(self.open)
            self.redo_steps.clear()
        self.open = Step()

    @rule()
    def discard(self) -> None:
        before = self.text()
        self.replica.discard()
        self.open = Step()
        self.let_return(before)

    def send(self, sender: Replica, receiver: Replica) -> None:
        if receiver is self.replica and receiver.has_open_edits:
            self.commit()
        nodes = [node for node in sender.nodes() if node.id not in receiver]
        assert not receiver.add_nodes(nodes, self.now_ms, verify=False).rejected

    @rule(sender=st.integers(0, WRITERS - 1), receiver=st.integers(0, WRITERS - 1))
    def exchange(self, sender: int, receiver: int) -> None:
        self.send(self.replicas[sender], self.replicas[receiver])

    @rule(other=st.integers(1, WRITERS - 1))
    def hear_of(self, other: int) -> None:
        self.send(self.replicas[other], self.replica)

    # Undo

    @rule(is_redo=st.sampled_from([False, False, True]))
    def take_back(self, is_redo: bool) -> None:
        """As far as it is there still; steps without an effect are passed over."""
        self.commit()
        before = self.text()
        visible = set(before)
        steps, others = self.undo_steps, self.redo_steps
        if is_redo:
            steps, others = others, steps
        done = Step()
        while steps and not done.records:
            done = steps.pop().revert(visible)
        if done.records:
            others.append(done)
        self.now_ms += 1
        ids = self.undo.redo(self.now_ms) if is_redo else self.undo.undo(self.now_ms)
        after = self.text()
        assert bool(ids) == bool(done.records)
        assert set(after) == visible
        assert len(after) == len(visible)
        assert [c for c in before if c in visible] == [c for c in after if c in before]
        assert self.undo.can_undo == bool(self.undo_steps)
        assert self.undo.can_redo == bool(self.redo_steps)
        self.let_return(before)

    def let_return(self, before: str) -> None:
        """What came back has no place among its neighbours of long ago."""
        returned = set(self.text()) - set(before)
        for each in self.watched:
            each.left -= returned
            each.right -= returned

    # Followers

    @rule(at=picks, side=sides)
    def place(self, at: int, side: Any) -> None:
        text = self.text()
        position = at % (len(text) + 1)
        self.watched.append(Watched(place_anchor(self.replica, KEY, position, side), text))

    @rule(which=picks)
    def drop(self, which: int) -> None:
        if self.watched:
            del self.watched[which % len(self.watched)]

    @rule(which=picks)
    def save(self, which: int) -> None:
        self.commit()
        if self.watched:
            anchor = self.watched[which % len(self.watched)].anchor
            saved = SavedAnchor.from_value(anchor.save().to_value())
            assert resolve_anchor(self.replica, KEY, saved).position == anchor.position
            self.saved.append(saved)

    @rule(is_followed=st.booleans())
    def attribute(self, is_followed: bool) -> None:
        if self.live is not None:
            self.live.close()
        self.live = TextAttribution(self.replica, KEY) if is_followed else None

    @rule(name=st.sampled_from("ab"), note=st.sampled_from(["", "é"]))
    def name_a_version(self, name: str, note: str) -> None:
        self.commit()
        author = UnsignedAuthor(0).public_key
        frontier = tuple(self.replica.frontier)
        version = NamedVersion(name, frontier, author, self.now_ms, note)
        self.versions[name] = version, self.text()
        self.replica.map(VERSIONS_SEGMENT)[name] = value_of_version(version)
        self.replica.commit(self.now_ms)

    # What holds

    def naive_text(self, replica: Replica) -> tuple[NaiveRoom, NaiveText]:
        room = NaiveRoom()
        for node in replica.nodes():
            room.add(node)
        return room, room.texts.get(KEY) or NaiveText()

    @invariant()
    def anchors_stay_between_their_characters(self) -> None:
        text = self.text()
        for each in self.watched:
            assert 0 <= each.anchor.position <= len(text)
            assert not each.left.intersection(text[each.anchor.position :])
            assert not each.right.intersection(text[: each.anchor.position])

    @invariant()
    def each_character_is_attributed_to_its_node(self) -> None:
        if self.live is None:
            return
        author = UnsignedAuthor(0).public_key
        runs = self.characters(attribute_text(self.replica, KEY))
        assert self.characters(self.live.runs()) == runs
        assert len(runs) == len(self.text())
        room, naive = self.naive_text(self.replica)
        ids = {number: node_id for node_id, number in room._numbers.items()}
        # What an undo has brought back was written twice.
        wrote = {(each.value, ids[each.node]) for each in naive.characters()}
        if self.replica.has_open_edits:
            for character, (who, node_id) in zip(self.text(), runs, strict=True):
                assert node_id is not None or who == author
                assert node_id is None or (character, node_id) in wrote
            return
        shown = naive.visible(frozenset(naive.histories))
        expected = [(room.nodes[ids[each.node]].author, ids[each.node]) for each in shown]
        assert runs == expected

    def characters(self, runs: list[AttributionRun]) -> list[tuple[bytes | None, bytes | None]]:
        found: list[tuple[bytes | None, bytes | None]] = []
        for run in runs:
            assert run.start == len(found)
            found.extend([(run.author, run.node_id)] * run.length)
        return found

    @rule(holder=st.integers(0, WRITERS - 1))
    def find_saved_places(self, holder: int) -> None:
        """Everybody who has the version finds the place where its character is, or was."""
        replica = self.replicas[holder]
        if replica.has_open_edits:
            return
        room, naive = self.naive_text(replica)
        every = list(naive.characters())
        shown = set(naive.visible(frozenset(naive.histories)))
        for saved in self.saved:
            if not all(node_id in replica for node_id in saved.version):
                continue
            version = frozenset(room._numbers[each] for each in room.version(saved.version))
            there = naive.visible(version)
            before = every
            if saved.side == "left":
                before = every[: saved.position and every.index(there[saved.position - 1]) + 1]
            elif saved.position < len(there):
                before = every[: every.index(there[saved.position])]
            expected = sum(each in shown for each in before)
            assert resolve_anchor(replica, KEY, saved).position == expected

    @rule()
    def go_to_named_versions(self) -> None:
        self.commit()
        kept = self.replica.map(VERSIONS_SEGMENT).to_dict()
        assert kept.keys() == self.versions.keys()
        for name, (version, text) in self.versions.items():
            assert version_of_value(name, kept[name]) == version
            assert str(self.replica.at(version.frontier).text(KEY)) == text


TestWhatFollowsATextStaysInItsPlace = machine_test(TextFollowersMachine, steps=40, weight=2)
