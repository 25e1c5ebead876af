"""Reading: faces of maps, counters, lists and texts over a state, and read-only views.

A face holds no copy: it shows what the state says when it is asked. Values that could be changed
are copied on the way out.
"""

from collections.abc import Iterable, Iterator
from typing import TypeVar, overload

from roomlog.core.crdt.list import ListDocument
from roomlog.core.crdt.map import ABSENT, BLOB, VALUE, MapRegister
from roomlog.core.errors import InvalidTypeError
from roomlog.core.path_key import check_key, check_segment
from roomlog.core.snapshot.base import SnapshotBase
from roomlog.core.state import State
from roomlog.core.state_hash import Coverage, StateHash, StateHasher
from roomlog.core.subscription import Subscription

T = TypeVar("T")


def copy_value(value: object) -> object:
    """A copy of a canonical value that the caller may change."""
    if isinstance(value, list):
        return [copy_value(element) for element in value]
    if isinstance(value, dict):
        return {key: copy_value(element) for key, element in value.items()}
    return value


class MapView:
    """The keys directly below one segment; with the prefix "" every path of the room.

    Keys come in ascending order. A value is a canonical value or a `BlobReference`.
    """

    def __init__(self, state: State, prefix: str) -> None:
        if prefix:
            check_segment(prefix)
        self._state = state
        self._prefix = prefix

    def _path(self, key: object) -> str:
        """The path key of ``key``, a single segment unless the prefix is ""."""
        if not isinstance(key, str):
            raise InvalidTypeError(f"key: a map key is a str, not {key!r}")
        if not self._prefix:
            check_key(key)
            return key
        check_segment(key)
        path = f"{self._prefix}/{key}"
        check_key(path)
        return path

    def _register(self, key: object) -> MapRegister | None:
        register = self._state.maps.by_key.get(self._path(key))
        if register is None or register.content == ABSENT:
            return None
        return register

    def __getitem__(self, key: str) -> object:
        register = self._register(key)
        if register is None:
            raise KeyError(key)
        return copy_value(register.value)

    @overload
    def get(self, key: str) -> object: ...
    @overload
    def get(self, key: str, default: object) -> object: ...
    def get(self, key: str, default: object = None) -> object:
        """The value of ``key``, or ``default``."""
        register = self._register(key)
        return default if register is None else copy_value(register.value)

    def __contains__(self, key: object) -> bool:
        return self._register(key) is not None

    def __len__(self) -> int:
        if not self._prefix:
            return self._state.maps.present_count
        return len(self._state.maps.children.get(self._prefix, ()))

    def __iter__(self) -> Iterator[str]:
        return iter(self.keys())

    def keys(self) -> list[str]:
        """The present keys, ascending."""
        maps = self._state.maps
        if self._prefix:
            return sorted(maps.children.get(self._prefix, ()))
        return sorted([key for key, reg in maps.by_key.items() if reg.content != ABSENT])

    def values(self) -> list[object]:
        """The values in the order of their keys."""
        return [self[key] for key in self.keys()]

    def items(self) -> list[tuple[str, object]]:
        """(key, value) pairs in the order of their keys."""
        return [(key, self[key]) for key in self.keys()]

    def to_dict(self) -> dict[str, object]:
        """A plain copy."""
        return dict(self.items())

    def __eq__(self, other: object) -> bool:
        if isinstance(other, MapView):
            return self.to_dict() == other.to_dict()
        return isinstance(other, dict) and self.to_dict() == other

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self._prefix!r}, {self.to_dict()!r})"


class CounterView:
    """A counter's exact sum; 0 while nobody touched it."""

    def __init__(self, state: State, key: str) -> None:
        check_segment(key)
        self._state = state
        self._key = key

    @property
    def value(self) -> int:
        """The sum of all amounts."""
        return self._state.counters.value(self._key)

    def __int__(self) -> int:
        return self.value

    def __index__(self) -> int:
        return self.value

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self._key!r}, {self.value})"


