from __future__ import annotations

import os
from random import Random
from typing import Any

import pytest

from roomlog.core.crdt.map import BlobReference
from roomlog.core.errors import (
    InvalidTypeError,
    InvalidValueError,
    NotSubscribedError,
    RoomlogError,
)
from roomlog.core.named_versions import (
    NamedVersion,
    check_name,
    check_note,
    value_of_version,
    version_of_value,
)
from roomlog.core.node import CHANGE, NodeHasher, make_node
from roomlog.core.operation import ListInsert, ListUpdate, TextInsert
from roomlog.core.replica import Replica
from roomlog.core.state import MAP, TEXT
from roomlog.core.succession import Succession, succeed
from roomlog.core.undo.history import MOST_GROUPS, UndoHistory
from roomlog.core.undo.records import ItemDeleted, ItemPlace
from roomlog.core.undo.scope import UndoScope
from tests.core.devices import Device
from tests.core.unique_text import KEY, UniqueWriters
from tests.oracle.room_histories import UnsignedAuthor

HISTORIES = int(os.environ.get("ROOMLOG_HISTORIES", "1200")) // 10


def what_is_there(replica: Replica) -> dict[str, dict[str, object]]:
    """The state without what is empty: an object that was touched once stays present."""
    return {
        kind: {key: value for key, value in objects.items() if value or kind == "maps"}
        for kind, objects in replica.state().items()
    }


@pytest.mark.parametrize("block", range(4))
def test_undo_of_everything_restores_the_state_and_redo_makes_it_again(block: int) -> None:
    for seed in range(block, HISTORIES, 4):
        random = Random(seed)
        device = Device(random, 0)
        replica = device.replica
        for _ in range(random.choice([0, 6])):
            device.edit()
        device.commit()
        history = UndoHistory(replica, group_ms=0)
        kinds = random.choice(["mclt", "mclt", "m", "l", "t"])
        states = [what_is_there(replica)]
        for _ in range(random.choice([1, 5, 12])):
            for _ in range(random.choice([1, 1, 3])):
                device.edit(kinds)
            if random.random() < 0.1:
                replica.discard()
                continue
            device.now_ms += 1
            if device.commit() and what_is_there(replica) != states[-1]:
                states.append(what_is_there(replica))
        for _ in range(3):
            position = len(states) - 1
            while position:
                assert history.can_undo
                device.now_ms += 1
                assert history.undo(device.now_ms)
                if what_is_there(replica) != states[position]:
                    position -= 1
                    assert what_is_there(replica) == states[position], f"seed {seed}"
            while history.undo(device.now_ms):
                assert what_is_there(replica) == states[0]
            assert not history.can_undo
            while position < len(states) - 1:
                assert history.can_redo
                assert history.redo(device.now_ms)
                if what_is_there(replica) != states[position]:
                    position += 1
                    assert what_is_there(replica) == states[position], f"seed {seed}"
            while history.redo(device.now_ms):
                assert what_is_there(replica) == states[-1]


def assert_in_order(earlier: str, text: str) -> None:
    """The characters that both texts have stand in one order in both."""
    assert [c for c in earlier if c in text] == [c for c in text if c in earlier]


@pytest.mark.parametrize("block", range(4))
def test_undo_of_everything_leaves_the_text_of_others_exactly(block: int) -> None:
    taken_back = 0
    for seed in range(block, HISTORIES, 4):
        random = Random(seed)
        writers = UniqueWriters(random)
        replica = writers.replicas[0]
        for _ in range(random.choice([0, 3])):
            writers.others_write(replica)
        history = UndoHistory(replica, group_ms=0)
        own: set[str] = set()
        own_nodes: list[bytes] = []
        texts = [str(replica.text(KEY))]
        for _ in range(random.choice([2, 5])):
            for _ in range(random.choice([1, 2])):
                begin = writers.next_character
                writers.edit(replica)
                own.update(map(chr, range(begin, writers.next_character)))
                texts.append(str(replica.text(KEY)))
            if random.random() < 0.1:
                replica.discard()
            own_nodes += writers.commit(replica)
            writers.others_write(replica)
            texts.append(str(replica.text(KEY)))
        for each in writers.replicas:
            writers.send(each, replica)
        texts.append(str(replica.text(KEY)))
        undone = 0
        while history.undo(writers.now_ms):
            undone += 1
            texts.append(str(replica.text(KEY)))
        text = str(replica.text(KEY))
        # A room in which nobody ever saw the own nodes' effect on what others wrote.
        others_deleted = deleted_by_others(replica, own_nodes)
        others = set("".join(texts)) - own
        assert not own.intersection(text)
        assert others - others_deleted <= set(text)
        assert len(set(text)) == len(text)
        for earlier in texts:
            assert_in_order(earlier, text)
        taken_back += undone
        for _ in range(undone):
            assert history.redo(writers.now_ms)
        assert not history.redo(writers.now_ms)
        assert str(replica.text(KEY)) == next(
            earlier for earlier in reversed(texts[: len(texts) - undone])
        )
        for each in writers.replicas:
            writers.send(replica, each)
            assert str(each.text(KEY)) == str(replica.text(KEY)) or len(each) > len(replica)
    assert taken_back > HISTORIES / 4


