"""Operations: one final class a kind, and the body bytes they become.

A body is a canonical MessagePack array of ``[kind, key, ...]``. Kinds and fields are tabled in
``docs/design/data-model.md``.
"""

from collections.abc import Sequence
from typing import Final, TypeAlias, final

from roomlog.core import canonical
from roomlog.core.errors import InvalidValueError
from roomlog.core.path_key import MAX_KEY_BYTES as MAX_KEY_BYTES  # noqa: PLC0414
from roomlog.core.path_key import check_key as check_key  # noqa: PLC0414
from roomlog.core.path_key import key_problem
from roomlog.core.reject import Reject, RejectClass

MAP_SET: Final = 1
MAP_DELETE: Final = 2
MAP_SET_BLOB: Final = 3
COUNTER_ADD: Final = 4
LIST_INSERT: Final = 5
LIST_MOVE: Final = 6
LIST_UPDATE: Final = 7
LIST_DELETE: Final = 8
TEXT_INSERT: Final = 9
TEXT_DELETE: Final = 10
FIRST_UNKNOWN_KIND: Final = 11
MAX_KIND: Final = 65_535

MAX_LIST_POSITION_BYTES: Final = 128
MAX_MEDIA_TYPE_BYTES: Final = 255
MAX_COUNTER_AMOUNT: Final = 1 << 53
MAX_UNSIGNED: Final = (1 << 64) - 1
BLOB_HASH_BYTES: Final = 32
NODE_ID_BYTES: Final = 32

EMPTY_BODY: Final = b"\x90"
"""The body of a merge: no operations."""

_BODY_DEPTH: Final = 1
"""An operation lies in the body's array."""


@final
class ItemReference:
    """A list item, named by the insert that made it."""

    __slots__ = ("node", "operation_index")

    def __init__(self, node: bytes | None, operation_index: int) -> None:
        self.node = node
        """Id of the node that holds the insert; None means the node of the operation itself."""
        self.operation_index = operation_index

    def wire(self) -> object:
        """The reference as it is written into an operation."""
        if self.node is None:
            return self.operation_index
        return [self.node, self.operation_index]

    def __eq__(self, other: object) -> bool:
        return (
            isinstance(other, ItemReference)
            and other.node == self.node
            and other.operation_index == self.operation_index
        )

    def __hash__(self) -> int:
        return hash((self.node, self.operation_index))

    def __repr__(self) -> str:
        node = "this node" if self.node is None else self.node.hex()
        return f"ItemReference({node}, {self.operation_index})"


class OperationFields:
    """What every operation has: its key, its wire form, equality by that form."""

    __slots__ = ("key",)

    def __init__(self, key: str) -> None:
        self.key = key

    def wire(self) -> list[object]:
        """The operation as the array that is written into a body."""
        raise NotImplementedError

    def __eq__(self, other: object) -> bool:
        return isinstance(other, OperationFields) and other.wire() == self.wire()

    def __hash__(self) -> int:
        return hash(self.key)

    def __repr__(self) -> str:
        return f"{type(self).__name__}{tuple(self.wire()[1:])!r}"


@final
class MapSet(OperationFields):
    """Write ``value`` into the register of ``key``."""

    __slots__ = ("value",)

    kind: Final = MAP_SET

    def __init__(self, key: str, value: object) -> None:
        self.key = key
        self.value = value

    def wire(self) -> list[object]:
        return [MAP_SET, self.key, self.value]


@final
class MapDelete(OperationFields):
    """Empty the register of ``key``."""

    __slots__ = ()

    kind: Final = MAP_DELETE

    def __init__(self, key: str) -> None:
        self.key = key

    def wire(self) -> list[object]:
        return [MAP_DELETE, self.key]


@final
class MapSetBlob(OperationFields):
    """Let the register of ``key`` refer to a blob by its 32-byte hash."""

    __slots__ = ("hash", "media_type", "size_bytes")

    kind: Final = MAP_SET_BLOB

    def __init__(self, key: str, hash: bytes, size_bytes: int, media_type: str) -> None:
        self.key = key
        self.hash = hash
        self.size_bytes = size_bytes
        self.media_type = media_type

    def wire(self) -> list[object]:
        return [MAP_SET_BLOB, self.key, self.hash, self.size_bytes, self.media_type]


@final
class CounterAdd(OperationFields):
    """Add ``amount`` (not 0, at most 2^53 either way) to the counter of ``key``."""

    __slots__ = ("amount",)

    kind: Final = COUNTER_ADD

    def __init__(self, key: str, amount: int) -> None:
        self.key = key
        self.amount = amount

    def wire(self) -> list[object]:
        return [COUNTER_ADD, self.key, self.amount]


@final
class ListInsert(OperationFields):
    """Put a new item with ``value`` at ``position`` (1 to 128 bytes)."""

    __slots__ = ("position", "value")

    kind: Final = LIST_INSERT

    def __init__(self, key: str, position: bytes, value: object) -> None:
        self.key = key
        self.position = position
        self.value = value

    def wire(self) -> list[object]:
        return [LIST_INSERT, self.key, self.position, self.value]


