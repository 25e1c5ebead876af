"""A room, second and naive: everything is recomputed from the set of nodes, by the definitions.

Nothing is shared with the product but the nodes' own fields: ancestry is explicit sets, a register
is a sort of all its writes, a list is a sort of all its items, the state hash is written with its
own MessagePack encoder. Nodes are added parents first, for the sake of the naive texts.
"""

from __future__ import annotations

import struct
from typing import Any

from blake3 import blake3

from tests.oracle.naive_text import NaiveText

Place = tuple[bytes, int]


def messagepack(value: Any) -> bytes:
    """Canonical MessagePack, straight from its specification."""
    if value is None:
        return b"\xc0"
    if value is True or value is False:
        return b"\xc3" if value else b"\xc2"
    if isinstance(value, int):
        return _integer(value)
    if isinstance(value, float):
        if value != value:
            return b"\xcb\x7f\xf8" + bytes(6)
        return b"\xcb" + struct.pack(">d", value)
    if isinstance(value, str):
        data = value.encode()
        if len(data) < 32:
            return bytes([0xA0 | len(data)]) + data
        return _sized(len(data), {1: 0xD9, 2: 0xDA, 4: 0xDB}) + data
    if isinstance(value, bytes):
        return _sized(len(value), {1: 0xC4, 2: 0xC5, 4: 0xC6}) + value
    if isinstance(value, dict):
        head = (
            bytes([0x80 | len(value)])
            if len(value) < 16
            else _sized(len(value), {2: 0xDE, 4: 0xDF})
        )
        keys = sorted(value, key=str.encode)
        return head + b"".join(messagepack(key) + messagepack(value[key]) for key in keys)
    head = bytes([0x90 | len(value)]) if len(value) < 16 else _sized(len(value), {2: 0xDC, 4: 0xDD})
    return head + b"".join(messagepack(element) for element in value)


def _integer(value: int) -> bytes:
    if value >= 0:
        if value < 128:
            return bytes([value])
        for code, size in ((0xCC, 1), (0xCD, 2), (0xCE, 4), (0xCF, 8)):
            if value < 1 << (8 * size):
                return bytes([code]) + value.to_bytes(size, "big")
    if value >= -32:
        return bytes([value & 0xFF])
    for code, size in ((0xD0, 1), (0xD1, 2), (0xD2, 4), (0xD3, 8)):
        if value >= -(1 << (8 * size - 1)):
            return bytes([code]) + value.to_bytes(size, "big", signed=True)
    raise ValueError(value)


def _sized(size: int, codes: dict[int, int]) -> bytes:
    for width, code in codes.items():
        if size < 1 << (8 * width):
            return bytes([code]) + size.to_bytes(width, "big")
    raise ValueError(size)


