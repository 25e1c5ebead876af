"""Writing: the faces of `roomlog.core.view` with edits.

An edit is applied at once and becomes part of the next commit. One that cannot be valid raises
ValueError, TypeError or IndexError, naming the argument, before anything has changed; one of a key
outside of the replica's patterns raises `NotSubscribedError`.
"""

from collections.abc import Iterable, Mapping, MutableMapping
from typing import Final, final

from roomlog.core.crdt.map import BlobReference
from roomlog.core.errors import InvalidTypeError
from roomlog.core.open_edits import OpenEdits
from roomlog.core.view import CounterView, ListView, MapView, TextView

_MISSING: Final = object()


@final
class MapHandle(MapView):
    """A map that can be written, like a dict of canonical values.

    >>> from roomlog.core.replica import Replica
    >>> from roomlog.identity import Identity
    >>> replica = Replica("demo", Identity.from_seed(bytes(32)))
    >>> users = replica.map("users")
    >>> users["ada"] = {"age": 36}
    >>> replica.map("")["users/ada"]
    {'age': 36}
    """

    def __init__(self, edits: OpenEdits, prefix: str) -> None:
        super().__init__(edits.state, prefix)
        self._edits = edits

    def __setitem__(self, key: str, value: object) -> None:
        path = self._path(key)
        if isinstance(value, BlobReference):
            self._edits.map_set_blob(path, value)
        else:
            self._edits.map_set(path, value)

    def set_blob(self, key: str, hash: bytes, size_bytes: int, media_type: str) -> None:
        """Let ``key`` refer to a blob: its 32-byte BLAKE3, size and media type (255 bytes)."""
        if type(hash) is not bytes:
            raise InvalidTypeError(f"hash: bytes, not {hash!r}")
        if type(size_bytes) is not int:
            raise InvalidTypeError(f"size_bytes: an int, not {size_bytes!r}")
        if type(media_type) is not str:
            raise InvalidTypeError(f"media_type: a str, not {media_type!r}")
        self._edits.map_set_blob(self._path(key), BlobReference(hash, size_bytes, media_type))

    def __delitem__(self, key: str) -> None:
        self._edits.check_writable(self._path(key))
        if self._register(key) is None:
            raise KeyError(key)
        self._edits.map_delete(self._path(key))

    def pop(self, key: str, default: object = _MISSING) -> object:
        """Delete ``key`` and return its value; ``default``, or KeyError, when it is absent."""
        self._edits.check_writable(self._path(key))
        if self._register(key) is None:
            if default is _MISSING:
                raise KeyError(key)
            return default
        value = self[key]
        del self[key]
        return value

    def setdefault(self, key: str, default: object = None) -> object:
        """The value of ``key``, written as ``default`` first when it is absent."""
        if self._register(key) is None:
            self[key] = default
        return self[key]

    def update(
        self, other: Mapping[str, object] | Iterable[tuple[str, object]] = (), **more: object
    ) -> None:
        """Write several keys, in the order given."""
        pairs = other.items() if isinstance(other, Mapping | MapView) else other
        for key, value in pairs:
            self[key] = value
        for key, value in more.items():
            self[key] = value

    def clear(self) -> None:
        """Delete every key of this map."""
        for key in self.keys():
            del self[key]


MutableMapping.register(MapHandle)


@final
class CounterHandle(CounterView):
    """A counter that can be added to."""

    def __init__(self, edits: OpenEdits, key: str) -> None:
        super().__init__(edits.state, key)
        self._edits = edits

    def add(self, amount: int) -> None:
        """Add ``amount``, at most 2^53 either way; 0 writes nothing."""
        if type(amount) is not int:
            raise InvalidTypeError(f"amount: an int is added to a counter, not {amount!r}")
        self._edits.counter_add(self._key, amount)


@final
class ListHandle(ListView):
    """A list that can be written. Indexes may be negative and must exist."""

    def __init__(self, edits: OpenEdits, key: str) -> None:
        super().__init__(edits.state, key)
        self._edits = edits

    def append(self, value: object) -> None:
        """Insert ``value`` at the end."""
        self._edits.list_insert(self._key, len(self), value)

    def extend(self, values: Iterable[object]) -> None:
        """Insert several values at the end."""
        for value in values:
            self.append(value)

    def insert(self, index: int, value: object) -> None:
        """Insert ``value`` before item ``index``; the length appends.

        Raises IndexError when there is no such place.
        """
        if not isinstance(index, int) or isinstance(index, bool):
            raise InvalidTypeError(f"index: an int, not {index!r}")
        self._edits.check_writable(self._key)
        length = len(self)
        position = index + length if index < 0 else index
        if not 0 <= position <= length:
            raise IndexError(f"index: {index} is outside a list of length {length}")
        self._edits.list_insert(self._key, position, value)

    def move(self, source: int, target: int) -> None:
        """Take item ``source`` out and put it back so that it becomes item ``target``."""
        self._edits.check_writable(self._key)
        self._edits.list_move(
            self._key, self._index(source, "source"), self._index(target, "target")
        )

    def update(self, index: int, value: object) -> None:
        """Give item ``index`` another value; it stays the same item."""
        self._edits.check_writable(self._key)
        self._edits.list_update(self._key, self._index(index), value)

    def __setitem__(self, index: int, value: object) -> None:
        self.update(index, value)

    def delete(self, index: int) -> None:
        """Delete item ``index`` for good."""
        self._edits.check_writable(self._key)
        self._edits.list_delete(self._key, self._index(index))

    def __delitem__(self, index: int) -> None:
        self.delete(index)

    def pop(self, index: int = -1) -> object:
        """Delete item ``index`` and return its value."""
        self._edits.check_writable(self._key)
        value = self[self._index(index)]
        self.delete(index)
        return value


@final
class TextHandle(TextView):
    """A text that can be written. Positions are in Unicode scalar values, from 0."""

    def __init__(self, edits: OpenEdits, key: str) -> None:
        super().__init__(edits.state, key)
        self._edits = edits

    def insert(self, position: int, text: str) -> None:
        """Insert ``text`` before ``position``; IndexError outside of 0..length."""
        if type(position) is not int:
            raise InvalidTypeError(f"position: an int, not {position!r}")
        if type(text) is not str:
            raise InvalidTypeError(f"text: a str, not {text!r}")
        self._edits.text_insert(self._key, position, text)

    def delete(self, position: int, length: int = 1) -> None:
        """Delete ``length`` scalar values from ``position`` on; IndexError outside the text."""
        if type(position) is not int:
            raise InvalidTypeError(f"position: an int, not {position!r}")
        if type(length) is not int:
            raise InvalidTypeError(f"length: an int, not {length!r}")
        self._edits.text_delete(self._key, position, length)

    def replace(self, position: int, length: int, text: str) -> None:
        """Delete ``length`` scalar values from ``position`` on and insert ``text`` there."""
        if type(text) is not str:
            raise InvalidTypeError(f"text: a str, not {text!r}")
        self._edits.check_text(text)
        self.delete(position, length)
        self.insert(position, text)

    def append(self, text: str) -> None:
        """Insert ``text`` at the end."""
        self.insert(len(self), text)