@final
class ListMove(OperationFields):
    """Give ``item`` another position."""

    __slots__ = ("item", "position")

    kind: Final = LIST_MOVE

    def __init__(self, key: str, item: ItemReference, position: bytes) -> None:
        self.key = key
        self.item = item
        self.position = position

    def wire(self) -> list[object]:
        return [LIST_MOVE, self.key, self.item.wire(), self.position]


@final
class ListUpdate(OperationFields):
    """Give ``item`` another value."""

    __slots__ = ("item", "value")

    kind: Final = LIST_UPDATE

    def __init__(self, key: str, item: ItemReference, value: object) -> None:
        self.key = key
        self.item = item
        self.value = value

    def wire(self) -> list[object]:
        return [LIST_UPDATE, self.key, self.item.wire(), self.value]


@final
class ListDelete(OperationFields):
    """Remove ``item`` for ever."""

    __slots__ = ("item",)

    kind: Final = LIST_DELETE

    def __init__(self, key: str, item: ItemReference) -> None:
        self.key = key
        self.item = item

    def wire(self) -> list[object]:
        return [LIST_DELETE, self.key, self.item.wire()]


@final
class TextInsert(OperationFields):
    """Insert ``text`` before ``position``, in Unicode scalar values of the author's view."""

    __slots__ = ("position", "text")

    kind: Final = TEXT_INSERT

    def __init__(self, key: str, position: int, text: str) -> None:
        self.key = key
        self.position = position
        self.text = text

    def wire(self) -> list[object]:
        return [TEXT_INSERT, self.key, self.position, self.text]


@final
class TextDelete(OperationFields):
    """Delete ``length`` scalar values from ``position`` on, in the author's view."""

    __slots__ = ("length", "position")

    kind: Final = TEXT_DELETE

    def __init__(self, key: str, position: int, length: int) -> None:
        self.key = key
        self.position = position
        self.length = length

    def wire(self) -> list[object]:
        return [TEXT_DELETE, self.key, self.position, self.length]


@final
class UnknownOperation(OperationFields):
    """An operation of a kind this build does not know: valid, inert, kept as it came."""

    __slots__ = ("fields", "kind")

    def __init__(self, kind: int, key: str, fields: Sequence[object]) -> None:
        self.kind = kind
        self.key = key
        self.fields = list(fields)

    def wire(self) -> list[object]:
        return [self.kind, self.key, *self.fields]


Operation: TypeAlias = (
    MapSet
    | MapDelete
    | MapSetBlob
    | CounterAdd
    | ListInsert
    | ListMove
    | ListUpdate
    | ListDelete
    | TextInsert
    | TextDelete
    | UnknownOperation
)


def encode_body(operations: Sequence[Operation]) -> bytes:
    """The canonical body of ``operations``, in order.

    Raises `InvalidValueError` or `InvalidTypeError`, naming operation and field, for what cannot
    be valid.
    """
    of_node = operations if isinstance(operations, list) else list(operations)
    rows: list[object] = []
    only_text = True
    for index, operation in enumerate(of_node):
        problem = _problem(operation, index)
        if problem:
            raise InvalidValueError(f"operations[{index}], {operation!r}: {problem}")
        if isinstance(operation, TextInsert):
            rows.append([TEXT_INSERT, operation.key, operation.position, operation.text])
        elif isinstance(operation, TextDelete):
            rows.append([TEXT_DELETE, operation.key, operation.position, operation.length])
        else:
            only_text = False
            rows.append(operation.wire())
    return canonical.encode(rows, name="operations", is_checked=only_text)


def decode_body(body: bytes) -> list[Operation]:
    """The operations of a body. Raises `Reject` (body_invalid) for anything but a canonical one."""
    rows = canonical.decode_loosely(body)
    if not isinstance(rows, list):
        raise _invalid("a body is an array")
    operations: list[Operation] = []
    for index, row in enumerate(rows):
        if not isinstance(row, list):
            raise _invalid(f"operation {index}: not an array")
        operation = _from_wire(row)
        if operation is None:
            raise _invalid(f"operation {index}: not of the shape of its kind")
        problem = _problem(operation, index)
        if problem:
            raise _invalid(f"operation {index}: {problem}")
        if not isinstance(operation, TextInsert | TextDelete) and not canonical.is_canonical(
            row, _BODY_DEPTH
        ):
            raise _invalid(f"operation {index}: a value that has no canonical form")
        operations.append(operation)
    canonical.check_encoding(rows, body)
    return operations


def _invalid(message: str) -> Reject:
    return Reject(RejectClass.BODY_INVALID, message)


