"""Faces of maps, counters, lists and texts: what they accept, refuse, and never let out."""

from collections.abc import MutableMapping
from typing import Any

import pytest

from roomlog.core.crdt.map import BlobReference
from roomlog.core.errors import InvalidTypeError, InvalidValueError
from roomlog.core.replica import Replica
from roomlog.identity import Identity

NOW_MS = 1_700_000_000_000


@pytest.fixture
def ada() -> Replica:
    return Replica("room", Identity.from_seed(bytes(32)))


BAD_SEGMENTS = ["", "a/b", "/", "a\x00b", "\ud800", "é" * 300]


@pytest.mark.parametrize("key", BAD_SEGMENTS)
def test_a_map_key_is_one_path_segment(ada: Replica, key: str) -> None:
    users = ada.map("users")
    for attempt in (
        lambda: users.__setitem__(key, 1),
        lambda: users.__delitem__(key),
        lambda: users[key],
        lambda: users.get(key),
        lambda: key in users,
        lambda: users.set_blob(key, bytes(32), 1, "a/b"),
    ):
        with pytest.raises(ValueError, match="key"):
            attempt()
    assert not ada.has_open_edits


@pytest.mark.parametrize("key", ["", "/a", "a/", "a//b", "a\x00", "\udfff", "a" * 513])
def test_a_path_is_1_to_512_bytes_without_empty_segments(ada: Replica, key: str) -> None:
    with pytest.raises(ValueError, match="key"):
        ada.map("")[key] = 1
    for make in (ada.counter, ada.list, ada.text):
        with pytest.raises(ValueError, match="key"):
            make(key)
    if key:
        with pytest.raises(ValueError, match="key"):
            ada.map(key)


def test_a_handle_is_for_one_path_segment(ada: Replica) -> None:
    for make in (ada.map, ada.counter, ada.list, ada.text):
        with pytest.raises(ValueError, match="not one path segment"):
            make("a/b")
    with pytest.raises(ValueError, match="not one path segment"):
        ada.map("a")["b/c"] = 1
    ada.map("")["a/b/c"] = 1
    assert ada.map("").to_dict() == {"a/b/c": 1}


def test_prefix_and_key_together_are_a_path(ada: Replica) -> None:
    ada.map("a")["b"] = 1
    ada.map("c")["d"] = 2
    ada.map("")["c/e"] = 3
    ada.map("")["c/e/f"] = 5
    ada.map("")["top"] = 4
    assert ada.map("").to_dict() == {"a/b": 1, "c/d": 2, "c/e": 3, "c/e/f": 5, "top": 4}
    assert ada.map("a").to_dict() == {"b": 1}
    assert ada.map("c").keys() == ["d", "e"]
    assert ada.map("c").values() == [2, 3]
    assert ada.map("absent").items() == []
    assert (len(ada.map("")), len(ada.map("a")), len(ada.map("absent"))) == (5, 1, 0)
    with pytest.raises(ValueError, match="key"):
        ada.map("x" * 500)["y" * 20] = 1


def test_a_map_behaves_like_a_dict(ada: Replica) -> None:
    users = ada.map("users")
    assert isinstance(users, MutableMapping)
    users.update({"b": 1, "a": 2}, c=3)
    users.update([("d", 4)])
    users.update(ada.map("users"))
    assert users == {"a": 2, "b": 1, "c": 3, "d": 4}
    assert users == ada.map("users")
    assert users != {"a": 2}
    assert users != 5
    assert users.get("z", 7) == 7
    assert users.get("z") is None
    assert users.setdefault("a", 9) == 2
    assert users.setdefault("e", None) is None
    assert "e" in users
    assert users.pop("e") is None
    assert users.pop("e", 0) == 0
    for attempt in (lambda: users.pop("e"), lambda: users["e"], lambda: users.__delitem__("e")):
        with pytest.raises(KeyError):
            attempt()
    assert repr(users) == "MapHandle('users', {'a': 2, 'b': 1, 'c': 3, 'd': 4})"
    users.clear()
    assert list(users) == []
    with pytest.raises(TypeError):
        hash(users)
    with pytest.raises(InvalidTypeError, match="key"):
        users[5] = 1  # type: ignore[index]


