from __future__ import annotations

import gc
import os
from random import Random
from typing import Any

import pytest

from roomlog.core.anchors import Anchor, SavedAnchor, place_anchor, resolve_anchor
from roomlog.core.errors import (
    HistoryMissingError,
    InvalidTypeError,
    InvalidValueError,
    NotSubscribedError,
    RoomlogError,
    UnknownNodeError,
)
from roomlog.core.replica import Replica
from roomlog.core.succession import GONE, Succession, succeed
from roomlog.core.text_followers import hand_over
from tests.core.snapshot.taken import partial_at
from tests.core.unique_text import KEY, UniqueWriters
from tests.oracle.naive_room import NaiveRoom
from tests.oracle.room_histories import UnsignedAuthor

HISTORIES = int(os.environ.get("ROOMLOG_HISTORIES", "1200")) // 10


class Watched:
    """An anchor, and the characters that were on either side of it when it was placed."""

    def __init__(self, replica: Replica, position: int, side: Any) -> None:
        text = str(replica.text(KEY))
        self.left, self.right = set(text[:position]), set(text[position:])
        self.anchor = place_anchor(replica, KEY, position, side)
        assert self.anchor.position == position

    def check(self, replica: Replica) -> None:
        text = str(replica.text(KEY))
        assert 0 <= self.anchor.position <= len(text)
        assert not self.left.intersection(text[self.anchor.position :])
        assert not self.right.intersection(text[: self.anchor.position])


def watch_some(random: Random, replica: Replica, watched: list[Watched]) -> None:
    for _ in range(random.choice([0, 1, 3])):
        position = random.randint(0, len(replica.text(KEY)))
        watched.append(Watched(replica, position, random.choice(["left", "right"])))


@pytest.mark.parametrize("block", range(4))
def test_an_anchor_stays_between_the_characters_it_was_placed_between(block: int) -> None:
    for seed in range(block, HISTORIES, 4):
        random = Random(seed)
        writers = UniqueWriters(random)
        replica = writers.replicas[0]
        watched: list[Watched] = []
        for _ in range(random.choice([3, 12])):
            watch_some(random, replica, watched)
            dice = random.random()
            if dice < 0.5:
                for _ in range(random.choice([1, 3])):
                    writers.edit(replica)
                    for each in watched:
                        each.check(replica)
                writers.commit(replica)
            elif dice < 0.65:
                before = str(replica.text(KEY))
                for _ in range(random.choice([1, 3])):
                    writers.edit(replica)
                replica.discard()
                assert str(replica.text(KEY)) == before
            else:
                writers.others_write(replica)
            for each in watched:
                each.check(replica)


@pytest.mark.parametrize("block", range(2))
def test_an_anchor_stays_between_its_characters_when_own_nodes_are_taken_back(block: int) -> None:
    rewritten = 0
    for seed in range(block, HISTORIES, 2):
        random = Random(seed)
        writers = UniqueWriters(random)
        replica = writers.replicas[0]
        author = replica.identity
        assert author is not None
        for _ in range(3):
            writers.edit(replica)
            writers.commit(replica)
            writers.others_write(replica)
        kept = {node.id for node in replica.nodes()}
        own = []
        watched: list[Watched] = []
        for _ in range(5):
            for _ in range(random.choice([1, 2])):
                writers.edit(replica)
            own += writers.commit(replica)
            watch_some(random, replica, watched)
        refused = {random.choice(own): None, random.choice(own): [0]} if own else {}
        if not refused:
            continue
        rebase = replica.without(refused)
        old_text = str(replica.text(KEY))

        def successor(
            node_id: bytes, mapping: dict[bytes, bytes | None] = rebase.mapping
        ) -> bytes | None:
            return mapping.get(node_id, node_id)

        for each in watched:
            # What was deleted and comes back has no place among its former neighbours.
            each.left &= set(old_text)
            each.right &= set(old_text)
        succession = Succession(replica, rebase.replica, successor, rebase.dropped)
        hand_over(replica.objects, rebase.replica.objects, succession)
        rewritten += old_text != str(rebase.replica.text(KEY))
        for each in watched:
            each.check(rebase.replica)
        # They follow the new one from here on, and the old one no more.
        writers.replicas[0] = rebase.replica
        places = [each.anchor.position for each in watched]
        replica.text(KEY).insert(0, writers.text(3))
        assert places == [each.anchor.position for each in watched]
        writers.edit(rebase.replica)
        writers.others_write(rebase.replica)
        for each in watched:
            each.check(rebase.replica)
        assert kept <= {node.id for node in rebase.replica.nodes()}
    assert rewritten > HISTORIES / 8


