"""The headers block of the columns layout: authors, parents and clocks, each as one column."""

from collections.abc import Sequence
from typing import Final, final

from roomlog.core.hashing import HASH_BYTES
from roomlog.core.node import CHANGE, MERGE, Node
from roomlog.core.pack.varint import Reader, append_uvarint, broken
from roomlog.core.signing import PUBLIC_KEY_BYTES

_COUNTER_BITS: Final = 11
_COUNTER_MASK: Final = (1 << _COUNTER_BITS) - 1
_MAX_PARENT_COUNT: Final = 255
_MAX_CLOCK: Final = (1 << 64) - 1


def fits_columns(node: Node) -> bool:
    """Whether the header of ``node`` can be written in columns: all but malformed ones can."""
    return node.fault is None and node.kind in (CHANGE, MERGE)


@final
class ParentReferences:
    """The parents of a node that is not just a change on top of the node before it."""

    __slots__ = ("is_merge", "references")

    def __init__(self, references: list[int], is_merge: bool) -> None:
        self.references = references
        """Indexes of earlier nodes of the pack, or ``-1 - e`` for external id ``e``."""
        self.is_merge = is_merge


@final
class HeaderColumns:
    """Decoded columns, one element a node."""

    __slots__ = ("authors", "clocks", "external", "parents")

    def __init__(
        self,
        authors: list[bytes],
        clocks: list[int],
        external: list[bytes],
        parents: list[ParentReferences | None],
    ) -> None:
        self.authors = authors
        self.clocks = clocks
        self.external = external
        self.parents = parents


def encode_header_columns(nodes: Sequence[Node]) -> bytes:
    """The headers block. Every node must fit columns."""
    out = bytearray()
    _encode_authors(out, nodes)
    _encode_parents(out, nodes)
    _encode_clocks(out, nodes)
    return bytes(out)


def decode_header_columns(block: bytes, count: int) -> HeaderColumns:
    """The columns of ``count`` nodes; the caller has bounded ``count``. Raises `Reject`."""
    reader = Reader(block, 0, len(block))
    authors = _decode_authors(reader, count)
    external = _decode_ids(reader)
    parents = _decode_parents(reader, count, len(external))
    clocks = _decode_clocks(reader, count)
    reader.finish()
    return HeaderColumns(authors, clocks, external, parents)


def _encode_authors(out: bytearray, nodes: Sequence[Node]) -> None:
    indexes: dict[bytes, int] = {}
    runs = bytearray()
    current = b""
    run = 0
    for node in nodes:
        if node.author == current:
            run += 1
            continue
        if run:
            append_uvarint(runs, indexes[current])
            append_uvarint(runs, run)
        current = node.author
        indexes.setdefault(current, len(indexes))
        run = 1
    append_uvarint(out, len(indexes))
    for author in indexes:
        out += author
    if len(indexes) > 1:
        append_uvarint(runs, indexes[current])
        append_uvarint(runs, run)
        out += runs


def _decode_authors(reader: Reader, count: int) -> list[bytes]:
    table: list[bytes] = []
    for _ in range(reader.bounded_count(PUBLIC_KEY_BYTES)):
        table.append(reader.take(PUBLIC_KEY_BYTES))
    if len(table) == 1:
        return table * count
    authors: list[bytes] = []
    while len(authors) < count:
        index = reader.uvarint()
        run = reader.uvarint()
        if index >= len(table) or not 1 <= run <= count - len(authors):
            raise broken("author run")
        authors += [table[index]] * run
    return authors