@pytest.mark.parametrize(
    "value",
    [
        {1, 2},
        object(),
        "\ud800",
        ["\udc00"],
        {1: 2},
        1 << 64,
        -(1 << 63) - 1,
        {"a": {"b": 1 << 65}},
        bytearray(b"x"),
    ],
)
def test_values_without_a_canonical_form_are_refused_before_anything_changes(
    ada: Replica, value: Any
) -> None:
    ada.list("l").append("here")
    (node_id,) = ada.commit(NOW_MS)
    for attempt in (
        lambda: ada.map("m").__setitem__("k", value),
        lambda: ada.list("l").append(value),
        lambda: ada.list("l").update(0, value),
        lambda: ada.list("new").append(value),
    ):
        with pytest.raises((InvalidValueError, InvalidTypeError), match="value"):
            attempt()
    assert not ada.has_open_edits
    assert ada.state()["lists"] == {"l": ["here"]}
    assert ada.frontier == [node_id]


def nested(depth: int) -> list[Any]:
    value: list[Any] = []
    for _ in range(depth - 1):
        value = [value]
    return value


def test_a_value_nests_14_deep_and_no_deeper(ada: Replica) -> None:
    ada.map("m")["k"] = nested(14)
    ada.list("l").append(nested(14))
    for attempt in (
        lambda: ada.map("m").__setitem__("k", nested(15)),
        lambda: ada.list("l").append(nested(15)),
    ):
        with pytest.raises(ValueError, match="nested"):
            attempt()
    ada.commit(NOW_MS)
    fresh = Replica("room")
    assert not fresh.import_pack(ada.export()).rejected
    assert fresh.state_hash() == ada.state_hash()


def test_what_one_node_cannot_hold_is_refused_before_anything_changes(ada: Replica) -> None:
    big = b"x" * (256 * 1024)
    for attempt in (
        lambda: ada.map("m").__setitem__("k", big),
        lambda: ada.list("l").append(big),
    ):
        with pytest.raises(ValueError, match="one node"):
            attempt()
    assert not ada.has_open_edits
    assert ada.state()["lists"] == {}
    ada.list("l").append(1)
    ada.commit(NOW_MS)
    with pytest.raises(ValueError, match="one node"):
        ada.list("l")[0] = big
    assert not ada.has_open_edits
    fits = b"x" * (255 * 1024 - 5_000)
    ada.map("m")["k"] = fits
    ada.commit(NOW_MS)
    assert ada.map("m")["k"] == fits


def test_values_let_out_or_taken_in_cannot_change_the_state(ada: Replica) -> None:
    value: dict[str, Any] = {"a": [1, {"b": 2}]}
    ada.map("m")["k"] = value
    ada.list("l").append(value)
    ada.list("l").append((1, 2))
    ada.commit(NOW_MS)
    digest = ada.state_hash()
    value["a"][1]["b"] = 9
    read: Any = ada.map("m")["k"]
    read["a"].append("more")
    listed: Any = ada.list("l")[0]
    listed.clear()
    for item in ada.list("l"):
        if isinstance(item, dict):
            item["x"] = 1
    state: Any = ada.state()
    state["maps"]["m/k"]["a"] = None
    state["lists"]["l"].append(1)
    assert ada.map("m")["k"] == {"a": [1, {"b": 2}]}
    assert ada.list("l") == [{"a": [1, {"b": 2}]}, [1, 2]]
    fresh = Replica("room")
    fresh.import_pack(ada.export())
    assert fresh.state_hash() == ada.state_hash() == digest


def test_blobs_are_read_as_references(ada: Replica) -> None:
    files = ada.map("files")
    files.set_blob("a", bytes(32), 10, "text/plain")
    files["b"] = BlobReference(bytes(32), 10, "text/plain")
    assert files["a"] == files["b"]
    assert files["a"] != files.get("b").size_bytes  # type: ignore[attr-defined]
    assert hash(files["a"]) == hash(files["b"])
    assert repr(files["a"]) == f"BlobReference({'00' * 32}, 10, 'text/plain')"
    ada.commit(NOW_MS)
    fresh = Replica("room")
    fresh.import_pack(ada.export())
    assert fresh.map("files")["a"] == BlobReference(bytes(32), 10, "text/plain")
    assert fresh.state()["maps"] == {}
    assert set(fresh.state()["blobs"]) == {"files/a", "files/b"}
    for blob in (
        (bytes(31), 1, "a/b"),
        (bytes(32), -1, "a/b"),
        (bytes(32), 1 << 64, "a/b"),
        (bytes(32), 1, "a" * 256),
        (bytes(32), 1, "\ud800"),
    ):
        with pytest.raises(ValueError, match="operation"):
            files.set_blob("c", *blob)
    for name, wrong in (
        ("hash", ("x" * 32, 1, "a/b")),
        ("size_bytes", (bytes(32), True, "a/b")),
        ("media_type", (bytes(32), 1, b"a/b")),
    ):
        with pytest.raises(TypeError, match=name):
            files.set_blob("c", *wrong)  # type: ignore[arg-type]
    assert not ada.has_open_edits


