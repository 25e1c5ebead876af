"""The bodies block of the columns layout: text edits as columns, every other body as it is.

One tag byte an edit says what cannot be predicted from the edit before it on the same key; equal
tags are run lengths. Bodies the columns cannot say, and bodies that are no bodies at all, travel
as they are in the escape column: each must reach its own judgement on the other side.
"""

from typing import Final, final

from roomlog.core.errors import InvalidValueError
from roomlog.core.node import MERGE, Node
from roomlog.core.operation import (
    EMPTY_BODY,
    MAX_UNSIGNED,
    Operation,
    TextDelete,
    TextInsert,
    check_key,
)
from roomlog.core.pack.msgpack_pieces import ASCII_CHARACTER, array_header, string, unsigned
from roomlog.core.pack.varint import Reader, append_uvarint, broken
from roomlog.core.reject import Reject

MAX_OPERATIONS: Final = 262_144
"""Operations in one columns pack: a few bytes of run lengths must not become millions."""
FREE_OPERATIONS_A_NODE: Final = 64
"""Beyond these, each operation in columns costs a byte: who is granted nodes and bytes to push is
not to be read for longer than they are worth."""
MAX_REBUILT_BYTES: Final = 16 * 1024 * 1024
"""Bytes of bodies that one columns pack may be rebuilt to, escaped ones not counted."""

_DELETE: Final = 1
_LENGTH: Final = 2
_POSITION: Final = 4
_KEY: Final = 8
_LAST: Final = 16
_FIELDS: Final = _LENGTH | _POSITION | _KEY
_TAG_BITS: Final = 5
_TAG_MASK: Final = 31
_LONG_RUN: Final = 7
_MAX_POSITION: Final = 1 << 61
"""Larger positions and lengths are escaped, so that no difference of two needs a sign bit more."""


def operations_limit(count: int, block_bytes: int) -> int:
    """How many operations the columns of a pack of ``count`` nodes may hold."""
    return min(MAX_OPERATIONS, FREE_OPERATIONS_A_NODE * count + block_bytes)


