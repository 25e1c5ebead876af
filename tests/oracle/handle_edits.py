"""Edits through handles as Hypothesis draws them, each beside the same edit of a plain value."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeAlias

from hypothesis import strategies as st

from roomlog.core.branch import Branch
from roomlog.core.crdt.map import BlobReference
from roomlog.core.replica import Replica

Editor: TypeAlias = Replica | Branch
Edit: TypeAlias = tuple[Any, ...]

VALUES: list[Any] = [None, True, 3, -0.0, "é", b"b", [1, [2]], {"a": {"b": []}}]
TEXTS = ["a", "bc", "\U0001f600", "a long insertion"]

_numbers = st.integers(0, 1 << 16)
_values = st.sampled_from(VALUES)
_map_places = st.sampled_from(
    [("", "a"), ("", "m/a"), ("m", "a"), ("m", "b"), ("n", "é"), ("t", "x")]
)
_edits: dict[str, st.SearchStrategy[Edit]] = {
    "m": st.tuples(
        st.just("map"),
        _map_places,
        st.sampled_from(["set", "set", "blob", "delete"]),
        _values,
    ),
    "c": st.tuples(st.just("counter"), st.sampled_from("ct"), st.sampled_from([-2, 0, 1, 1 << 53])),
    "l": st.tuples(
        st.just("list"),
        st.sampled_from("llk"),
        st.sampled_from(["insert", "insert", "insert", "move", "set", "delete"]),
        _numbers,
        _numbers,
        _values,
    ),
    "t": st.tuples(
        st.just("text"),
        st.sampled_from("ttu"),
        st.sampled_from(["insert", "insert", "delete", "replace"]),
        st.sampled_from(["start", "middle", "end"]) | _numbers,
        st.integers(0, 4),
        st.sampled_from(TEXTS),
    ),
}


def edits(kinds: str = "mclt") -> st.SearchStrategy[Edit]:
    """Edits of the chosen kinds of object: maps, counters, lists, texts."""
    return st.one_of([_edits[kind] for kind in kinds])


def perform(editor: Editor, edit: Edit) -> None:
    """Make an edit, and compare with the same edit of a dict, int, list or str."""
    _PERFORM[edit[0]](editor, *edit[1:])


def _edit_map(editor: Editor, place: tuple[str, str], what: str, value: Any) -> None:
    prefix, key = place
    handle = editor.map(prefix)
    model = handle.to_dict()
    if what == "delete":
        assert handle.pop(key, "none") == model.pop(key, "none")
    else:
        if what == "blob":
            value = BlobReference(bytes([VALUES.index(value)]) * 32, 5, "text/plain")
        handle[key] = model[key] = value
    assert handle.to_dict() == model
    assert list(handle) == sorted(model)
    assert len(handle) == len(model)
    path = f"{prefix}/{key}" if prefix else key
    assert (path in editor.map("")) == (key in model)


def _edit_counter(editor: Editor, key: str, amount: int) -> None:
    handle = editor.counter(key)
    before = handle.value
    handle.add(amount)
    assert int(handle) == before + amount


def _edit_list(editor: Editor, key: str, what: str, number: int, other: int, value: Any) -> None:
    handle = editor.list(key)
    model = handle.to_list()
    length = len(model)
    if what == "insert" or not length:
        at = number % (length + 1)
        for _ in range(1 + other % 2):
            handle.insert(at, value)
            model.insert(at, value)
            at += other % 3 > 0
    elif what == "move":
        source, target = number % length, other % length
        handle.move(source, target)
        model.insert(target, model.pop(source))
    elif what == "set":
        handle[number % length] = model[number % length] = value
    else:
        assert handle.pop(number % length) == model.pop(number % length)
    assert handle.to_list() == model
    assert len(handle) == len(model)


def _edit_text(editor: Editor, key: str, what: str, where: str | int, size: int, text: str) -> None:
    handle = editor.text(key)
    model = str(handle)
    length = len(model)
    places = {"start": 0, "middle": length // 2, "end": length}
    at = where % (length + 1) if isinstance(where, int) else places[where]
    size = min(size, length - at)
    if what == "insert":
        handle.insert(at, text)
        model = model[:at] + text + model[at:]
    elif what == "delete":
        handle.delete(at, size)
        model = model[:at] + model[at + size :]
    else:
        handle.replace(at, size, text)
        model = model[:at] + text + model[at + size :]
    assert str(handle) == model
    assert len(handle) == len(model)


_PERFORM: dict[str, Callable[..., None]] = {
    "map": _edit_map,
    "counter": _edit_counter,
    "list": _edit_list,
    "text": _edit_text,
}