def test_a_counter_adds_exactly(ada: Replica) -> None:
    votes = ada.counter("votes")
    assert votes.value == 0
    votes.add(0)
    assert not ada.has_open_edits
    for _ in range(2_000):
        votes.add(1 << 53)
    votes.add(-1)
    assert int(votes) == votes.value == (2_000 << 53) - 1
    assert range(10)[ada.counter("index")] == 0
    assert repr(ada.counter("index")) == "CounterHandle('index', 0)"


@pytest.mark.parametrize("amount", [True, 1.0, "1", None])
def test_a_counter_takes_ints_only(ada: Replica, amount: Any) -> None:
    with pytest.raises(TypeError, match="amount"):
        ada.counter("c").add(amount)
    assert not ada.has_open_edits


@pytest.mark.parametrize("amount", [(1 << 53) + 1, -(1 << 53) - 1])
def test_a_counters_amount_is_at_most_2_to_the_53(ada: Replica, amount: int) -> None:
    with pytest.raises(ValueError, match="amount"):
        ada.counter("c").add(amount)
    assert not ada.has_open_edits


def test_a_list_is_read_by_index_and_slice(ada: Replica) -> None:
    todo = ada.list("todo")
    assert todo == []
    assert todo[:] == []
    assert todo != 5
    todo.extend("abc")
    assert (todo[0], todo[-1]) == ("a", "c")
    assert todo[::-1] == ["c", "b", "a"]
    assert todo[5:] == []
    assert list(todo) == ["a", "b", "c"]
    assert "b" in todo
    assert todo == ada.list("todo")
    assert repr(todo) == "ListHandle('todo', ['a', 'b', 'c'])"
    with pytest.raises(TypeError):
        hash(todo)


@pytest.mark.parametrize("index", [3, -4, 100])
def test_list_indexes_must_exist(ada: Replica, index: int) -> None:
    todo = ada.list("todo")
    todo.extend("abc")
    ada.commit(NOW_MS)
    for attempt in (
        lambda: todo[index],
        lambda: todo.update(index, 1),
        lambda: todo.delete(index),
        lambda: todo.pop(index),
        lambda: todo.move(index, 0),
        lambda: todo.move(0, index),
        lambda: todo.insert(index + 1 if index > 0 else index, 1),
    ):
        with pytest.raises(IndexError, match=r"index|source|target"):
            attempt()
    assert not ada.has_open_edits


@pytest.mark.parametrize("index", [True, 1.0, None, "0"])
def test_list_indexes_are_ints(ada: Replica, index: Any) -> None:
    todo = ada.list("todo")
    todo.extend("abc")
    for attempt in (
        lambda: todo[index],
        lambda: todo.insert(index, 1),
        lambda: todo.move(index, 0),
    ):
        with pytest.raises(TypeError, match=r"index|source"):
            attempt()


def test_list_edits_do_what_pythons_lists_do(ada: Replica) -> None:
    todo = ada.list("todo")
    todo.extend([1, 2, 3, 4])
    todo.insert(-1, "x")
    todo[1] = "two"
    del todo[0]
    todo.move(-1, 0)
    todo.move(1, 1)
    assert todo == [4, "two", 3, "x"]
    assert todo.pop() == "x"
    assert todo.pop(0) == 4
    ada.commit(NOW_MS)
    assert todo == ["two", 3]


def test_a_moved_item_stays_the_same_item(ada: Replica) -> None:
    todo = ada.list("todo")
    todo.extend(["a", "b", "c"])
    ada.commit(NOW_MS)
    base = ada.frontier
    branch = ada.branch(base)
    branch.list("todo")[0] = "A"
    branch.commit(NOW_MS)
    todo.move(0, 2)
    ada.commit(NOW_MS)
    assert todo == ["b", "c", "A"]