@final
class BodyColumnsWriter:
    """Collects the columns of one pack."""

    def __init__(self) -> None:
        self._tags = bytearray()
        self._fields = bytearray()
        self._texts: list[str] = []
        self._keys: dict[str, int] = {}
        self._cursors: list[int] = []
        self._key_index = 0
        self._escapes = bytearray()
        self._escape_count = 0
        self._escaped_bodies: list[bytes] = []
        self._gap = 0
        self._tag = -1
        self._run = 0
        self._count = 0
        self._operations = 0
        self._bytes_left = MAX_REBUILT_BYTES

    def add(self, node: Node) -> bool:
        """Write the body of the next node. False when the pack grows beyond what columns take."""
        self._count += 1
        body = node.body
        if body is None:
            self._escape(None)
            return True
        try:
            operations = node.operations()
        except Reject:
            self._escape(body)
            return True
        if node.kind == MERGE:
            if operations:
                self._escape(body)
            else:
                self._gap += 1
            return True
        if not _are_columnar(operations):
            self._escape(body)
            return True
        self._gap += 1
        self._operations += len(operations)
        self._bytes_left -= len(body)
        if self._operations > MAX_OPERATIONS or self._bytes_left < 0:
            return False
        last = len(operations) - 1
        for index, operation in enumerate(operations):
            if isinstance(operation, TextInsert):
                self._add_insert(operation, index == last)
            else:
                assert isinstance(operation, TextDelete)
                self._add_delete(operation, index == last)
        return True

    def encode(self) -> bytes | None:
        """The bodies block, None when it says more operations than so few bytes may."""
        self._end_run()
        text = "".join(self._texts).encode()
        out = bytearray()
        append_uvarint(out, len(self._keys))
        for key in self._keys:
            data = key.encode()
            append_uvarint(out, len(data))
            out += data
        append_uvarint(out, self._escape_count)
        out += self._escapes
        append_uvarint(out, len(text))
        append_uvarint(out, len(self._tags))
        append_uvarint(out, len(self._fields))
        out += text
        out += self._tags
        out += self._fields
        for body in self._escaped_bodies:
            out += body
        if self._operations > operations_limit(self._count, len(out)):
            return None
        return bytes(out)

    def _escape(self, body: bytes | None) -> None:
        append_uvarint(self._escapes, self._gap)
        append_uvarint(self._escapes, 0 if body is None else len(body) + 1)
        if body is not None:
            self._escaped_bodies.append(body)
        self._escape_count += 1
        self._gap = 0

    def _add_insert(self, operation: TextInsert, is_last: bool) -> None:
        length = len(operation.text)
        key_index = self._index_of(operation.key)
        delta = operation.position - self._cursors[key_index]
        self._cursors[key_index] = operation.position + length
        self._texts.append(operation.text)
        self._add(_LAST if is_last else 0, key_index, delta, length)

    def _add_delete(self, operation: TextDelete, is_last: bool) -> None:
        length = operation.length
        key_index = self._index_of(operation.key)
        delta = operation.position + length - self._cursors[key_index]
        self._cursors[key_index] = operation.position
        self._add(_LAST | _DELETE if is_last else _DELETE, key_index, delta, length)

    def _index_of(self, key: str) -> int:
        index = self._keys.get(key, -1)
        if index < 0:
            index = len(self._keys)
            self._keys[key] = index
            self._cursors.append(0)
        return index

    def _add(self, tag: int, key_index: int, delta: int, length: int) -> None:
        fields = self._fields
        if key_index != self._key_index:
            tag |= _KEY
            self._key_index = key_index
            append_uvarint(fields, key_index)
        if delta:
            tag |= _POSITION
            append_uvarint(fields, delta << 1 if delta > 0 else (-delta << 1) - 1)
        if length != 1:
            tag |= _LENGTH
            append_uvarint(fields, length)
        if tag == self._tag:
            self._run += 1
            return
        self._end_run()
        self._tag = tag
        self._run = 1

    def _end_run(self) -> None:
        run = self._run
        if run > _LONG_RUN:
            self._tags.append(self._tag | _LONG_RUN << _TAG_BITS)
            append_uvarint(self._tags, run - _LONG_RUN - 1)
        elif run:
            self._tags.append(self._tag | (run - 1) << _TAG_BITS)


def _are_columnar(operations: list[Operation]) -> bool:
    for operation in operations:
        if isinstance(operation, TextInsert):
            if operation.position > _MAX_POSITION:
                return False
        elif isinstance(operation, TextDelete):
            if operation.position > _MAX_POSITION or operation.length > _MAX_POSITION:
                return False
        else:
            return False
    return bool(operations)