@pytest.mark.parametrize("block", range(2))
def test_a_saved_anchor_is_found_by_everybody_where_its_character_is(block: int) -> None:
    for seed in range(block, HISTORIES, 2):
        random = Random(seed)
        writers = UniqueWriters(random)
        replica, other = writers.replicas[:2]
        saved: list[tuple[SavedAnchor, frozenset[bytes]]] = []
        for _ in range(random.choice([2, 6])):
            writers.edit(replica)
            writers.commit(replica)
            writers.others_write(replica)
            position = random.randint(0, len(replica.text(KEY)))
            side: Any = random.choice(["left", "right"])
            anchor = place_anchor(replica, KEY, position, side)
            kept = SavedAnchor.from_value(anchor.save().to_value())
            assert kept == anchor.save()
            assert resolve_anchor(replica, KEY, kept).position == position
            saved.append((kept, frozenset(node.id for node in replica.nodes())))
        if random.random() < 0.5:
            writers.edit(replica)
            for each, _ in saved:
                place = resolve_anchor(replica, KEY, each).position
                assert 0 <= place <= len(replica.text(KEY))
            writers.commit(replica)
        writers.send(replica, other)
        writers.send(other, replica)
        room = NaiveRoom()
        for node in replica.nodes():
            room.add(node)
        text = room.texts[KEY]
        every = list(text.characters())
        shown = text.visible(frozenset(text.histories))
        for each, version in saved:
            there = text.visible(frozenset(room._numbers[node_id] for node_id in version))
            before = every
            if each.side == "left":
                at = each.position and every.index(there[each.position - 1]) + 1
                before = every[:at]
            elif each.position < len(there):
                before = every[: every.index(there[each.position])]
            expected = sum(character in shown for character in before)
            for holder in (replica, other):
                assert resolve_anchor(holder, KEY, each).position == expected


def test_sides_decide_about_what_is_inserted_right_there() -> None:
    replica = Replica("room", UnsignedAuthor(1))
    left = place_anchor(replica, KEY, 0, "left")
    right = place_anchor(replica, KEY, 0)
    assert right.side == "right"
    replica.text(KEY).insert(0, "ab")
    assert (left.position, right.position) == (0, 2)
    inner = place_anchor(replica, KEY, 1, "left")
    replica.text(KEY).insert(1, "xyz")
    replica.text(KEY).delete(0, 3)
    assert (left.position, inner.position, right.position) == (0, 0, 2)
    assert inner.key == KEY
    assert repr(inner) == "Anchor('t', 0, 'left')"


def test_a_text_that_nobody_wrote_has_one_place() -> None:
    replica = Replica("room", UnsignedAuthor(1))
    saved = place_anchor(replica, KEY, 0, "left").save()
    assert saved == SavedAnchor((), 0, "left")
    assert hash(saved) == hash(SavedAnchor((), 0, "left"))
    assert saved != SavedAnchor((), 0, "right")
    assert resolve_anchor(replica, KEY, saved).position == 0
    with pytest.raises(IndexError, match="position"):
        place_anchor(replica, KEY, 1)
    with pytest.raises(InvalidValueError, match="saved"):
        resolve_anchor(replica, KEY, SavedAnchor((), 1, "left"))


def test_what_is_wrong_with_an_anchor_is_said() -> None:
    replica = Replica("room", UnsignedAuthor(1))
    replica.text(KEY).insert(0, "abc")
    anchor = place_anchor(replica, KEY, 1)
    with pytest.raises(RoomlogError, match="commit"):
        anchor.save()
    replica.commit(1_000)
    saved = anchor.save()
    assert repr(saved) == f"SavedAnchor([{saved.version[0].hex()[:8]}], 1, 'right')"
    side: Any = "middle"
    with pytest.raises(InvalidValueError, match="side"):
        place_anchor(replica, KEY, 0, side)
    position: Any = True
    with pytest.raises(InvalidTypeError, match="position"):
        place_anchor(replica, KEY, position)
    with pytest.raises(InvalidValueError, match="key"):
        place_anchor(replica, "a//b", 0)
    with pytest.raises(UnknownNodeError):
        resolve_anchor(replica, KEY, SavedAnchor((bytes(32),), 0, "left"))
    with pytest.raises(InvalidValueError, match="saved"):
        resolve_anchor(replica, KEY, SavedAnchor(saved.version, 4, "left"))
    with pytest.raises(IndexError, match="outside"):
        place_anchor(replica, KEY, -1)
    replica.set_patterns(["other/**"])
    with pytest.raises(NotSubscribedError):
        place_anchor(replica, KEY, 0)


@pytest.mark.parametrize(
    "value",
    [
        None,
        [],
        [[], 0],
        [[], -1, "left"],
        [[], True, "left"],
        [[], 0, "up"],
        [[b"short"], 0, "left"],
        [["x" * 32], 0, "left"],
        [[bytes(32), bytes(32)], 0, "left"],
        [[b"\x01" * 32, bytes(32)], 0, "left"],
        ((), 0, "left"),
        [(), 0, "left"],
        [[], 0, ["left"]],
    ],
)
def test_a_value_that_is_no_saved_anchor_is_refused(value: object) -> None:
    with pytest.raises(InvalidValueError, match="saved anchor"):
        SavedAnchor.from_value(value)


