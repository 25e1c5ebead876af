"""Edits that are not committed yet: applied to the state at once, kept as the next nodes' bodies.

The next node's local version is known beforehand, so nothing has to be applied again when it is
written. What exceeds a node's size goes on in the next one, which is numbered beforehand too.
"""

from typing import Final, final

from roomlog.core import canonical
from roomlog.core.clock import greatest_clock, next_clock
from roomlog.core.crdt.list import ListItem, Placement, place
from roomlog.core.crdt.list.placement import SUFFIX_BYTES
from roomlog.core.crdt.map import ABSENT, BLOB, VALUE, BlobReference
from roomlog.core.errors import InvalidValueError, NotSubscribedError, RoomlogError
from roomlog.core.graph import Graph
from roomlog.core.hashing import hash_bytes
from roomlog.core.node import FIXED_PREFIX_BYTES, MAX_NODE_BYTES, MAX_PARENTS
from roomlog.core.operation import (
    MAX_COUNTER_AMOUNT,
    MAX_LIST_POSITION_BYTES,
    TEXT_DELETE,
    TEXT_INSERT,
    CounterAdd,
    ItemReference,
    ListDelete,
    ListInsert,
    ListMove,
    ListUpdate,
    MapDelete,
    MapSet,
    MapSetBlob,
    Operation,
    TextDelete,
    TextInsert,
    check_key,
    encode_body,
)
from roomlog.core.state import COUNTER, LIST, MAP, State
from roomlog.core.undo.recorder import EditRecorder

BODY_BUDGET_BYTES: Final = MAX_NODE_BYTES - FIXED_PREFIX_BYTES - 32 * (MAX_PARENTS + 1) - 8
"""What the operations of one node may take together, whatever its parents will be."""

_FIELDS_BYTES: Final = 64
"""No operation's headers, numbers and item reference take more than this."""

_LONGEST_JUMP: Final = 1 << 12
"""A list item starts its run up to this many steps from its neighbour, so that the next items of
several authors at one place stay apart as well."""

_VALUE_DEPTH: Final = 2


@final
class Segment:
    """The operations of one node to be, and its local version."""

    __slots__ = ("lv", "operations", "references")

    def __init__(self, lv: int) -> None:
        self.lv = lv
        self.operations: list[Operation] = []
        self.references: list[tuple[ItemReference, int]] = []
        """References to items that an earlier segment inserts, by its local version."""


@final
class _PlacedItem:
    """A position chosen in the open nodes, whose suffix is replaced when the clock is known."""

    __slots__ = ("item", "operation", "suffix_end")

    def __init__(self, item: ListItem, operation: ListInsert | ListMove, suffix_end: int) -> None:
        self.item = item
        self.operation = operation
        self.suffix_end = suffix_end


