"""Maps, counters, lists and texts of a document: like the replica's own, and written at once.

A handle stays good as long as its document: it finds its object anew after the history below it
was rewritten. Every edit becomes part of one node at the end of the current turn of the event loop,
unless a transaction or `Document.flush` decides otherwise.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, MutableMapping, MutableSequence
from typing import Any, Protocol, final

from roomlog.client.anchors import DocumentAnchor
from roomlog.core.anchors import RIGHT, SavedAnchor, Side, place_anchor, resolve_anchor
from roomlog.core.attribution import AttributionRun, TextAttribution, attribute_text
from roomlog.core.errors import InvalidTypeError, InvalidValueError
from roomlog.core.handles import CounterHandle, ListHandle, MapHandle, TextHandle
from roomlog.core.named_versions import VERSIONS_SEGMENT, is_reserved
from roomlog.core.replica import Replica
from roomlog.core.state import COUNTER, LIST, MAP, TEXT
from roomlog.core.view import CounterView, ListView, MapView, TextView


class Room(Protocol):
    """Where handles come from: a replica or a branch."""

    def map(self, prefix: str) -> MapHandle: ...
    def counter(self, key: str) -> CounterHandle: ...
    def list(self, key: str) -> ListHandle: ...
    def text(self, key: str) -> TextHandle: ...


class ReadableRoom(Protocol):
    """What can be read of a room at some version."""

    def map(self, prefix: str) -> MapView: ...
    def counter(self, key: str) -> CounterView: ...
    def list(self, key: str) -> ListView: ...
    def text(self, key: str) -> TextView: ...


class EditingContext(Protocol):
    """What a handle needs from its document or branch."""

    def room(self) -> Room:
        """The current room; read only."""

    def editing(self) -> Room:
        """The current room, about to be edited. Raises when that is not allowed now."""

    def canonical_room(self) -> ReadableRoom:
        """What the server has acknowledged."""

    def followed(self) -> Replica:
        """The replica whose texts anchors and attribution follow. A branch raises `BranchError`."""

    def committed(self) -> Replica:
        """The same, its open edits made a node. Raises `TransactionError` inside of one."""


@final
class DocumentMap(MutableMapping[str, Any]):
    """The map below one path segment, used like a dict; `map("")` takes whole paths.

    Values are None, bool, int, float, str, bytes, and lists and dicts of them. What is read is a
    copy: to change a value, assign it. Keys below `@versions` are `Document.versions` to write.
    """

    def __init__(self, context: EditingContext, prefix: str) -> None:
        self._context = context
        self._prefix = prefix
        self._map()

    @property
    def place(self) -> tuple[int, str]:
        """Kind and key, as scopes of undo name it."""
        return MAP, self._prefix

    def _map(self) -> MapHandle:
        return self._context.room().map(self._prefix)

    def _editing(self, key: str) -> MapHandle:
        if self._prefix == VERSIONS_SEGMENT or (not self._prefix and is_reserved(key)):
            raise InvalidValueError(f"key: what lies below {VERSIONS_SEGMENT} is doc.versions")
        return self._context.editing().map(self._prefix)

    def __getitem__(self, key: str) -> Any:
        return self._map()[key]

    def get(self, key: str, default: Any = None, *, canonical: bool = False) -> Any:
        """The value of `key`; with `canonical`, the one that the server has acknowledged."""
        if canonical:
            return self._context.canonical_room().map(self._prefix).get(key, default)
        return self._map().get(key, default)

    def __contains__(self, key: object) -> bool:
        return key in self._map()

    def __len__(self) -> int:
        return len(self._map())

    def __iter__(self) -> Iterator[str]:
        return iter(self._map())

    def __setitem__(self, key: str, value: Any) -> None:
        self._editing(key)[key] = value

    def __delitem__(self, key: str) -> None:
        del self._editing(key)[key]

    def set_blob(self, key: str, hash: bytes, size_bytes: int, media_type: str) -> None:
        """Let `key` refer to a blob: its 32-byte BLAKE3, size and media type."""
        self._editing(key).set_blob(key, hash, size_bytes, media_type)

    def to_dict(self) -> dict[str, Any]:
        """A plain copy."""
        return self._map().to_dict()

    def __repr__(self) -> str:
        return f"DocumentMap({self._prefix!r}, {self.to_dict()!r})"


@final
class DocumentCounter:
    """A counter: everybody's amounts add up."""

    def __init__(self, context: EditingContext, key: str) -> None:
        self._context = context
        self._key = key
        self._counter()

    @property
    def place(self) -> tuple[int, str]:
        """Kind and key, as scopes of undo name it."""
        return COUNTER, self._key

    def _counter(self) -> CounterHandle:
        return self._context.room().counter(self._key)

    @property
    def value(self) -> int:
        """The sum of all amounts."""
        return self._counter().value

    def get(self, *, canonical: bool = False) -> int:
        """The sum; with `canonical`, of what the server has acknowledged."""
        if canonical:
            return self._context.canonical_room().counter(self._key).value
        return self.value

    def add(self, amount: int = 1) -> None:
        """Add `amount`, at most 2^53 either way; 0 writes nothing."""
        self._context.editing().counter(self._key).add(amount)

    def __int__(self) -> int:
        return self.value

    def __index__(self) -> int:
        return self.value

    def __repr__(self) -> str:
        return f"DocumentCounter({self._key!r}, {self.value})"


