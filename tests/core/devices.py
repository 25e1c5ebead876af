"""Devices that edit one room through handles, as applications do, and check what they read."""

from __future__ import annotations

from random import Random
from typing import Any

from roomlog.core.crdt.map import BlobReference
from roomlog.core.node import Node
from roomlog.core.replica import Replica
from tests.oracle.naive_room import NaiveRoom
from tests.oracle.room_histories import UnsignedAuthor

ROOM_ID = "adversarial"
_VALUES: list[Any] = [None, True, 3, "s", b"b", 0.5, [1, [2]], {"a": {"b": []}}]
_TEXTS = ["a", "bc", "é", "\U0001f600x", "a long insertion"]


class Device:
    """A replica, and edits that are compared with those of plain Python values."""

    def __init__(self, random: Random, author: int, replica: Replica | None = None) -> None:
        self.random = random
        self.replica = replica or Replica(ROOM_ID, UnsignedAuthor(author))
        self.now_ms = 1_000_000

    def edit(self, kinds: str = "mclt") -> None:
        """One random edit through a handle, checked against the same edit of a plain value."""
        kind = self.random.choice(kinds)
        if kind == "m":
            self.edit_map()
        elif kind == "c":
            self.edit_counter()
        elif kind == "l":
            self.edit_list()
        else:
            self.edit_text()

    def edit_map(self) -> None:
        random = self.random
        prefix = random.choice(["", "m", "n"])
        handle = self.replica.map(prefix)
        model: dict[str, Any] = dict(handle.items())
        key = random.choice(["a", "b", "é"] if prefix else ["a", "m/a", "n/o/p"])
        dice = random.random()
        if dice < 0.5:
            value = random.choice(_VALUES)
            handle[key] = value
            model[key] = value
        elif dice < 0.6:
            blob = BlobReference(bytes([random.randrange(3)]) * 32, 5, "text/plain")
            handle[key] = blob
            model[key] = blob
        elif dice < 0.7:
            assert handle.setdefault(key, 9) == model.setdefault(key, 9)
        elif dice < 0.9:
            assert handle.pop(key, "none") == model.pop(key, "none")
        elif key in model:
            del handle[key]
            del model[key]
        assert handle.to_dict() == model
        assert list(handle) == sorted(model)
        assert len(handle) == len(model)
        assert (key in handle) == (key in model)

    def edit_counter(self) -> None:
        handle = self.replica.counter("c")
        before = handle.value
        amount = self.random.choice([-2, 0, 1, 1 << 53])
        handle.add(amount)
        assert int(handle) == before + amount

    def edit_list(self) -> None:
        random = self.random
        handle = self.replica.list(random.choice(["l", "l", "k"]))
        model = handle.to_list()
        length = len(model)
        value = random.choice(_VALUES)
        dice = random.random()
        if dice < 0.5 or not length:
            index = random.choice([0, length // 2, length, random.randint(-length, length)])
            for _ in range(random.choice([1, 1, 3])):
                handle.insert(index, value)
                model.insert(index, value)
                index += random.choice([0, 1]) if 0 <= index < len(model) else 0
        elif dice < 0.65:
            source, target = random.randrange(length), random.randrange(length)
            handle.move(source, target)
            model.insert(target, model.pop(source))
        elif dice < 0.8:
            index = random.randint(-length, length - 1)
            handle[index] = value
            model[index] = value
        else:
            index = random.randint(-length, length - 1)
            assert handle.pop(index) == model.pop(index)
        assert handle.to_list() == model
        assert len(handle) == len(model)
        assert [handle[index] for index in range(len(model))] == model
        assert handle[1:-1] == model[1:-1]

    def edit_text(self) -> None:
        random = self.random
        handle = self.replica.text(random.choice(["t", "t", "u"]))
        model = str(handle)
        position = random.choice([0, len(model) // 2, len(model), random.randint(0, len(model))])
        text = random.choice(_TEXTS)
        dice = random.random()
        if dice < 0.6 or not model:
            handle.insert(position, text)
            model = model[:position] + text + model[position:]
        elif dice < 0.9:
            length = random.randint(0, min(3, len(model) - position))
            handle.delete(position, length)
            model = model[:position] + model[position + length :]
        else:
            length = random.randint(0, len(model) - position)
            handle.replace(position, length, text)
            model = model[:position] + text + model[position + length :]
        assert str(handle) == model
        assert len(handle) == len(model)
        assert handle[1:-1] == model[1:-1]

    def commit(self) -> list[bytes]:
        """Commit at a time that other devices may choose too."""
        self.now_ms += self.random.choice([0, 1, 50])
        return self.replica.commit(self.now_ms)

    def take_from(self, other: Device) -> None:
        """Take what the other has committed and this one lacks; open edits are committed first."""
        result = self.replica.import_pack(
            other.replica.export(since=self.replica.frontier), self.now_ms, verify=False
        )
        assert not result.rejected
        assert not result.waiting


def naive_room_of(nodes: list[Node]) -> NaiveRoom:
    room = NaiveRoom()
    for node in nodes:
        room.add(node)
    return room


def plain(state: dict[str, dict[str, object]]) -> dict[str, dict[str, object]]:
    """A state with blobs as the oracle writes them."""
    blobs: dict[str, object] = {}
    for key, blob in state["blobs"].items():
        assert isinstance(blob, BlobReference)
        blobs[key] = [blob.hash, blob.size_bytes, blob.media_type]
    return {**state, "blobs": blobs}