def test_a_text_is_read_by_index_and_slice(ada: Replica) -> None:
    notes = ada.text("notes")
    assert notes[:] == ""
    assert notes[2:5] == ""
    with pytest.raises(IndexError):
        notes[0]
    notes.append("héllo \U0001f600!")
    assert len(notes) == 8
    assert (notes[1], notes[-2], notes[6:]) == ("é", "\U0001f600", "\U0001f600!")
    assert notes[::-1] == "!\U0001f600 olléh"
    assert notes[5:2] == ""
    assert notes == "héllo \U0001f600!"
    assert notes == ada.text("notes")
    assert notes != "other"
    assert notes != 5
    assert repr(notes) == "TextHandle('notes', 'héllo \U0001f600!')"
    with pytest.raises(IndexError):
        notes[8]
    with pytest.raises(TypeError):
        notes[True]
    with pytest.raises(TypeError):
        hash(notes)


def test_text_edits_outside_the_text_raise_before_anything_changes(ada: Replica) -> None:
    notes = ada.text("notes")
    for attempt in (
        lambda: notes.insert(1, "x"),
        lambda: notes.insert(-1, "x"),
        lambda: notes.insert(1, ""),
        lambda: notes.delete(0),
        lambda: notes.delete(1, 0),
        lambda: notes.delete(0, -1),
        lambda: notes.delete(-1, 1),
        lambda: notes.replace(0, 1, "x"),
    ):
        with pytest.raises(IndexError, match=r"position|length"):
            attempt()
    assert not ada.has_open_edits
    assert ada.state()["texts"] == {}


@pytest.mark.parametrize("text", ["\ud800", "ok \udfff", "\ud83d\ude00"])
def test_t18_lone_surrogates_are_refused_before_anything_changes(ada: Replica, text: str) -> None:
    notes = ada.text("notes")
    notes.append("abc")
    ada.commit(NOW_MS)
    for attempt in (
        lambda: notes.insert(0, text),
        lambda: notes.append(text),
        lambda: notes.replace(0, 2, text),
    ):
        with pytest.raises(ValueError, match="surrogate"):
            attempt()
    assert not ada.has_open_edits
    assert notes == "abc"


def test_t18_positions_count_scalar_values_whatever_they_look_like(ada: Replica) -> None:
    notes = ada.text("notes")
    notes.append("\U0001f468\u200d\U0001f469e\u0301\x00z")
    # Nine UTF-16 units, but seven characters.
    with pytest.raises(IndexError):
        notes.insert(8, "beyond the end")
    notes.insert(3, "|")
    notes.delete(4, 2)
    ada.commit(NOW_MS)
    fresh = Replica("room")
    fresh.import_pack(ada.export())
    assert str(fresh.text("notes")) == "\U0001f468\u200d\U0001f469|\x00z"
    assert fresh.state_hash() == ada.state_hash()


def test_text_arguments_of_other_types_are_refused(ada: Replica) -> None:
    notes: Any = ada.text("notes")
    notes.append("abc")
    for attempt in (
        lambda: notes.insert(1.0, "x"),
        lambda: notes.insert("0", "x"),
        lambda: notes.insert(0, b"x"),
        lambda: notes.delete(None),
        lambda: notes.delete(0, 1.0),
        lambda: notes.replace(0, 1, None),
    ):
        with pytest.raises(TypeError, match=r"position|length|text"):
            attempt()
    assert notes == "abc"


def test_nothing_is_written_for_an_edit_of_nothing(ada: Replica) -> None:
    notes = ada.text("notes")
    notes.insert(0, "")
    notes.append("")
    notes.delete(0, 0)
    ada.map("m").update({})
    ada.list("l").extend([])
    assert not ada.has_open_edits
    assert ada.commit(NOW_MS) == []
    assert ada.state()["texts"] == {}
    notes.append("x")
    notes.delete(0, 0)
    (node_id,) = ada.commit(NOW_MS)
    assert len(ada.node(node_id).operations()) == 1


def test_faces_of_a_view_read_and_cannot_write(ada: Replica) -> None:
    ada.map("m")["k"] = 1
    ada.counter("c").add(2)
    ada.list("l").append(3)
    ada.text("t").append("four")
    first = ada.commit(NOW_MS)
    ada.map("m").clear()
    ada.text("t").append(" more")
    ada.commit(NOW_MS)
    view = ada.at(first)
    assert view.map("m") == {"k": 1}
    assert int(view.counter("c")) == 2
    assert view.list("l") == [3]
    assert view.text("t") == "four"
    assert repr(view.list("l")) == "ListView('l', [3])"
    for face, name in (
        (view.map("m"), "__setitem__"),
        (view.counter("c"), "add"),
        (view.list("l"), "append"),
        (view.text("t"), "insert"),
    ):
        assert not hasattr(face, name)
    assert ada.at([]).state_hash() == Replica("other").state_hash()