def deleted_by_others(replica: Replica, own_nodes: list[bytes]) -> set[str]:
    """What some node of another author deletes, by replaying each of them on what it saw."""
    deleted: set[str] = set()
    for node in replica.nodes():
        assert replica.identity is not None
        if node.author == replica.identity.public_key:
            continue
        before = str(replica.at(node.parents).text(KEY))
        after = str(replica.at([node.id]).text(KEY))
        deleted |= set(before) - set(after)
    return deleted


# Together with others: lists, maps, counters


class Numbers:
    """Edits of lists, counters and maps in which every value is written only once."""

    def __init__(self, random: Random) -> None:
        self.random = random
        self.following = 0

    def value(self) -> int:
        self.following += 1
        return self.following

    def edit(self, replica: Replica) -> None:
        random = self.random
        dice = random.random()
        items = replica.list("l")
        length = len(items)
        if dice < 0.2:
            replica.counter("c").add(random.choice([-3, 1, 5]))
        elif dice < 0.4:
            handle = replica.map("m")
            key = random.choice("ab")
            if key in handle and random.random() < 0.3:
                del handle[key]
            else:
                handle[key] = self.value()
        elif dice < 0.7 or not length:
            items.insert(random.randint(0, length), self.value())
        elif dice < 0.8:
            items.delete(random.randrange(length))
        elif dice < 0.9:
            items.update(random.randrange(length), self.value())
        else:
            items.move(random.randrange(length), random.randrange(length))


@pytest.mark.parametrize("block", range(4))
def test_undo_of_everything_leaves_the_items_keys_and_amounts_of_others(block: int) -> None:
    for seed in range(block, HISTORIES, 4):
        random = Random(seed)
        writers = UniqueWriters(random)
        numbers = Numbers(random)
        replica = writers.replicas[0]
        others = writers.replicas[1:]
        history = UndoHistory(replica, group_ms=0)
        own: set[object] = set()
        theirs: set[object] = set()
        amount_of_others = 0
        for _ in range(random.choice([4, 10])):
            if random.random() < 0.6:
                begin = numbers.following
                numbers.edit(replica)
                own.update(range(begin + 1, numbers.following + 1))
                writers.commit(replica)
            else:
                other = random.choice(others)
                if random.random() < 0.7:
                    writers.send(replica, other)
                begin = numbers.following
                before = other.counter("c").value
                numbers.edit(other)
                amount_of_others += other.counter("c").value - before
                theirs.update(range(begin + 1, numbers.following + 1))
                writers.commit(other)
                if random.random() < 0.7:
                    writers.send(other, replica)
        for other in others:
            writers.send(other, replica)
        map_of_others = {key: value for key, value in replica.map("m").items() if value in theirs}
        items_of_others = [value for value in replica.list("l") if value in theirs]
        undone = 0
        while history.undo(writers.now_ms):
            undone += 1
        assert replica.counter("c").value == amount_of_others
        assert not own.intersection(replica.map("m").to_dict().values())
        assert map_of_others.items() <= replica.map("m").to_dict().items()
        left = replica.list("l").to_list()
        assert set(items_of_others) <= set(left) | own_items_values(replica, own)
        for _ in range(undone):
            history.redo(writers.now_ms)
        for other in others:
            writers.send(replica, other)
            writers.send(other, replica)
        hashes = {each.state_hash().hex for each in writers.replicas if len(each) == len(replica)}
        assert len(hashes) == 1


