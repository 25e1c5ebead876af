"""The state hash: one BLAKE3 over a leaf for each present object, with what it covers."""

from collections.abc import Sequence
from typing import Final, final

from roomlog.core import canonical
from roomlog.core.crdt.map import BLOB, VALUE, BlobReference
from roomlog.core.hashing import hash_bytes
from roomlog.core.patterns import PatternSet
from roomlog.core.state import COUNTER, LIST, MAP, TEXT, State

MAP_LEAF: Final = 1
COUNTER_LEAF: Final = 2
LIST_LEAF: Final = 3
TEXT_LEAF: Final = 4
BLOB_LEAF: Final = 5
LEAF_KINDS: Final = BLOB_LEAF + 1
"""Leaves by kind are lists of this length; kind 0 is no leaf's."""


@final
class Coverage:
    """What a state hash stands for. Any count but zero makes the hash incomplete.

    ``patterns`` name the keys it is about, ascending, each once; [] stands for all. While bodies of
    a changed subscription still come, they count as one awaited.
    ``open_operations`` counts local edits that are no node yet; it never travels.
    """

    __slots__ = ("awaited", "held", "open_operations", "patterns", "pruned", "unknown_ops")

    def __init__(
        self,
        *,
        awaited: int = 0,
        held: int = 0,
        pruned: int = 0,
        unknown_ops: int = 0,
        open_operations: int = 0,
        patterns: Sequence[str] = (),
    ) -> None:
        self.awaited = awaited
        self.held = held
        self.pruned = pruned
        self.unknown_ops = unknown_ops
        self.open_operations = open_operations
        self.patterns = list(patterns)

    @property
    def complete(self) -> bool:
        """Whether nothing is missing."""
        return not (
            self.awaited or self.held or self.pruned or self.unknown_ops or self.open_operations
        )

    def to_dict(self) -> dict[str, object]:
        """The coverage as messages carry it."""
        return {
            "awaited": self.awaited,
            "held": self.held,
            "pruned": self.pruned,
            "unknown_ops": self.unknown_ops,
            "patterns": list(self.patterns),
        }


@final
class StateHash:
    """A hash and its coverage. Equal only to a complete one of the same bytes and patterns.

    ``hex`` is 64 characters, or "" when edits are open and there is nothing to hash yet.
    """

    __slots__ = ("coverage", "hex")

    def __init__(self, hex: str, coverage: Coverage) -> None:
        self.hex = hex
        self.coverage = coverage

    @property
    def complete(self) -> bool:
        """Whether the hash may be compared at all."""
        return self.coverage.complete

    def __eq__(self, other: object) -> bool:
        return (
            isinstance(other, StateHash)
            and self.complete
            and other.complete
            and self.hex == other.hex
            and self.coverage.patterns == other.coverage.patterns
        )

    def __hash__(self) -> int:
        return hash(self.hex)

    def __str__(self) -> str:
        return self.hex if self.complete else "incomplete"

    def __repr__(self) -> str:
        return f"StateHash({self.hex or 'none'}, {self.coverage.to_dict()})"


def leaf_record(leaf_kind: int, key: str, encoded: bytes) -> bytes:
    """What one object, as canonical bytes of what a reader sees, puts into the state hash."""
    key_bytes = key.encode()
    return b"".join(
        (
            leaf_kind.to_bytes(1, "big"),
            len(key_bytes).to_bytes(2, "big"),
            key_bytes,
            hash_bytes(encoded),
        )
    )


def hash_leaves(leaves: list[dict[str, bytes]]) -> bytes:
    """The 32-byte state hash of leaves that are ascending by key within each leaf kind."""
    records: list[bytes] = []
    for of_kind in leaves:
        records.extend(of_kind.values())
    return hash_bytes(b"".join(records))


@final
class StateHasher:
    """Leaves of a state, kept between calls: only what changed is hashed again."""

    def __init__(self, state: State) -> None:
        self._state = state
        self._changed: set[tuple[int, str]] = set()
        self._leaves: list[dict[str, bytes]] = [{} for _ in range(LEAF_KINDS)]
        self._sorted: list[list[str]] = [[] for _ in range(LEAF_KINDS)]

    def note(self, kind: int, key: str) -> None:
        """Say that an object may have changed."""
        self._changed.add((kind, key))

    def load(self, leaves: list[dict[str, bytes]]) -> None:
        """Begin with the leaves of a state that was just built, instead of with none."""
        self._leaves = [dict(of_kind) for of_kind in leaves]

    def reset(self) -> None:
        """Forget every leaf: the state was built anew."""
        self._changed.clear()
        for leaves in self._leaves:
            leaves.clear()
        self._sorted = [[] for _ in range(LEAF_KINDS)]

    def forget(self, kind: int, key: str) -> None:
        """Say that an object is no part of the state any more."""
        self._changed.discard((kind, key))
        self._remove(kind, key)
        if kind == MAP:
            self._remove(BLOB_LEAF, key)

    def hash(self, patterns: PatternSet | None = None) -> str:
        """The hash in hexadecimal, of the keys of ``patterns`` alone unless they are None.

        Every node in the state must be in its graph.
        """
        for kind, key in self._changed:
            self._refresh(kind, key)
        self._changed.clear()
        records: list[bytes] = []
        for leaf_kind in range(MAP_LEAF, LEAF_KINDS):
            leaves = self._leaves[leaf_kind]
            keys = self._sorted[leaf_kind]
            if not keys and leaves:
                # The order of code points is that of their UTF-8 bytes.
                keys = sorted(leaves)
                self._sorted[leaf_kind] = keys
            if patterns is None:
                records.extend([leaves[key] for key in keys])
            else:
                records.extend([leaves[key] for key in keys if patterns.matches(key)])
        return hash_bytes(b"".join(records)).hex()

    def _refresh(self, kind: int, key: str) -> None:
        state = self._state
        if kind == MAP:
            register = state.maps.by_key[key]
            if register.content == VALUE:
                self._set(MAP_LEAF, key, canonical.encode(register.value, enclosing_depth=2))
                self._remove(BLOB_LEAF, key)
            elif register.content == BLOB:
                blob = register.value
                assert isinstance(blob, BlobReference)
                self._set(
                    BLOB_LEAF,
                    key,
                    canonical.encode([blob.hash, blob.size_bytes, blob.media_type]),
                )
                self._remove(MAP_LEAF, key)
            else:
                self._remove(MAP_LEAF, key)
                self._remove(BLOB_LEAF, key)
        elif kind == COUNTER:
            self._set(COUNTER_LEAF, key, canonical.encode(str(state.counters.sums[key])))
        elif kind == LIST:
            graph = state.graph
            self._set(
                LIST_LEAF,
                key,
                canonical.encode(
                    [
                        [[graph.id_of(item.lv), item.operation_index], item.value]
                        for item in state.lists[key].order.items()
                    ]
                ),
            )
        else:
            assert kind == TEXT
            self._set(TEXT_LEAF, key, canonical.encode(str(state.texts[key].document)))

    def _set(self, leaf_kind: int, key: str, encoded: bytes) -> None:
        leaves = self._leaves[leaf_kind]
        if key not in leaves:
            self._sorted[leaf_kind] = []
        leaves[key] = leaf_record(leaf_kind, key, encoded)

    def _remove(self, leaf_kind: int, key: str) -> None:
        if self._leaves[leaf_kind].pop(key, None) is not None:
            self._sorted[leaf_kind] = []
