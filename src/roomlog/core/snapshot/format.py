"""The state of a snapshot, and the one sequence of bytes it becomes.

Canonical MessagePack as in bodies; the table is in docs/design/snapshots.md. What `encode_state`
would not have written is refused.
"""

from typing import Final, TypeAlias, final

from roomlog.core import canonical
from roomlog.core.clock import CLOCK_LIMIT
from roomlog.core.crdt.list.item import OPERATION_INDEX_LIMIT
from roomlog.core.crdt.map import BlobReference
from roomlog.core.operation import (
    BLOB_HASH_BYTES,
    MAX_LIST_POSITION_BYTES,
    MAX_MEDIA_TYPE_BYTES,
    MAX_UNSIGNED,
    NODE_ID_BYTES,
)
from roomlog.core.path_key import key_problem
from roomlog.core.reject import Reject, RejectClass

FORMAT_VERSION: Final = 1
VALUE_TAG: Final = 0
BLOB_TAG: Final = 1
MAX_COUNTER_CHARACTERS: Final = 64
"""No room can count further: 2^64 nodes of fewer than 2^20 operations of at most 2^53 each."""

_VALUE_DEPTH: Final = 2
"""A value may be nested as deeply as where it was written, in an operation of a body."""

Item: TypeAlias = tuple[bytes, int, bytes, object]
"""A list item: node id and operation index of its insert, position, value."""


@final
class SnapshotState:
    """What a room says at one place of its log, and nothing of how it came to say so.

    ``maps``, ``counters``, ``lists`` and ``texts`` are ascending by key. A map's value is a
    canonical value or a `BlobReference`; deleted keys are left out. Lists have their items in
    order. ``clock`` is the greatest clock of the log up to there, ``unknown_operations`` how many
    operations of kinds that this build does not know are in it.
    """

    __slots__ = ("clock", "counters", "lists", "maps", "texts", "unknown_operations")

    def __init__(self, clock: int, unknown_operations: int) -> None:
        self.clock = clock
        self.unknown_operations = unknown_operations
        self.maps: list[tuple[str, object]] = []
        self.counters: list[tuple[str, int]] = []
        self.lists: list[tuple[str, list[Item]]] = []
        self.texts: list[tuple[str, str]] = []


def encode_state(state: SnapshotState) -> bytes:
    """The bytes of a state that came from a room."""
    maps: list[object] = []
    for key, value in state.maps:
        if isinstance(value, BlobReference):
            maps.append([key, BLOB_TAG, [value.hash, value.size_bytes, value.media_type]])
        else:
            maps.append([key, VALUE_TAG, value])
    return canonical.encode(
        [
            FORMAT_VERSION,
            state.clock,
            state.unknown_operations,
            maps,
            [[key, str(amount)] for key, amount in state.counters],
            # Tuples are written as arrays.
            [[key, items] for key, items in state.lists],
            state.texts,
        ],
        is_checked=True,
    )


def decode_state(data: bytes) -> SnapshotState:
    """The state of bytes. Raises `Reject` (invalid_field) unless they are how it is written."""
    try:
        fields = canonical.decode_loosely(data)
        state = _state_of(fields)
        canonical.check_encoding(fields, data)
    except Reject as reject:
        if reject.reject_class is RejectClass.INVALID_FIELD:
            raise
        raise _invalid(reject.message) from None
    return state


def _invalid(problem: str) -> Reject:
    return Reject(RejectClass.INVALID_FIELD, f"snapshot: {problem}", {"field": "data"})


def _state_of(fields: object) -> SnapshotState:
    if type(fields) is not list or not fields:
        raise _invalid("not an array")
    if type(fields[0]) is not int or fields[0] != FORMAT_VERSION:
        raise _invalid("another format version")
    if len(fields) != 7:
        raise _invalid("not seven fields")
    clock = fields[1]
    unknown_operations = fields[2]
    if type(clock) is not int or not 0 <= clock < CLOCK_LIMIT:
        raise _invalid("clock out of range")
    if type(unknown_operations) is not int or not 0 <= unknown_operations <= MAX_UNSIGNED:
        raise _invalid("unknown operations out of range")
    state = SnapshotState(clock, unknown_operations)
    _read_maps(fields[3], state)
    _read_counters(fields[4], state)
    _read_lists(fields[5], state)
    _read_texts(fields[6], state)
    return state


def _rows(field: object, name: str) -> list[object]:
    if type(field) is not list:
        raise _invalid(f"{name} are not an array")
    return field


def _row(row: object, size: int, name: str) -> list[object]:
    if type(row) is not list or len(row) != size:
        raise _invalid(f"{name} are not arrays of {size}")
    return row