def own_items_values(replica: Replica, own: set[object]) -> set[object]:
    """Values that others gave to items which an own edit had inserted, and undo took away."""
    assert replica.identity is not None
    values: set[object] = set()
    inserted: set[tuple[bytes, int]] = set()
    for node in replica.nodes():
        for index, operation in enumerate(node.operations()):
            if isinstance(operation, ListInsert) and node.author == replica.identity.public_key:
                inserted.add((node.id, index))
            if isinstance(operation, ListUpdate):
                name = operation.item.node or node.id
                if (name, operation.item.operation_index) in inserted:
                    values.add(operation.value)
    return values


@pytest.mark.parametrize("block", range(2))
def test_what_is_taken_back_by_a_server_is_no_step_and_the_other_steps_stay_right(
    block: int,
) -> None:
    kept = 0
    for seed in range(block, HISTORIES, 2):
        random = Random(seed)
        writers = UniqueWriters(random)
        numbers = Numbers(random)
        replica = writers.replicas[0]
        for _ in range(3):
            writers.others_write(replica)
        history = UndoHistory(replica, group_ms=0)
        own_nodes: list[bytes] = []
        for _ in range(random.choice([2, 6])):
            begin = writers.next_character
            if random.random() < 0.5:
                writers.edit(replica)
            else:
                numbers.edit(replica)
            assert begin <= writers.next_character
            own_nodes += writers.commit(replica)
            if random.random() < 0.2:
                own_nodes += history.undo(writers.now_ms)
        if not own_nodes:
            continue
        refused = {random.choice(own_nodes): None}
        rebase = replica.without(refused)
        replaced = rebase.replica

        def successor(
            node_id: bytes, mapping: dict[bytes, bytes | None] = rebase.mapping
        ) -> bytes | None:
            return mapping.get(node_id, node_id)

        others_text = others_characters(replaced)
        succeed(Succession(replica, replaced, successor, rebase.dropped))
        assert history.replica is replaced
        assert replica.edits.recorder is None
        before = what_is_there(replaced)
        undone = 0
        while history.undo(writers.now_ms):
            undone += 1
        kept += undone
        # Others' text that was there before any own edit, or is not touched by one, is there.
        deleted = deleted_by_others(replaced, own_nodes)
        assert others_text - deleted <= set(str(replaced.text(KEY)))
        for _ in range(undone):
            assert history.redo(writers.now_ms)
        assert what_is_there(replaced) == before
    assert kept > HISTORIES / 4


def others_characters(replica: Replica) -> set[str]:
    """What others have written that can be seen now."""
    assert replica.identity is not None
    own = {
        character
        for node in replica.nodes()
        if node.author == replica.identity.public_key
        for operation in node.operations()
        if isinstance(operation, TextInsert)
        for character in operation.text
    }
    return set(str(replica.text(KEY))) - own


# One by one


def text_replica(text: str = "") -> Replica:
    replica = Replica("room", UnsignedAuthor(1))
    if text:
        replica.text(KEY).insert(0, text)
        replica.commit(1_000)
    return replica


def test_a_key_that_somebody_else_has_written_since_is_left_alone() -> None:
    ada, bob = (Replica("room", UnsignedAuthor(number)) for number in range(2))
    ada.map("m").update({"a": 1, "b": 1})
    ada.commit(1_000)
    history = UndoHistory(ada)
    ada.map("m").update({"a": 2, "b": 2})
    ada.commit(2_000)
    bob.import_pack(ada.export(), verify=False)
    bob.map("m")["a"] = 3
    bob.commit(3_000)
    ada.import_pack(bob.export(), verify=False)
    assert history.undo(4_000)
    assert ada.map("m").to_dict() == {"a": 3, "b": 1}
    assert history.redo(5_000)
    assert ada.map("m").to_dict() == {"a": 3, "b": 2}


def test_blobs_and_deleted_keys_come_back() -> None:
    replica = Replica("room", UnsignedAuthor(1))
    blob = BlobReference(bytes(32), 3, "a/b")
    replica.map("m").update({"a": blob, "b": 1})
    replica.commit(1_000)
    history = UndoHistory(replica, group_ms=0)
    replica.map("m")["a"] = 2
    replica.commit(2_000)
    del replica.map("m")["b"]
    replica.commit(3_000)
    assert history.undo(4_000)
    assert history.undo(4_000)
    assert replica.map("m").to_dict() == {"a": blob, "b": 1}
    assert history.redo(5_000)
    assert history.redo(5_000)
    assert replica.map("m").to_dict() == {"a": 2}