@final
class BodyColumnsReader:
    """Rebuilds the bodies of ``count`` nodes one after the other, and their operations too."""

    def __init__(self, block: bytes, count: int) -> None:
        reader = Reader(block, 0, len(block))
        self.operations: list[Operation] | None = None
        """Of the last body, None when it was escaped."""
        self._keys: list[str] = []
        self._insert_prefixes: list[bytes] = []
        self._delete_prefixes: list[bytes] = []
        self._cursors: list[int] = []
        self._read_keys(reader)
        self._key_index = 0
        self._gaps: list[int] = []
        self._escape_sizes: list[int] = []
        for _ in range(reader.bounded_count(2)):
            self._gaps.append(reader.uvarint())
            self._escape_sizes.append(reader.uvarint())
        self._gaps.append(-1)
        self._escape = 0
        self._until_escape = self._gaps[0]
        text_bytes = reader.uvarint()
        tags_bytes = reader.uvarint()
        fields_bytes = reader.uvarint()
        try:
            self._text = reader.take(text_bytes).decode()
        except UnicodeDecodeError:
            raise broken("text is not UTF-8") from None
        self._text_position = 0
        self._tags = reader.sub_reader(tags_bytes)
        self._fields = reader.sub_reader(fields_bytes)
        self._escaped = reader
        self._tag = 0
        self._run = 0
        self._operations_left = operations_limit(count, len(block))
        self._bytes_left = MAX_REBUILT_BYTES

    def _read_keys(self, reader: Reader) -> None:
        for _ in range(reader.bounded_count(2)):
            try:
                key = reader.take(reader.uvarint()).decode()
                check_key(key)
            except (UnicodeDecodeError, InvalidValueError):
                raise broken("key") from None
            encoded = string(key)
            self._keys.append(key)
            self._insert_prefixes.append(b"\x94\x09" + encoded)
            self._delete_prefixes.append(b"\x94\x0a" + encoded)
            self._cursors.append(0)

    def next(self, is_merge: bool) -> bytes | None:
        """The body of the next node, None when it was left out. Raises `Reject`."""
        if self._until_escape == 0:
            return self._next_escaped()
        self._until_escape -= 1
        if is_merge:
            self.operations = []
            return EMPTY_BODY
        operations: list[Operation] = []
        self.operations = operations
        piece = self._next_piece(operations)
        if self._tag & _LAST:
            return b"\x91" + piece
        pieces = [b"", piece]
        while not self._tag & _LAST:
            pieces.append(self._next_piece(operations))
        pieces[0] = array_header(len(operations))
        return b"".join(pieces)

    def finish(self) -> None:
        """Raise `Reject` unless every column was read to its end."""
        if self._run or self._text_position != len(self._text) or self._gaps[self._escape] >= 0:
            raise broken("bytes left over")
        self._tags.finish()
        self._fields.finish()
        self._escaped.finish()

    def _next_escaped(self) -> bytes | None:
        size = self._escape_sizes[self._escape]
        self._escape += 1
        self._until_escape = self._gaps[self._escape]
        self.operations = None
        return None if size == 0 else self._escaped.take(size - 1)

    def _next_piece(self, operations: list[Operation]) -> bytes:
        """Read one operation, append it to ``operations`` and return its bytes."""
        if self._run == 0:
            self._next_run()
        self._run -= 1
        tag = self._tag
        length = 1
        delta = 0
        if tag & _FIELDS:
            fields = self._fields
            if tag & _KEY:
                self._key_index = fields.uvarint()
            if tag & _POSITION:
                zigzag = fields.uvarint()
                delta = -((zigzag + 1) >> 1) if zigzag & 1 else zigzag >> 1
            if tag & _LENGTH:
                length = fields.uvarint()
                if length == 0:
                    raise broken("length")
        key_index = self._key_index
        if key_index >= len(self._keys):
            raise broken("key")
        if tag & _DELETE:
            position = self._cursors[key_index] - length + delta
            self._cursors[key_index] = position
            if not 0 <= position <= MAX_UNSIGNED:
                raise broken("position")
            operations.append(TextDelete(self._keys[key_index], position, length))
            piece = self._delete_prefixes[key_index] + unsigned(position) + unsigned(length)
        else:
            position = self._cursors[key_index] + delta
            self._cursors[key_index] = position + length
            if not 0 <= position <= MAX_UNSIGNED:
                raise broken("position")
            start = self._text_position
            if length > len(self._text) - start:
                raise broken("text")
            self._text_position = start + length
            if length == 1:
                text = self._text[start]
                code = ord(text)
                encoded = ASCII_CHARACTER[code] if code < 0x80 else string(text)
            else:
                text = self._text[start : start + length]
                encoded = string(text)
            operations.append(TextInsert(self._keys[key_index], position, text))
            piece = self._insert_prefixes[key_index] + unsigned(position) + encoded
        self._operations_left -= 1
        self._bytes_left -= len(piece)
        if self._operations_left < 0 or self._bytes_left < 0:
            raise broken("more operations than a pack may hold")
        return piece

    def _next_run(self) -> None:
        tags = self._tags
        byte = tags.byte()
        run = byte >> _TAG_BITS
        self._tag = byte & _TAG_MASK
        self._run = tags.uvarint() + _LONG_RUN + 1 if run == _LONG_RUN else run + 1