def test_texts_without_anchors_are_not_followed() -> None:
    replica = Replica("room", UnsignedAuthor(1))
    replica.text(KEY).insert(0, "abc")
    anchors: list[Anchor] = [place_anchor(replica, KEY, at) for at in range(3)]
    place_anchor(replica, "other", 0)
    assert replica.objects.text_followers is not None
    anchors.clear()
    gc.collect()
    replica.text(KEY).insert(0, "x")
    assert replica.objects.texts[KEY].document.listeners is None
    replica.text("other").insert(0, "x")
    assert replica.objects.text_followers is None


def test_an_anchor_of_a_text_that_is_dropped_goes_to_its_start_and_waits() -> None:
    replica = Replica("room", UnsignedAuthor(1))
    replica.text(KEY).insert(0, "abc")
    replica.text("u").insert(0, "abc")
    anchor, other = place_anchor(replica, KEY, 2), place_anchor(replica, "u", 2)
    replica.set_patterns(["u"], 1_000)
    assert (anchor.position, other.position) == (0, 2)
    replica.set_patterns([])
    replica.complete_patterns()
    assert str(replica.text(KEY)) == "abc"
    assert 0 <= anchor.position <= 3
    place = anchor.position
    replica.text(KEY).insert(0, "--")
    assert anchor.position in {place, place + 2}


@pytest.mark.parametrize("block", range(2))
def test_anchors_stay_when_whole_history_takes_the_place_of_a_snapshot(block: int) -> None:
    grown = 0
    for seed in range(block, HISTORIES, 2):
        random = Random(seed)
        writers = UniqueWriters(random)
        replica = writers.replicas[0]
        for other in writers.replicas:
            writers.edit(other)
            writers.commit(other)
        for _ in range(3):
            writers.others_write(replica)
        # A device that was away since here writes on what no snapshot will show it.
        away = writers.replicas[1]
        for other in writers.replicas[2:]:
            writers.send(other, replica)
        if len(replica.frontier) > 1:
            replica.merge(writers.now_ms)
        partial = partial_at(list(replica.nodes()), len(replica), replica.identity)
        watched: list[Watched] = []
        watch_some(random, partial, watched)
        for _ in range(2):
            writers.edit(partial)
            writers.commit(partial)
            watch_some(random, partial, watched)
        saved = place_anchor(partial, KEY, len(partial.text(KEY)), "left").save()
        full = Replica(partial.room_id, partial.identity)
        full.add_nodes([*replica.nodes(), *partial.nodes()], verify=False)
        for _ in range(2):
            writers.edit(away)
            writers.commit(away)
        late = [node for node in away.nodes() if node.id not in full]
        full.add_nodes(late, verify=False)
        partial.add_nodes(late, verify=False)
        grown += str(partial.text(KEY)) != str(full.text(KEY))
        hand_over(partial.objects, full.objects, Succession(partial, full, lambda node_id: node_id))
        for each in watched:
            each.check(full)
        resolve_anchor(full, KEY, saved)
        if partial.held_ids:
            with pytest.raises(HistoryMissingError):
                resolve_anchor(partial, KEY, SavedAnchor(tuple(partial.held_ids), 0, "left"))
    assert grown > HISTORIES / 4


def test_a_saved_place_below_a_snapshot_misses_its_history() -> None:
    replica = Replica("adversarial", UnsignedAuthor(1))
    for at in range(3):
        replica.text(KEY).append(str(at))
        replica.commit(1_000 + at)
    ids = [node.id for node in replica.nodes()]
    partial = partial_at(list(replica.nodes()), 2)
    partial.add_nodes([replica.node(ids[2])], verify=False)
    assert resolve_anchor(partial, KEY, SavedAnchor((ids[1],), 2, "right")).position == 3
    assert resolve_anchor(partial, KEY, SavedAnchor((ids[2],), 3, "right")).position == 3
    for version in ((ids[0],), ()):
        with pytest.raises(HistoryMissingError):
            resolve_anchor(partial, KEY, SavedAnchor(version, 0, "right"))


def test_what_is_known_of_nodes_that_another_replica_has_not() -> None:
    before, after = (Replica("room", UnsignedAuthor(number)) for number in range(2))
    anchor = place_anchor(before, KEY, 0)
    before.map("m")["k"] = 1
    (node_id,) = before.commit(1_000)
    after.text(KEY).insert(0, "abc")
    (other_id,) = after.commit(1_000)
    succession = Succession(before, after, lambda each: other_id if each == node_id else None)
    # Another operation, in the place of the one that was.
    assert (succession.node(0), succession.same_node(0)) == (0, GONE)
    assert succession.node(7) == GONE
    assert succession.gaps(7, KEY) == []
    succeed(succession)
    assert anchor.position == 3
    after.text(KEY).insert(0, "x")
    assert anchor.position == 4
    assert before.objects.text_followers is None