def test_items_that_others_moved_wrote_or_deleted_stay_as_they_are() -> None:
    ada, bob = (Replica("room", UnsignedAuthor(number)) for number in range(2))
    ada.list("l").extend(["a", "b", "c", "d"])
    ada.commit(1_000)
    history = UndoHistory(ada)
    ada.list("l").move(0, 3)
    ada.list("l").update(0, "B")
    ada.list("l").insert(2, "own")
    ada.list("l").delete(1)
    ada.commit(2_000)
    assert ada.list("l") == ["B", "own", "d", "a"]
    bob.import_pack(ada.export(), verify=False)
    bob.list("l").move(3, 0)
    bob.list("l").update(1, "bob")
    bob.list("l").delete(2)
    bob.commit(3_000)
    ada.import_pack(bob.export(), verify=False)
    assert ada.list("l") == ["a", "bob", "d"]
    assert history.undo(4_000)
    assert ada.list("l") == ["a", "bob", "c", "d"]
    bob.import_pack(ada.export(), verify=False)
    bob.list("l").delete(2)
    bob.commit(5_000)
    ada.import_pack(bob.export(), verify=False)
    assert not history.redo(6_000)


def test_a_deleted_item_comes_back_between_neighbours_that_others_have_moved() -> None:
    for moved, expected in (
        ([(0, 2)], ["c", "B", "a"]),
        ([(1, 0)], ["c", "a", "B"]),
        ([(0, 1), (0, 1), (0, 1)], ["c", "B", "a"]),
    ):
        ada, bob = (Replica("room", UnsignedAuthor(number)) for number in range(2))
        ada.list("l").extend(["a", "B", "c"])
        ada.commit(1_000)
        history = UndoHistory(ada)
        ada.list("l").delete(1)
        ada.commit(2_000)
        bob.import_pack(ada.export(), verify=False)
        for source, target in moved:
            bob.list("l").move(source, min(target, 1))
            bob.commit(3_000)
        ada.import_pack(bob.export(), verify=False)
        assert history.undo(4_000)
        assert set(ada.list("l")) == {"a", "B", "c"}, expected


def test_steps_are_told_apart_by_time_and_by_hand() -> None:
    replica = text_replica()
    history = UndoHistory(replica, group_ms=100)
    for now_ms, letter in ((1_000, "a"), (1_050, "b"), (1_149, "c"), (1_249, "d")):
        replica.text(KEY).append(letter)
        replica.commit(now_ms)
    history.begin_group()
    history.begin_group()
    for now_ms, letter in ((1_260, "e"), (9_000, "f")):
        replica.text(KEY).append(letter)
        replica.commit(now_ms)
        history.end_group()
    replica.text(KEY).append("g")
    replica.flush(None)
    replica.text(KEY).append("h")
    replica.flush(None)
    history.end_group()
    shown = []
    while history.undo(10_000):
        shown.append(str(replica.text(KEY)))
    assert shown == ["abcdef", "abcd", "abc", ""]
    assert history.redo(11_000)
    # What was made again is a step of its own.
    replica.text(KEY).append("x")
    replica.commit(11_001)
    assert history.undo(11_002)
    assert str(replica.text(KEY)) == "abc"


def test_an_undo_that_cannot_be_written_leaves_everything_as_it_was() -> None:
    replica = text_replica("kept")
    replica.text("u").append("x")
    replica.list("l").extend(["a", "b"])
    replica.commit(1_000)
    history = UndoHistory(replica, group_ms=0)
    replica.text(KEY).delete(1, 2)
    replica.commit(2_000)
    replica.list("l").delete(0)
    replica.text(KEY).append("!")
    replica.counter("c").add(1 << 53)
    replica.text("u").append("yz")
    replica.text("u").delete(0, 1)
    replica.commit(2_000)
    before = replica.state()
    replica.set_patterns(["u"])
    for _ in range(2):
        with pytest.raises(NotSubscribedError):
            history.undo(3_000)
        assert not replica.has_open_edits
        assert history.can_undo
        assert str(replica.text("u")) == "yz"
    replica.set_patterns([])
    replica.complete_patterns()
    assert replica.state() == before
    # A text that was away is a new one: nothing in it is where it was.
    assert history.undo(4_000)
    assert str(replica.text("u")) == "x"
    assert replica.list("l") == ["a", "b"]
    assert replica.counter("c").value == 0
    assert str(replica.text(KEY)) == "kt!"
    assert not history.undo(5_000)