@final
class DocumentList(MutableSequence[Any]):
    """A list whose items keep their identity when they are moved or given another value."""

    def __init__(self, context: EditingContext, key: str) -> None:
        self._context = context
        self._key = key
        self._list()

    @property
    def place(self) -> tuple[int, str]:
        """Kind and key, as scopes of undo name it."""
        return LIST, self._key

    def _list(self) -> ListHandle:
        return self._context.room().list(self._key)

    def _editing(self) -> ListHandle:
        return self._context.editing().list(self._key)

    def __len__(self) -> int:
        return len(self._list())

    def __getitem__(self, index: int | slice) -> Any:
        return self._list()[index]

    def __iter__(self) -> Iterator[Any]:
        return iter(self._list())

    def to_list(self, *, canonical: bool = False) -> list[Any]:
        """A plain copy; with `canonical`, of what the server has acknowledged."""
        if canonical:
            return self._context.canonical_room().list(self._key).to_list()
        return self._list().to_list()

    def __setitem__(self, index: int | slice, value: Any) -> None:
        self.update(_one_index(index), value)

    def __delitem__(self, index: int | slice) -> None:
        self._editing().delete(_one_index(index))

    def insert(self, index: int, value: Any) -> None:
        """Insert `value` before item `index`; the length appends. IndexError beyond that."""
        self._editing().insert(index, value)

    def append(self, value: Any) -> None:
        """Insert `value` at the end."""
        self._editing().append(value)

    def extend(self, values: Iterable[Any]) -> None:
        """Insert several values at the end."""
        self._editing().extend(values)

    def move(self, source: int, target: int) -> None:
        """Take item `source` out and put it back so that it becomes item `target`."""
        self._editing().move(source, target)

    def update(self, index: int, value: Any) -> None:
        """Give item `index` another value; it stays the same item."""
        self._editing().update(index, value)

    def delete(self, index: int) -> None:
        """Delete item `index` for good."""
        self._editing().delete(index)

    def __eq__(self, other: object) -> bool:
        if isinstance(other, DocumentList):
            return self.to_list() == other.to_list()
        return isinstance(other, list) and self.to_list() == other

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        return f"DocumentList({self._key!r}, {self.to_list()!r})"


@final
class DocumentText:
    """A text that many may type into. Positions are in Unicode scalar values, from 0."""

    def __init__(self, context: EditingContext, key: str) -> None:
        self._context = context
        self._key = key
        self._text()

    @property
    def place(self) -> tuple[int, str]:
        """Kind and key, as scopes of undo name it."""
        return TEXT, self._key

    def _text(self) -> TextHandle:
        return self._context.room().text(self._key)

    def _editing(self) -> TextHandle:
        return self._context.editing().text(self._key)

    def __str__(self) -> str:
        return str(self._text())

    def get(self, *, canonical: bool = False) -> str:
        """The text; with `canonical`, what the server has acknowledged of it."""
        if canonical:
            return str(self._context.canonical_room().text(self._key))
        return str(self)

    def __len__(self) -> int:
        return len(self._text())

    def __getitem__(self, index: int | slice) -> str:
        return self._text()[index]

    def insert(self, position: int, text: str) -> None:
        """Insert `text` before `position`; IndexError outside of 0..length."""
        self._editing().insert(position, text)

    def append(self, text: str) -> None:
        """Insert `text` at the end."""
        self._editing().append(text)

    def delete(self, position: int, length: int = 1) -> None:
        """Delete `length` characters from `position` on; IndexError outside the text."""
        self._editing().delete(position, length)

    def replace(self, position: int, length: int, text: str) -> None:
        """Delete `length` characters from `position` on and insert `text` there."""
        self._editing().replace(position, length, text)

    def anchor(self, position: int, side: Side = RIGHT) -> DocumentAnchor:
        """A place before the character at `position` that follows all edits; the length is the end.

        Of what is inserted right there a "left" anchor stays on the left, a "right" one goes to the
        right. Raises IndexError outside of the text.
        """
        replica = self._context.followed()
        return DocumentAnchor(self._context, place_anchor(replica, self._key, position, side))

    def resolve(self, saved: SavedAnchor) -> DocumentAnchor:
        """An anchor at a place that was saved, in this document or another of the same room.

        Replays what was written since. Raises `UnknownNodeError` or `HistoryMissingError` when the
        version it was saved at is not here, `InvalidValueError` when it has no such position.
        """
        replica = self._context.followed()
        return DocumentAnchor(self._context, resolve_anchor(replica, self._key, saved))

    def attribution(self) -> list[AttributionRun]:
        """Who wrote what: runs of the text with author and node. Replays its history."""
        return attribute_text(self._context.followed(), self._key)

    def watch_attribution(self) -> TextAttribution:
        """The same for those who ask often: kept up with each edit until it is closed."""
        return TextAttribution(self._context.followed(), self._key)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, DocumentText | str) and str(self) == str(other)

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        return f"DocumentText({self._key!r}, {str(self)!r})"


def _one_index(index: int | slice) -> int:
    if isinstance(index, slice):
        raise InvalidTypeError("index: an int; slices of a shared list can only be read")
    return index