class ListView:
    """The values of a list in visible order. Indexes may be negative."""

    def __init__(self, state: State, key: str) -> None:
        check_segment(key)
        self._state = state
        self._key = key

    def _document(self) -> ListDocument | None:
        return self._state.lists.get(self._key)

    def _index(self, index: object, name: str = "index") -> int:
        """``index`` counted from the start, of an item that exists."""
        if not isinstance(index, int) or isinstance(index, bool):
            raise InvalidTypeError(f"{name}: an int, not {index!r}")
        length = len(self)
        position = index + length if index < 0 else index
        if not 0 <= position < length:
            raise IndexError(f"{name}: {index} is outside a list of length {length}")
        return position

    def __len__(self) -> int:
        document = self._document()
        return 0 if document is None else len(document.order)

    @overload
    def __getitem__(self, index: int) -> object: ...
    @overload
    def __getitem__(self, index: slice) -> list[object]: ...
    def __getitem__(self, index: int | slice) -> object:
        if isinstance(index, slice):
            return self._values(range(*index.indices(len(self))))
        position = self._index(index)
        document = self._document()
        assert document is not None
        return copy_value(document.order.at(position).value)

    def __iter__(self) -> Iterator[object]:
        return iter(self.to_list())

    def to_list(self) -> list[object]:
        """A plain copy."""
        document = self._document()
        if document is None:
            return []
        return [copy_value(item.value) for item in document.order.items()]

    def _values(self, indexes: Iterable[int]) -> list[object]:
        document = self._document()
        if document is None:
            return []
        order = document.order
        return [copy_value(order.at(index).value) for index in indexes]

    def __eq__(self, other: object) -> bool:
        if isinstance(other, ListView):
            return self.to_list() == other.to_list()
        return isinstance(other, list) and self.to_list() == other

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self._key!r}, {self.to_list()!r})"


class TextView:
    """A text in Unicode scalar values."""

    def __init__(self, state: State, key: str) -> None:
        check_segment(key)
        self._state = state
        self._key = key

    def __str__(self) -> str:
        text = self._state.texts.get(self._key)
        return "" if text is None else str(text.document)

    def __len__(self) -> int:
        text = self._state.texts.get(self._key)
        return 0 if text is None else len(text.document)

    def __getitem__(self, index: int | slice) -> str:
        text = self._state.texts.get(self._key)
        length = 0 if text is None else len(text.document)
        if isinstance(index, slice):
            start, stop, step = index.indices(length)
            if text is None or start == stop:
                return ""
            if step == 1:
                return text.document.slice(start, max(start, stop))
            return str(text.document)[index]
        if not isinstance(index, int) or isinstance(index, bool):
            raise InvalidTypeError(f"index: an int or a slice, not {index!r}")
        position = index + length if index < 0 else index
        if text is None or not 0 <= position < length:
            raise IndexError(f"index: {index} is outside a text of length {length}")
        return text.document.slice(position, position + 1)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, TextView | str) and str(self) == str(other)

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self._key!r}, {str(self)!r})"


class View:
    """One state, to be read: the room at some frontier."""

    def __init__(
        self,
        state: State,
        frontier: list[bytes],
        subscription: Subscription,
        base: SnapshotBase | None = None,
    ) -> None:
        self._state = state
        self._frontier = frontier
        self._hasher = StateHasher(state)
        if base is not None:
            self._hasher.load(base.opened.leaves)
        # It may change; what this view shows does not.
        self._subscription = Subscription()
        self._subscription.copy_from(subscription)

    @property
    def frontier(self) -> list[bytes]:
        """The ids this view stands at, ascending."""
        return list(self._frontier)

    def map(self, prefix: str) -> MapView:
        """The map below one path segment."""
        return MapView(self._state, prefix)

    def counter(self, key: str) -> CounterView:
        """The counter of a path key."""
        return CounterView(self._state, key)

    def list(self, key: str) -> ListView:
        """The list of a path key."""
        return ListView(self._state, key)

    def text(self, key: str) -> TextView:
        """The text of a path key."""
        return TextView(self._state, key)

    def state(self) -> dict[str, dict[str, object]]:
        """Everything, as plain values by kind and key."""
        return state_as_values(self._state)

    def state_hash(self) -> StateHash:
        """The hash of the state at this frontier."""
        for kind, key in self._state.take_changes():
            self._hasher.note(kind, key)
        subscription = self._subscription
        coverage = Coverage(
            awaited=0 if subscription.before is None else 1,
            unknown_ops=self._state.unknown_operations,
            patterns=subscription.names(),
        )
        return StateHash(self._hasher.hash(), coverage)


def state_as_values(state: State) -> dict[str, dict[str, object]]:
    """A state as plain values: kind, then key in ascending order."""
    maps: dict[str, object] = {}
    blobs: dict[str, object] = {}
    for key in sorted(state.maps.by_key):
        register = state.maps.by_key[key]
        if register.content == VALUE:
            maps[key] = copy_value(register.value)
        elif register.content == BLOB:
            blobs[key] = register.value
    return {
        "maps": maps,
        "blobs": blobs,
        "counters": {key: state.counters.sums[key] for key in sorted(state.counters.sums)},
        "lists": {
            key: [copy_value(value) for value in state.lists[key].values()]
            for key in sorted(state.lists)
        },
        "texts": {key: str(state.texts[key].document) for key in sorted(state.texts)},
    }