def test_a_deleted_item_of_a_list_that_is_not_held_stays_deleted() -> None:
    replica = text_replica()
    replica.list("l").append("a")
    replica.commit(1_000)
    history = UndoHistory(replica)
    replica.list("l").delete(0)
    replica.commit(2_000)
    replica.set_patterns(["t"])
    with pytest.raises(NotSubscribedError):
        history.undo(3_000)
    assert history.can_undo


def test_two_histories_have_their_own_steps() -> None:
    replica = text_replica()
    texts = UndoHistory(replica, [(TEXT, KEY)], 0)
    everything = UndoHistory(replica, None, 0)
    maps = UndoHistory(replica, [(MAP, "m"), "n"], 0)
    replica.text(KEY).append("abc")
    replica.map("m")["k"] = 1
    replica.map("n")["k"] = 1
    replica.map("o")["k"] = 1
    replica.commit(1_000)
    assert texts.undo(2_000)
    assert str(replica.text(KEY)) == ""
    assert replica.map("").to_dict() == {"m/k": 1, "n/k": 1, "o/k": 1}
    assert everything.undo(3_000)
    assert str(replica.text(KEY)) == "abc"
    assert texts.can_undo
    assert not texts.can_redo
    assert maps.undo(4_000)
    assert replica.map("").to_dict() == {"o/k": 1}
    for history in (texts, maps, everything):
        history.close()
    assert replica.edits.recorder is None
    assert replica.objects.text_followers is None
    replica.text(KEY).append("more")
    replica.commit(5_000)
    for use in (texts.undo, texts.redo):
        with pytest.raises(RoomlogError, match="closed"):
            use(6_000)
    with pytest.raises(RoomlogError, match="closed"):
        texts.begin_group()
    texts.end_group()


def test_a_history_that_saw_nothing_leaves_nothing_behind() -> None:
    replica = text_replica()
    history = UndoHistory(replica)
    history.close()
    history.close()
    assert replica.edits.recorder is None
    assert not history.can_undo


def test_two_histories_follow_to_another_replica() -> None:
    replica = text_replica("text")
    histories = [UndoHistory(replica, group_ms=0), UndoHistory(replica, [KEY], 0)]
    replica.text(KEY).append("!")
    replica.commit(2_000)
    replica.text(KEY).delete(0, 2)
    (deleted,) = replica.commit(3_000)
    replica.text(KEY).delete(0, 1)
    replica.map("m")["k"] = 1
    replica.commit(4_000)
    (ids, mapping) = (replica.frontier, replica.adopt(b"M" * 32))
    moved = mapping.replica
    succeed(Succession(replica, moved, mapping.mapping.get))
    assert moved.frontier != ids
    rebase = moved.without({mapping.mapping[deleted] or b"": None})

    def successor(node_id: bytes) -> bytes | None:
        return rebase.mapping.get(node_id, node_id)

    succeed(Succession(moved, rebase.replica, successor, rebase.dropped))
    everything, texts = histories
    assert everything.replica is texts.replica is rebase.replica
    assert str(rebase.replica.text(KEY)) == "tet!"
    assert texts.undo(5_000)
    assert str(rebase.replica.text(KEY)) == "text!"
    assert rebase.replica.map("m")["k"] == 1
    assert texts.undo(6_000)
    assert str(rebase.replica.text(KEY)) == "text"
    assert not texts.undo(7_000)


def test_only_so_many_steps_are_kept() -> None:
    replica = text_replica()
    history = UndoHistory(replica, group_ms=0)
    for number in range(MOST_GROUPS + 5):
        replica.map("m")["k"] = number
        replica.list("l").insert(0, number)
        replica.commit(1_000 + number)
    undone = 0
    while history.undo(9_000_000):
        undone += 1
    assert undone == MOST_GROUPS
    assert replica.map("m")["k"] == 4
    assert replica.list("l") == [4, 3, 2, 1, 0]