class NaiveRoom:
    """All nodes, and what they say together or at any version."""

    def __init__(self) -> None:
        self.nodes: dict[bytes, Any] = {}
        self.histories: dict[bytes, frozenset[bytes]] = {}
        self.texts: dict[str, NaiveText] = {}
        self._numbers: dict[bytes, int] = {}

    def version(self, frontier: Any) -> frozenset[bytes]:
        """The ids of everything at or below some nodes."""
        return frozenset().union(*(self.histories[node_id] for node_id in frontier))

    def everything(self) -> frozenset[bytes]:
        return frozenset(self.nodes)

    def add(self, node: Any) -> None:
        """Add a node; its parents are here."""
        if node.id in self.nodes:
            return
        self.histories[node.id] = self.version(node.parents) | {node.id}
        self.nodes[node.id] = node
        self._numbers[node.id] = len(self._numbers)
        keys = {
            operation.key
            for operation in node.operations()
            if type(operation).__name__ in ("TextInsert", "TextDelete")
        }
        for key in keys - set(self.texts):
            # Earlier nodes say nothing about the key, but their places in history count.
            text = self.texts[key] = NaiveText()
            for earlier, number in self._numbers.items():
                if earlier != node.id:
                    self._add_to_text(text, number, self.nodes[earlier], key)
        for key, text in self.texts.items():
            self._add_to_text(text, self._numbers[node.id], node, key)

    def _add_to_text(self, text: NaiveText, number: int, node: Any, key: str) -> None:
        edits = []
        for operation in node.operations():
            name = type(operation).__name__
            if operation.key == key and name == "TextInsert":
                edits.append((operation.position, 0, operation.text))
            elif operation.key == key and name == "TextDelete":
                edits.append((operation.position, operation.length, ""))
        parents = [self._numbers[parent] for parent in node.parents]
        text.add(number, parents, edits, node.author + node.id)

    def frontier(self) -> list[bytes]:
        below = {parent for node in self.nodes.values() for parent in node.parents}
        return sorted(set(self.nodes) - below)

    def same_place(self) -> int:
        """How many characters met others at one place."""
        return sum(text.same_place for text in self.texts.values())

    def text(self, key: str, version: frozenset[bytes]) -> str:
        if key not in self.texts:
            return ""
        return self.texts[key].text(frozenset(self._numbers[node_id] for node_id in version))

    def _writes(self, version: frozenset[bytes], *names: str) -> list[tuple[Any, Any, int]]:
        """(stamp, operation, ...) of some kinds, ascending by stamp."""
        writes = []
        for node_id in version:
            node = self.nodes[node_id]
            for index, operation in enumerate(node.operations()):
                if type(operation).__name__ in names:
                    stamp = (node.clock, node.author, node.id, index)
                    writes.append((stamp, operation, index))
        return sorted(writes, key=lambda write: write[0])

    def registers(self, version: frozenset[bytes]) -> tuple[dict[str, Any], dict[str, Any]]:
        """Map values and blobs by key."""
        last: dict[str, Any] = {}
        for _, operation, _ in self._writes(version, "MapSet", "MapDelete", "MapSetBlob"):
            last[operation.key] = operation
        values: dict[str, Any] = {}
        blobs: dict[str, Any] = {}
        for key, operation in last.items():
            if type(operation).__name__ == "MapSet":
                values[key] = operation.value
            elif type(operation).__name__ == "MapSetBlob":
                blobs[key] = [operation.hash, operation.size_bytes, operation.media_type]
        return values, blobs

    def counters(self, version: frozenset[bytes]) -> dict[str, int]:
        sums: dict[str, int] = {}
        for _, operation, _ in self._writes(version, "CounterAdd"):
            sums[operation.key] = sums.get(operation.key, 0) + operation.amount
        return sums

    def lists(self, version: frozenset[bytes]) -> dict[str, list[tuple[Place, Any]]]:
        """By key: (item, value) in visible order."""
        inserts: dict[Place, Any] = {}
        values: dict[Place, Any] = {}
        positions: dict[Place, bytes] = {}
        deleted: set[Place] = set()
        for stamp, operation, index in self._writes(version, "ListInsert"):
            place = (stamp[2], index)
            inserts[place] = operation
            values[place] = operation.value
            positions[place] = operation.position
        for stamp, operation, index in self._writes(
            version, "ListMove", "ListUpdate", "ListDelete"
        ):
            writer = stamp[2]
            item = operation.item
            own = item.node is None
            place = (writer if own else item.node, item.operation_index)
            if place not in inserts or inserts[place].key != operation.key:
                continue
            if place[0] not in self.histories[writer] or (own and place[1] >= index):
                continue
            name = type(operation).__name__
            if name == "ListDelete":
                deleted.add(place)
            elif name == "ListUpdate":
                values[place] = operation.value
            else:
                positions[place] = operation.position
        lists: dict[str, list[tuple[Place, Any]]] = {}
        for place in sorted(inserts, key=lambda place: (positions[place], *place)):
            visible = lists.setdefault(inserts[place].key, [])
            if place not in deleted:
                visible.append((place, values[place]))
        return lists

    def text_keys(self, version: frozenset[bytes]) -> set[str]:
        return {
            operation.key for _, operation, _ in self._writes(version, "TextInsert", "TextDelete")
        }

    def state(self, version: frozenset[bytes] | None = None) -> dict[str, dict[str, Any]]:
        """What `Replica.state` says, blobs as [hash, size, media type]."""
        if version is None:
            version = self.everything()
        values, blobs = self.registers(version)
        return {
            "maps": values,
            "blobs": blobs,
            "counters": self.counters(version),
            "lists": {
                key: [value for _, value in items] for key, items in self.lists(version).items()
            },
            "texts": {key: self.text(key, version) for key in self.text_keys(version)},
        }

    def state_hash(self, version: frozenset[bytes] | None = None) -> str:
        """The state hash in hexadecimal, whatever its coverage."""
        if version is None:
            version = self.everything()
        values, blobs = self.registers(version)
        leaves: dict[tuple[int, bytes], Any] = {}
        for key, value in values.items():
            leaves[1, key.encode()] = value
        for key, amount in self.counters(version).items():
            leaves[2, key.encode()] = str(amount)
        for key, items in self.lists(version).items():
            leaves[3, key.encode()] = [[[*place], value] for place, value in items]
        for key in self.text_keys(version):
            leaves[4, key.encode()] = self.text(key, version)
        for key, blob in blobs.items():
            leaves[5, key.encode()] = blob
        hasher = blake3()
        for kind, key_bytes in sorted(leaves):
            hasher.update(bytes([kind]) + len(key_bytes).to_bytes(2, "big") + key_bytes)
            hasher.update(blake3(messagepack(leaves[kind, key_bytes])).digest())
        return hasher.hexdigest()

    def conflicts(self) -> set[tuple[Any, ...]]:
        """(kind, key, item, winner, losers): places of writes that nobody after them settled."""
        everything = self.everything()
        registers: dict[tuple[Any, ...], list[tuple[Any, int]]] = {}
        for stamp, operation, index in self._writes(
            everything, "MapSet", "MapDelete", "MapSetBlob"
        ):
            registers.setdefault(("map", operation.key, None), []).append((stamp, index))
        visible = {
            place: key for key, items in self.lists(everything).items() for place, _ in items
        }
        for stamp, operation, index in self._writes(
            everything, "ListInsert", "ListUpdate", "ListMove"
        ):
            name = type(operation).__name__
            if name == "ListInsert":
                place = (stamp[2], index)
            else:
                own = operation.item.node is None
                place = (stamp[2] if own else operation.item.node, operation.item.operation_index)
                if visible.get(place) != operation.key:
                    continue
                if place[0] not in self.histories[stamp[2]] or (own and place[1] >= index):
                    continue
            if place not in visible:
                continue
            for kind in ("list_value", "list_position"):
                if name == "ListInsert" or (name == "ListUpdate") == (kind == "list_value"):
                    registers.setdefault((kind, operation.key, place), []).append((stamp, index))
        found = set()
        for register, writes in registers.items():
            last = {stamp[2]: (stamp, index) for stamp, index in writes}
            unresolved = [
                (stamp, index)
                for node_id, (stamp, index) in last.items()
                if not any(node_id in self.histories[other] for other in last if other != node_id)
            ]
            if len(unresolved) > 1:
                unresolved.sort(reverse=True)
                places = [(stamp[2], index) for stamp, index in unresolved]
                found.add((*register, places[0], tuple(places[1:])))
        return found