def _encode_parents(out: bytearray, nodes: Sequence[Node]) -> None:
    external: dict[bytes, int] = {}
    positions: dict[bytes, int] | None = None
    references = bytearray()
    gap = 0
    previous = b""
    for index, node in enumerate(nodes):
        parents = node.parents
        if len(parents) == 1 and parents[0] == previous and node.kind == CHANGE:
            gap += 1
            previous = node.id
            continue
        if positions is None:
            positions = {known.id: position for position, known in enumerate(nodes)}
        append_uvarint(references, gap)
        append_uvarint(references, len(parents) << 1 | (1 if node.kind == MERGE else 0))
        for parent in parents:
            position = positions.get(parent, index)
            if position < index:
                append_uvarint(references, (index - 1 - position) << 1)
            else:
                append_uvarint(references, external.setdefault(parent, len(external)) << 1 | 1)
        gap = 0
        previous = node.id
    append_uvarint(out, len(external))
    for parent in external:
        out += parent
    out += references
    if gap:
        append_uvarint(out, gap)


def _decode_ids(reader: Reader) -> list[bytes]:
    ids: list[bytes] = []
    for _ in range(reader.bounded_count(HASH_BYTES)):
        ids.append(reader.take(HASH_BYTES))
    return ids


def _decode_parents(
    reader: Reader, count: int, external_count: int
) -> list[ParentReferences | None]:
    parents: list[ParentReferences | None] = [None] * count
    index = 0
    while index < count:
        gap = reader.uvarint()
        if index == 0 and gap:
            raise broken("the first node has no node before it")
        if gap >= count - index:
            if gap > count - index:
                raise broken("parent run")
            break
        index += gap
        shape = reader.uvarint()
        if shape >> 1 > _MAX_PARENT_COUNT:
            raise broken("parent count")
        references: list[int] = []
        for _ in range(shape >> 1):
            reference = reader.uvarint()
            target = reference >> 1
            if reference & 1:
                if target >= external_count:
                    raise broken("external parent")
                references.append(-1 - target)
            else:
                if target >= index:
                    raise broken("parent before the first node")
                references.append(index - 1 - target)
        parents[index] = ParentReferences(references, shape & 1 == 1)
        index += 1
    return parents


def _encode_clocks(out: bytearray, nodes: Sequence[Node]) -> None:
    previous_ms = 0
    previous_counter = -1
    previous_token = 1
    repeats = 0
    for node in nodes:
        clock = node.clock
        ms = clock >> _COUNTER_BITS
        counter = clock & _COUNTER_MASK
        delta_ms = ms - previous_ms
        token = 1 + (delta_ms << 2 if delta_ms >= 0 else (-delta_ms << 2) - 2)
        if counter != (0 if delta_ms else previous_counter + 1):
            token += 1
        elif token == previous_token:
            repeats += 1
            previous_ms = ms
            previous_counter = counter
            continue
        if repeats:
            out.append(0)
            append_uvarint(out, repeats)
            repeats = 0
        append_uvarint(out, token)
        if token & 1 == 0:
            append_uvarint(out, counter)
        else:
            previous_token = token
        previous_ms = ms
        previous_counter = counter
    if repeats:
        out.append(0)
        append_uvarint(out, repeats)


def _decode_clocks(reader: Reader, count: int) -> list[int]:
    clocks: list[int] = []
    ms = 0
    counter = -1
    token = 1
    while len(clocks) < count:
        read = reader.uvarint()
        repeats = 1
        if read == 0:
            repeats = reader.uvarint()
            if not 1 <= repeats <= count - len(clocks):
                raise broken("clock run")
        elif read & 1:
            token = read
        delta_ms = _delta(token if read == 0 else read)
        for _ in range(repeats):
            ms += delta_ms
            if read == 0 or read & 1:
                counter = 0 if delta_ms else counter + 1
            else:
                counter = reader.uvarint()
            clock = (ms << _COUNTER_BITS) + counter
            if counter > _COUNTER_MASK or not 0 <= clock <= _MAX_CLOCK:
                raise broken("clock")
            clocks.append(clock)
    return clocks


def _delta(token: int) -> int:
    """The signed milliseconds of a clock token, whose lowest bits say how the counter goes."""
    zigzag = (token - 1) >> 1
    return zigzag >> 1 if zigzag & 1 == 0 else -((zigzag + 1) >> 1)