def test_tokens_that_nothing_needs_are_forgotten() -> None:
    replica = text_replica("text")
    replica.list("l").extend(range(10))
    replica.commit(1_000)
    history = UndoHistory(replica, ["l", KEY, "c", "x"], 0)
    recorder = replica.edits.recorder
    assert recorder is not None
    replica.list("l").delete(5)
    replica.list("l").move(0, 4)
    replica.list("l").update(1, "new")
    replica.list("l").insert(3, "more")
    replica.map("x")["k"] = 1
    replica.counter("c").add(2)
    replica.text(KEY).delete(0, 1)
    replica.text(KEY).append("!")
    replica.commit(2_000)
    for number in range(6_000):
        replica.map("m")[f"k{number}"] = 1
        if number % 1_000 == 0:
            replica.commit(3_000 + number)
    replica.commit(10_000)
    assert len(recorder.maps) < 3_000
    assert history.undo(11_000)
    assert replica.list("l") == list(range(10))
    assert (replica.counter("c").value, str(replica.text(KEY))) == (0, "text")
    assert "k" not in replica.map("x")


def test_room_that_is_made_between_items_does_not_count_as_moving_them() -> None:
    replica = Replica("room", UnsignedAuthor(1))
    tied = make_node(
        NodeHasher(replica.lineage),
        UnsignedAuthor(2),
        CHANGE,
        1_000,
        [],
        [ListInsert("l", b"\x80", value) for value in ("a", "b", "c")],
    )
    replica.add_nodes([tied], verify=False)
    history = UndoHistory(replica, group_ms=0)
    replica.list("l").move(0, 1)
    replica.commit(1_000)
    replica.list("l").delete(0)
    replica.commit(2_000)
    replica.list("l").insert(1, "between")
    replica.commit(3_000)
    for expected in (["a", "c"], ["b", "a", "c"], ["a", "b", "c"]):
        assert history.undo(4_000)
        assert replica.list("l") == expected


def test_what_another_history_has_brought_back_is_not_brought_back_twice() -> None:
    replica = text_replica("text")
    replica.list("l").extend(["a", "b"])
    replica.commit(1_000)
    one, other = UndoHistory(replica, ["l", KEY]), UndoHistory(replica, ["l", KEY])
    replica.list("l").delete(0)
    replica.text(KEY).delete(1, 2)
    replica.commit(2_000)
    assert one.undo(3_000)
    assert other.undo(4_000)
    assert other.undo(5_000)
    assert not other.undo(6_000)
    assert replica.list("l") == ["a", "b"]
    assert str(replica.text(KEY)) == "text"
    # An item that is there is not inserted again.
    recorder = replica.edits.recorder
    assert recorder is not None
    item = replica.objects.lists["l"].order.at(0)
    token = recorder.items.of(item.lv, item.operation_index)
    ItemDeleted("l", 0, token, "a", 0, 0, ItemPlace(None, None, b"")).revert(recorder)
    assert not replica.has_open_edits


def test_objects_that_are_not_held_any_more_are_passed_over() -> None:
    replica = text_replica()
    history = UndoHistory(replica, group_ms=0)
    replica.map("m")["k"] = 1
    replica.commit(1_000)
    replica.list("l").append("a")
    replica.list("l").update(0, "b")
    replica.commit(2_000)
    replica.text(KEY).append("x")
    replica.commit(3_000)
    replica.set_patterns(["other"])
    assert not history.undo(4_000)
    history.close()
    assert replica.edits.recorder is None


def test_a_move_to_where_the_item_is_by_now_is_undone_without_an_edit() -> None:
    ada, bob = (Replica("room", UnsignedAuthor(number)) for number in range(2))
    ada.list("l").extend(["a", "b", "c"])
    ada.commit(1_000)
    history = UndoHistory(ada, group_ms=0)
    ada.list("l").update(0, "A")
    ada.commit(2_000)
    ada.list("l").move(0, 1)
    ada.commit(3_000)
    bob.import_pack(ada.export(), verify=False)
    bob.list("l").move(0, 2)
    bob.commit(4_000)
    ada.import_pack(bob.export(), verify=False)
    assert ada.list("l") == ["A", "c", "b"]
    assert history.undo(5_000)
    assert ada.list("l")[0] == "a"