def _from_wire(row: list[object]) -> Operation | None:
    """The operation of an array, or None when a field is missing, left over or of another type."""
    size = len(row)
    if size < 2:
        return None
    kind = row[0]
    key = row[1]
    if type(kind) is not int or type(key) is not str:
        return None
    assert isinstance(kind, int)
    assert isinstance(key, str)
    if kind == TEXT_INSERT:
        if size != 4 or type(row[2]) is not int or type(row[3]) is not str:
            return None
        return TextInsert(key, row[2], row[3])
    if kind == TEXT_DELETE:
        if size != 4 or type(row[2]) is not int or type(row[3]) is not int:
            return None
        return TextDelete(key, row[2], row[3])
    if kind == MAP_SET:
        return MapSet(key, row[2]) if size == 3 else None
    if kind == MAP_DELETE:
        return MapDelete(key) if size == 2 else None
    if kind == MAP_SET_BLOB:
        if (
            size != 5
            or type(row[2]) is not bytes
            or type(row[3]) is not int
            or type(row[4]) is not str
        ):
            return None
        return MapSetBlob(key, row[2], row[3], row[4])
    if kind == COUNTER_ADD:
        if size != 3 or type(row[2]) is not int:
            return None
        return CounterAdd(key, row[2])
    if kind == LIST_INSERT:
        if size != 4 or type(row[2]) is not bytes:
            return None
        return ListInsert(key, row[2], row[3])
    if LIST_MOVE <= kind <= LIST_DELETE:
        item = _item_from_wire(row[2]) if size > 2 else None
        if item is None:
            return None
        if kind == LIST_DELETE:
            return ListDelete(key, item) if size == 3 else None
        if size != 4:
            return None
        if kind == LIST_UPDATE:
            return ListUpdate(key, item, row[3])
        return ListMove(key, item, row[3]) if type(row[3]) is bytes else None
    return UnknownOperation(kind, key, row[2:])


def _item_from_wire(field: object) -> ItemReference | None:
    if type(field) is int:
        return ItemReference(None, field)
    if type(field) is not list or len(field) != 2:
        return None
    node, operation_index = field
    if type(node) is not bytes or type(operation_index) is not int:
        return None
    return ItemReference(node, operation_index)


def _problem(operation: Operation, index: int) -> str:
    """What is wrong with the fields of the operation at ``index``, or nothing.

    Types are looked at too: uncompiled classes take what they are given.
    """
    problem = key_problem(operation.key)
    if problem:
        return f"key {operation.key!r}: {problem}"
    if isinstance(operation, TextInsert):
        if type(operation.text) is not str or not operation.text:
            return "text is not a str of at least one character"
        return _unsigned_problem("position", operation.position, 0)
    if isinstance(operation, TextDelete):
        problem = _unsigned_problem("position", operation.position, 0)
        return problem or _unsigned_problem("length", operation.length, 1)
    if isinstance(operation, MapSet | MapDelete):
        return ""
    if isinstance(operation, MapSetBlob):
        return _blob_problem(operation)
    if isinstance(operation, CounterAdd):
        if type(operation.amount) is not int or operation.amount == 0:
            return "amount is not an int other than 0"
        if abs(operation.amount) > MAX_COUNTER_AMOUNT:
            return f"amount beyond {MAX_COUNTER_AMOUNT}"
        return ""
    if isinstance(operation, ListInsert):
        return _position_problem(operation.position)
    if isinstance(operation, ListMove):
        return _item_problem(operation.item, index) or _position_problem(operation.position)
    if isinstance(operation, ListUpdate | ListDelete):
        return _item_problem(operation.item, index)
    if type(operation.kind) is not int or not FIRST_UNKNOWN_KIND <= operation.kind <= MAX_KIND:
        return f"kind {operation.kind!r} is not an int in {FIRST_UNKNOWN_KIND}..{MAX_KIND}"
    return ""


def _unsigned_problem(name: str, value: int, least: int) -> str:
    if type(value) is not int or not least <= value <= MAX_UNSIGNED:
        return f"{name} {value!r} is not an int in {least}..2^64-1"
    return ""


def _blob_problem(operation: MapSetBlob) -> str:
    if type(operation.hash) is not bytes or len(operation.hash) != BLOB_HASH_BYTES:
        return f"a blob's hash is {BLOB_HASH_BYTES} bytes"
    media_type = operation.media_type
    if type(media_type) is not str:
        return "media type is not a str"
    if len(media_type.encode(errors="replace")) > MAX_MEDIA_TYPE_BYTES:
        return f"media type longer than {MAX_MEDIA_TYPE_BYTES} bytes"
    return _unsigned_problem("size", operation.size_bytes, 0)


def _position_problem(position: bytes) -> str:
    if type(position) is not bytes or not 1 <= len(position) <= MAX_LIST_POSITION_BYTES:
        return f"a list position is 1 to {MAX_LIST_POSITION_BYTES} bytes"
    return ""


def _item_problem(item: ItemReference, index: int) -> str:
    if item.node is None:
        if type(item.operation_index) is not int or not 0 <= item.operation_index < index:
            return "an item of the same node is named by the index of an earlier operation"
        return ""
    if type(item.node) is not bytes or len(item.node) != NODE_ID_BYTES:
        return f"an item's node id is {NODE_ID_BYTES} bytes"
    return _unsigned_problem("item's operation index", item.operation_index, 0)