@final
class OpenEdits:
    """The one place where local edits are checked, applied and gathered.

    Every method checks first: when it raises, nothing has changed.
    """

    def __init__(self, graph: Graph, state: State, author: bytes | None) -> None:
        self.graph = graph
        self.state = state
        self.recorder: EditRecorder | None = None
        self._author = author
        self._lv = -1
        self._segment = Segment(-1)
        self._closed: list[Segment] = []
        self._size_bytes = 0
        self._first_lv = -1
        self._suffix = b""
        self._distance = 1
        self._placed: list[_PlacedItem] = []
        # The text edit that the next one may continue.
        self._run_kind = 0
        self._run_key = ""
        self._run_position = 0
        self._run_end = 0
        self._run_text: list[str] = []

    @property
    def is_open(self) -> bool:
        """Whether there is anything to commit."""
        return self._lv >= 0

    @property
    def lv(self) -> int:
        """The local version of the node that the next edit goes into, -1 while none is open."""
        return self._lv

    @property
    def operation_count(self) -> int:
        """How many operations a commit would write now."""
        count = len(self._segment.operations) + (1 if self._run_kind else 0)
        for segment in self._closed:
            count += len(segment.operations)
        return count

    def close(self) -> list[Segment]:
        """What a commit shall write, in order. It stays open until `clear` says it is written."""
        self._close_run()
        return [*self._closed, self._segment]

    def clear(self) -> None:
        """Forget everything: it is history now, or shall be forgotten."""
        self._close_run()
        self._closed = []
        self._segment = Segment(-1)
        self._placed.clear()
        self._lv = -1
        if self.recorder is not None:
            self.recorder.forget_open(len(self.graph))

    def settle_positions(self, clock: int) -> None:
        """Give the list positions just chosen the suffix of the nodes' first ``clock``.

        The order stays: a suffix follows a fraction that already differs from both neighbours.
        """
        if self._placed:
            suffix = self._suffix = self._suffix_of(clock)
            for placed in self._placed:
                end = placed.suffix_end
                old = placed.operation.position
                new = old[: end - SUFFIX_BYTES] + suffix + old[end:]
                placed.operation.position = new
                if placed.item.position == old:
                    placed.item.position = new

    def check_writable(self, key: str) -> None:
        """Raise `NotSubscribedError` for a key whose state is not held here."""
        readable = self.state.readable
        if readable is not None and not readable.matches(key):
            raise NotSubscribedError(key)

    # Maps

    def map_set(self, key: str, value: object) -> None:
        """Write a register."""
        check_key(key)
        self.check_writable(key)
        encoded = canonical.encode(value, enclosing_depth=_VALUE_DEPTH)
        copy = _copy(value, encoded)
        operation = MapSet(key, copy)
        self._write(key, VALUE, copy, self._add(operation, len(encoded)))

    def map_delete(self, key: str) -> None:
        """Empty a register."""
        check_key(key)
        self.check_writable(key)
        self._write(key, ABSENT, None, self._add(MapDelete(key), 0))

    def map_set_blob(self, key: str, blob: BlobReference) -> None:
        """Let a register refer to a blob."""
        operation = MapSetBlob(key, blob.hash, blob.size_bytes, blob.media_type)
        encode_body([operation])
        self.check_writable(key)
        self._write(key, BLOB, blob, self._add(operation, 300))

    def _write(self, key: str, content: int, value: object, index: int) -> None:
        if self.recorder is not None:
            self.recorder.map_writing(key, self._lv, index)
        self.state.maps.write(key, content, value, self._lv, index)
        self.state.touch(MAP, key)

    # Counters

    def counter_add(self, key: str, amount: int) -> None:
        """Add to a counter; nothing is written for 0."""
        check_key(key)
        self.check_writable(key)
        if abs(amount) > MAX_COUNTER_AMOUNT:
            raise InvalidValueError(f"amount: {amount} is outside -2^53..2^53")
        if amount == 0:
            return
        self._add(CounterAdd(key, amount), 0)
        self.state.counters.add(key, amount)
        self.state.touch(COUNTER, key)
        if self.recorder is not None:
            self.recorder.counter_added(key, amount, self._lv)

    # Lists: indexes are in range already.

    def list_insert(self, key: str, index: int, value: object) -> None:
        """Insert ``value`` so that it becomes item ``index``, 0 to the length."""
        check_key(key)
        self.check_writable(key)
        encoded = canonical.encode(value, enclosing_depth=_VALUE_DEPTH)
        copy = _copy(value, encoded)
        self._reserve(key, len(encoded) + MAX_LIST_POSITION_BYTES)
        items = self.state.open_list(key)
        placement = self._make_place(key, index)
        operation = ListInsert(key, placement.position, copy)
        operation_index = self._add(operation, len(encoded) + MAX_LIST_POSITION_BYTES)
        item = items.apply_insert(self._lv, operation_index, placement.position, copy)
        self._note_placed(item, operation, placement.run_prefix_bytes)
        self.state.touch(LIST, key)
        if self.recorder is not None:
            self.recorder.item_inserted(key, item)

    def list_update(self, key: str, index: int, value: object) -> None:
        """Give item ``index`` another value."""
        self.check_writable(key)
        items = self.state.lists[key]
        item = items.order.at(index)
        encoded = canonical.encode(value, enclosing_depth=_VALUE_DEPTH)
        copy = _copy(value, encoded)
        self._reserve(key, len(encoded))
        operation_index = self._add(ListUpdate(key, self._reference(item), copy), len(encoded))
        if self.recorder is not None:
            self.recorder.item_updating(key, item, self._lv, operation_index)
        items.apply_update(item, copy, self._lv, operation_index)
        self.state.touch(LIST, key)

    def list_delete(self, key: str, index: int) -> None:
        """Delete item ``index``."""
        self.check_writable(key)
        items = self.state.lists[key]
        item = items.order.at(index)
        self._reserve(key, 0)
        self._add(ListDelete(key, self._reference(item)), 0)
        if self.recorder is not None:
            self.recorder.item_deleting(key, item, index, self._lv)
        items.apply_delete(item)
        self.state.touch(LIST, key)

    def list_move(self, key: str, index: int, target: int) -> None:
        """Move item ``index`` so that it becomes item ``target``."""
        if index == target:
            return
        self.check_writable(key)
        items = self.state.lists[key]
        item = items.order.at(index)
        self._reserve(key, MAX_LIST_POSITION_BYTES)
        if self.recorder is not None:
            self.recorder.item_moving(key, item, index)
        items.order.remove(item)
        try:
            placement = self._make_place(key, target)
        finally:
            items.order.insert(item)
        prefix_bytes = placement.run_prefix_bytes
        self._write_move(key, item, placement.position, prefix_bytes, is_shift=False)

    # Texts

    def text_insert(self, key: str, position: int, text: str) -> None:
        """Insert ``text`` before ``position``, in scalar values; nothing is written for ""."""
        size_bytes = len(text)
        if not text.isascii():
            size_bytes = _scalar_bytes(text)
        state = self.state.texts.get(key)
        if state is None:
            check_key(key)
            self.check_writable(key)
        length = 0 if state is None else len(state.document)
        if position < 0 or position > length:
            raise IndexError(f"position: {position} is outside a text of length {length}")
        if size_bytes == 0:
            return
        if self._lv < 0:
            self._begin()
        if self._size_bytes + size_bytes > BODY_BUDGET_BYTES - _FIELDS_BYTES - 4 * len(key):
            self._insert_in_pieces(key, position, text)
            return
        if state is None or not state.changed:
            state = self.state.open_text(key)
        state.document.insert(self._lv, position, text)
        if self.recorder is not None:
            self.recorder.text_inserted(key, position, len(text), self._lv)
        self._size_bytes += size_bytes
        if self._run_kind == TEXT_INSERT and position == self._run_end and key == self._run_key:
            self._run_text.append(text)
            self._run_end = position + len(text)
            return
        self._close_run()
        self._run_kind = TEXT_INSERT
        self._run_key = key
        self._run_position = position
        self._run_end = position + len(text)
        self._run_text.append(text)
        self._size_bytes += _FIELDS_BYTES + 4 * len(key)

    def text_delete(self, key: str, position: int, length: int) -> None:
        """Delete ``length`` scalar values from ``position`` on; nothing is written for 0."""
        state = self.state.texts.get(key)
        if state is None:
            self.check_writable(key)
        text_length = 0 if state is None else len(state.document)
        if position < 0 or position > text_length:
            raise IndexError(f"position: {position} is outside a text of length {text_length}")
        if length < 0 or position + length > text_length:
            raise IndexError(f"length: {position}..{position + length} is outside the text")
        if state is None or length == 0:
            return
        if self._lv < 0:
            self._begin()
        if self._size_bytes + _FIELDS_BYTES + 4 * len(key) > BODY_BUDGET_BYTES:
            self._next_segment()
        if not state.changed:
            state = self.state.open_text(key)
        if self.recorder is not None:
            self.recorder.text_deleting(key, position, length, self._lv)
        state.document.delete(self._lv, position, length)
        # What a run took is gone from its position; a range that reaches there adjoins it.
        if (
            self._run_kind == TEXT_DELETE
            and position <= self._run_position <= position + length
            and key == self._run_key
        ):
            self._run_position = position
            self._run_end += length
            return
        self._close_run()
        self._run_kind = TEXT_DELETE
        self._run_key = key
        self._run_position = position
        self._run_end = length
        self._size_bytes += _FIELDS_BYTES + 4 * len(key)

    def check_text(self, text: str) -> None:
        """Raise `InvalidValueError` for a text that cannot be written."""
        if not text.isascii():
            _scalar_bytes(text)

    def _insert_in_pieces(self, key: str, position: int, text: str) -> None:
        """Insert a text that does not fit into what is left of the open node."""
        self._next_segment()
        room = BODY_BUDGET_BYTES - _FIELDS_BYTES - 4 * len(key)
        piece_length = room if text.isascii() else room // 4
        for start in range(0, len(text), piece_length):
            piece = text[start : start + piece_length]
            if self._size_bytes + 4 * len(piece) > room:
                self._next_segment()
            self.text_insert(key, position + start, piece)

    # Gathering

    def _begin(self) -> None:
        author = self._author
        if author is None:
            raise RoomlogError("a replica without an identity cannot write")
        graph = self.graph
        self._lv = self._first_lv = len(graph) + merges_before(len(graph.frontier))
        self._segment = Segment(self._lv)
        self._size_bytes = 0
        self._suffix = b""

    def _next_segment(self) -> None:
        """Go on in the node after this one; what is open in this one stays in it."""
        self._close_run()
        if self._segment.operations:
            self._closed.append(self._segment)
            self._lv += 1
            self._segment = Segment(self._lv)
        self._size_bytes = 0

    def _reserve(self, key: str, payload_bytes: int) -> None:
        """Make sure that an operation with this payload fits, in this node or in the next."""
        size_bytes = payload_bytes + _FIELDS_BYTES + 4 * len(key)
        if size_bytes > BODY_BUDGET_BYTES:
            raise InvalidValueError(
                f"value: {payload_bytes} bytes encoded are more than one node can hold"
            )
        if self._lv < 0:
            self._begin()
        if self._size_bytes + size_bytes > BODY_BUDGET_BYTES:
            self._next_segment()

    def _add(self, operation: Operation, payload_bytes: int) -> int:
        """Put an operation that is not a text's into the open node; its index there."""
        self._reserve(operation.key, payload_bytes)
        self._close_run()
        self._size_bytes += payload_bytes + _FIELDS_BYTES + 4 * len(operation.key)
        operations = self._segment.operations
        operations.append(operation)
        return len(operations) - 1

    def _close_run(self) -> None:
        kind = self._run_kind
        if kind == TEXT_INSERT:
            parts = self._run_text
            text = parts[0] if len(parts) == 1 else "".join(parts)
            self._segment.operations.append(TextInsert(self._run_key, self._run_position, text))
            self._run_text = []
        elif kind == TEXT_DELETE:
            self._segment.operations.append(
                TextDelete(self._run_key, self._run_position, self._run_end)
            )
        self._run_kind = 0

    def _reference(self, item: ListItem) -> ItemReference:
        """The name of an item in an operation of the open node."""
        lv = item.lv
        if lv < self._first_lv:
            return ItemReference(self.graph.id_of(lv), item.operation_index)
        reference = ItemReference(None, item.operation_index)
        if lv != self._lv:
            self._segment.references.append((reference, lv))
        return reference

    # Positions

    def _make_place(self, key: str, index: int) -> Placement:
        """The place before ``order[index]``, after moving neighbours away where it must be."""
        order = self.state.lists[key].order
        if not self._suffix:
            self._suffix = self._suffix_of(next_clock(None, self._greatest_clock()))
            # Any spread will do: it only keeps authors apart.
            self._distance = 1 + int.from_bytes(self._suffix[:2], "big") % _LONGEST_JUMP
        left = order.at(index - 1) if index > 0 else None
        right = order.at(index) if index < len(order) else None
        from_upper = left is not None and right is not None and right.position_lv > left.position_lv
        neighbour = right if from_upper or left is None else left
        distance = self._distance
        if (
            neighbour is not None
            and neighbour.position_lv < self._first_lv
            and self.graph.author_of(neighbour.position_lv) == self._author
        ):
            distance = 1
        placement = place(
            order, index, self._suffix, self._first_lv, distance, from_upper=from_upper
        )
        for item, position, run_prefix_bytes in placement.shifted:
            self._write_move(key, item, position, run_prefix_bytes, is_shift=True)
        return placement

    def _write_move(
        self, key: str, item: ListItem, position: bytes, run_prefix_bytes: int, *, is_shift: bool
    ) -> None:
        # Which node the operation goes into decides how it names the item.
        self._reserve(key, MAX_LIST_POSITION_BYTES)
        operation = ListMove(key, self._reference(item), position)
        index = self._add(operation, MAX_LIST_POSITION_BYTES)
        if self.recorder is not None:
            self.recorder.item_placing(key, item, self._lv, index, is_shift)
        self.state.lists[key].place(item, position, self._lv, index)
        self._note_placed(item, operation, run_prefix_bytes)
        self.state.touch(LIST, key)

    def _note_placed(
        self, item: ListItem, operation: ListInsert | ListMove, run_prefix_bytes: int
    ) -> None:
        item.run_prefix_bytes = run_prefix_bytes
        self._placed.append(_PlacedItem(item, operation, run_prefix_bytes))

    def _suffix_of(self, clock: int) -> bytes:
        assert self._author is not None
        return hash_bytes(self._author + clock.to_bytes(8, "big"))[:SUFFIX_BYTES]

    def _greatest_clock(self) -> int:
        return greatest_clock(self.graph, self.graph.frontier)


def merges_before(head_count: int) -> int:
    """How many merge nodes must be written before a node can have ``head_count`` heads in view."""
    if head_count <= MAX_PARENTS:
        return 0
    # Each merge takes up to 64 heads and leaves one.
    return -(-(head_count - MAX_PARENTS) // (MAX_PARENTS - 1))


def _copy(value: object, encoded: bytes) -> object:
    """A copy that the caller cannot reach, for the values that could change."""
    kind = type(value)
    if kind is str or kind is int or kind is bytes or kind is bool or value is None:
        return value
    return canonical.decode(encoded)


def _scalar_bytes(text: str) -> int:
    try:
        return len(text.encode())
    except UnicodeEncodeError as error:
        raise InvalidValueError(f"text: lone surrogate at {error.start}") from None