def test_names_of_versions_and_their_values_are_checked() -> None:
    version = NamedVersion("v", (bytes(32), b"\x01" * 32), b"a" * 32, 5, "note")
    assert version_of_value("v", value_of_version(version)) == version
    ids = [bytes(32), b"\x01" * 32]
    broken: list[object] = [
        None,
        [ids, b"a" * 32, 5],
        [ids[::-1], b"a" * 32, 5, ""],
        [(), b"a" * 32, 5, ""],
        [["x" * 32], b"a" * 32, 5, ""],
        [ids, "a" * 32, 5, ""],
        [ids, b"a", 5, ""],
        [ids, b"a" * 32, True, ""],
        [ids, b"a" * 32, 5, None],
    ]
    for value in broken:
        assert version_of_value("v", value) is None
    name: Any
    for name in ("", "a/b", "\0", "x" * 257, "\ud800"):
        with pytest.raises(InvalidValueError):
            check_name(name)
    with pytest.raises(InvalidValueError, match="note"):
        check_note("x" * 4_097)
    with pytest.raises(InvalidValueError, match="note"):
        check_note("\ud800")
    name = 3
    for check in (check_name, check_note):
        with pytest.raises(InvalidTypeError):
            check(name)
    check_name("v" * 256)
    check_note("x" * 4_096)


def test_a_version_is_named_anew_with_the_nodes_it_names() -> None:
    replica = Replica("room", UnsignedAuthor(1))
    replica.map("m")["a"] = 1
    first = replica.commit(1_000)
    for name, frontier in (("kept", first), ("unknown", [bytes(32)])):
        version = NamedVersion(name, tuple(frontier), b"a" * 32, 5, "")
        replica.map("@versions")[name] = value_of_version(version)
        replica.commit(2_000)
    replica.map("m")["b"] = 1
    (bad,) = replica.commit(3_000)
    replica.map("m")["c"] = 1
    both = replica.commit(4_000)
    version = NamedVersion("both", (*sorted([*both]),), b"a" * 32, 5, "")
    replica.map("@versions")["both"] = value_of_version(version)
    doomed = NamedVersion("doomed", (bad,), b"a" * 32, 5, "")
    replica.map("@versions")["doomed"] = value_of_version(doomed)
    replica.map("@versions")["junk"] = 1
    replica.commit(5_000)
    rebase = replica.without({bad: None})

    def found(name: str) -> NamedVersion | None:
        return version_of_value(name, rebase.replica.map("@versions")[name])

    kept, new_both, new_doomed = found("kept"), found("both"), found("doomed")
    assert kept is not None
    assert new_both is not None
    assert new_doomed is not None
    assert list(kept.frontier) == first
    assert rebase.replica.at(new_both.frontier).map("m").to_dict() == {"a": 1, "c": 1}
    assert rebase.replica.at(new_doomed.frontier).map("m").to_dict() == {"a": 1}
    assert rebase.replica.map("@versions")["junk"] == 1
    moved = replica.adopt(b"L" * 32).replica
    value = version_of_value("kept", moved.map("@versions")["kept"])
    assert value is not None
    assert moved.at(value.frontier).map("m").to_dict() == {"a": 1}
    assert moved.map("@versions")["unknown"] == replica.map("@versions")["unknown"]


def test_what_is_wrong_with_a_history_is_said() -> None:
    replica = text_replica("abc")
    place: Any
    for place in (3, (9, "k"), None):
        with pytest.raises(InvalidTypeError, match="scope"):
            UndoHistory(replica, [place])
    with pytest.raises(InvalidValueError):
        UndoHistory(replica, ["a//b"])
    with pytest.raises(InvalidValueError, match="group_ms"):
        UndoHistory(replica, group_ms=-1)
    replica.text(KEY).append("open")
    with pytest.raises(RoomlogError, match="commit"):
        UndoHistory(replica)


def test_versions_with_a_name_are_in_no_scope() -> None:
    replica = text_replica()
    history = UndoHistory(replica, ["@versions"])
    replica.map("@versions")["v"] = 1
    replica.commit(1_000)
    assert not history.undo(2_000)
    assert UndoScope([(MAP, "")]).holds(MAP, "m/k")
    assert not UndoScope([(MAP, "m")]).holds(MAP, "mm/k")
    assert not UndoScope(["m"]).holds(TEXT, "mm")
    assert UndoScope(["m"]).holds(TEXT, "m")
