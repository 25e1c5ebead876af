"""Edits of every kind, each by name and plain values, for a document or a branch of one.

Places are counted modulo what is there, so that an edit makes sense wherever it happens, also in a
plan of which a part was left out.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from roomlog.client.branch import DocumentBranch
from roomlog.client.document import Document

Room = Document | DocumentBranch
Values = dict[str, Any]
Edit = Callable[[Room, Values], None]

EDITS: dict[str, Edit] = {}


def edit(name: str) -> Callable[[Edit], Edit]:
    """Register what the edit `name` does."""

    def register(function: Edit) -> Edit:
        assert name not in EDITS, name
        EDITS[name] = function
        return function

    return register


def apply_edits(room: Room, edits: list[Values]) -> None:
    """Make edits in order; each has its name under "do" beside its values."""
    for each in edits:
        EDITS[each["do"]](room, each)


def _text_of(values: Values) -> str:
    text: str = values["text"] * values.get("times", 1)
    return text


@edit("map set")
def map_set(room: Room, values: Values) -> None:
    room.map(values["prefix"])[values["key"]] = values["value"]


@edit("map delete")
def map_delete(room: Room, values: Values) -> None:
    handle = room.map(values["prefix"])
    if values["key"] in handle:
        del handle[values["key"]]


@edit("map blob")
def map_blob(room: Room, values: Values) -> None:
    number = values["number"]
    hash_of_blob = bytes([number % 256]) * 32
    room.map(values["prefix"]).set_blob(values["key"], hash_of_blob, number, "text/plain")


@edit("counter add")
def counter_add(room: Room, values: Values) -> None:
    room.counter(values["key"]).add(values["amount"])


@edit("list insert")
def list_insert(room: Room, values: Values) -> None:
    items = room.list(values["key"])
    items.insert(values["at"] % (len(items) + 1), values["value"])


@edit("list move")
def list_move(room: Room, values: Values) -> None:
    items = room.list(values["key"])
    if len(items):
        items.move(values["at"] % len(items), values["to"] % len(items))


@edit("list update")
def list_update(room: Room, values: Values) -> None:
    items = room.list(values["key"])
    if len(items):
        items.update(values["at"] % len(items), values["value"])


@edit("list delete")
def list_delete(room: Room, values: Values) -> None:
    items = room.list(values["key"])
    if len(items):
        items.delete(values["at"] % len(items))


@edit("text insert")
def text_insert(room: Room, values: Values) -> None:
    text = room.text(values["key"])
    text.insert(values["at"] % (len(text) + 1), _text_of(values))


@edit("text delete")
def text_delete(room: Room, values: Values) -> None:
    text = room.text(values["key"])
    if len(text):
        at = values["at"] % len(text)
        text.delete(at, min(values["length"], len(text) - at))


@edit("text replace")
def text_replace(room: Room, values: Values) -> None:
    text = room.text(values["key"])
    at = values["at"] % (len(text) + 1)
    text.replace(at, min(values["length"], len(text) - at), _text_of(values))