def _key(field: object, last: str, name: str) -> str:
    """The key of a row, which comes after ``last``."""
    if type(field) is not str:
        raise _invalid(f"{name}: a key that is no string")
    key: str = field
    problem = key_problem(key)
    if problem:
        raise _invalid(f"{name}: key {key!r}: {problem}")
    # The order of code points is that of their UTF-8 bytes.
    if key <= last:
        raise _invalid(f"{name}: keys are not strictly ascending")
    return key


def _read_maps(field: object, state: SnapshotState) -> None:
    last = ""
    for element in _rows(field, "maps"):
        row = _row(element, 3, "maps")
        last = _key(row[0], last, "maps")
        tag = row[1]
        value = row[2]
        if type(tag) is not int or not VALUE_TAG <= tag <= BLOB_TAG:
            raise _invalid("maps: unknown tag")
        if tag == BLOB_TAG:
            value = _blob(value)
        elif not canonical.is_canonical(value, _VALUE_DEPTH):
            raise _invalid("maps: a value that has no canonical form")
        state.maps.append((last, value))


def _blob(field: object) -> BlobReference:
    row = _row(field, 3, "blobs")
    blob_hash = row[0]
    size_bytes = row[1]
    media_type = row[2]
    if type(blob_hash) is not bytes or len(blob_hash) != BLOB_HASH_BYTES:
        raise _invalid(f"a blob's hash is {BLOB_HASH_BYTES} bytes")
    if type(size_bytes) is not int or not 0 <= size_bytes <= MAX_UNSIGNED:
        raise _invalid("a blob's size is out of range")
    if type(media_type) is not str or len(media_type.encode()) > MAX_MEDIA_TYPE_BYTES:
        raise _invalid(f"a media type is a string of at most {MAX_MEDIA_TYPE_BYTES} bytes")
    return BlobReference(blob_hash, size_bytes, media_type)


def _read_counters(field: object, state: SnapshotState) -> None:
    last = ""
    for element in _rows(field, "counters"):
        row = _row(element, 2, "counters")
        last = _key(row[0], last, "counters")
        state.counters.append((last, _amount(row[1])))


def _amount(field: object) -> int:
    if type(field) is str and len(field) <= MAX_COUNTER_CHARACTERS:
        try:
            amount = int(field)
        except ValueError:
            raise _invalid("a counter is not decimal") from None
        if str(amount) == field:
            return amount
    raise _invalid("a counter is not decimal")


def _read_lists(field: object, state: SnapshotState) -> None:
    last = ""
    names: set[tuple[bytes, int]] = set()
    count = 0
    for element in _rows(field, "lists"):
        row = _row(element, 2, "lists")
        last = _key(row[0], last, "lists")
        items: list[Item] = []
        before: Item | None = None
        for item_element in _rows(row[1], "items"):
            item = _item(item_element)
            if before is not None and not _precedes(before, item):
                raise _invalid("lists: items are not in order")
            before = item
            items.append(item)
            names.add((item[0], item[1]))
        count += len(items)
        if len(names) != count:
            raise _invalid("lists: an item twice")
        state.lists.append((last, items))


def _item(field: object) -> Item:
    row = _row(field, 4, "items")
    node_id = row[0]
    operation_index = row[1]
    position = row[2]
    if type(node_id) is not bytes or len(node_id) != NODE_ID_BYTES:
        raise _invalid(f"an item's node id is {NODE_ID_BYTES} bytes")
    if type(operation_index) is not int or not 0 <= operation_index < OPERATION_INDEX_LIMIT:
        raise _invalid("an item's operation index is out of range")
    if type(position) is not bytes or not 1 <= len(position) <= MAX_LIST_POSITION_BYTES:
        raise _invalid(f"a list position is 1 to {MAX_LIST_POSITION_BYTES} bytes")
    if not canonical.is_canonical(row[3], _VALUE_DEPTH):
        raise _invalid("lists: a value that has no canonical form")
    return node_id, operation_index, position, row[3]


def _precedes(left: Item, right: Item) -> bool:
    """Visible order: position, node id, operation index."""
    if left[2] != right[2]:
        return left[2] < right[2]
    if left[0] != right[0]:
        return left[0] < right[0]
    return left[1] < right[1]


def _read_texts(field: object, state: SnapshotState) -> None:
    last = ""
    for element in _rows(field, "texts"):
        row = _row(element, 2, "texts")
        last = _key(row[0], last, "texts")
        text = row[1]
        if type(text) is not str:
            raise _invalid("texts: not a string")
        state.texts.append((last, text))
