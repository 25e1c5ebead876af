"""A graph from the headers of stored packs: no body is read and nothing is hashed."""

from typing import Final

from roomlog.core.graph import Graph
from roomlog.core.hashing import HASH_BYTES
from roomlog.core.node import parse_header_prefix
from roomlog.core.pack.blocks import BODIES_FLAG, COLUMNS_FLAG, FORMAT
from roomlog.core.pack.header_columns import decode_header_columns
from roomlog.core.pack.varint import Reader, broken

_FLAGS_END: Final = 2


def add_headers(graph: Graph, head: bytes, ids: bytes) -> int:
    """Add the nodes of a stored pack to ``graph``, whose ``ids`` (32 bytes each) are known.

    ``head`` is the pack up to the end of its headers block. Returns how many nodes it has. Raises
    `Reject` (invalid_field) when head and ids do not belong together, KeyError for an unknown
    parent.
    """
    if len(head) < _FLAGS_END or head[0] != FORMAT:
        raise broken("another format")
    flags = head[1]
    reader = Reader(head, _FLAGS_END, len(head))
    count = reader.uvarint()
    headers_bytes = reader.uvarint()
    if flags & BODIES_FLAG:
        reader.uvarint()
    if len(ids) != count * HASH_BYTES:
        raise broken("ids of another count")
    if headers_bytes != len(head) - reader.position:
        raise broken("headers of another length")
    if flags & COLUMNS_FLAG:
        _add_columns(graph, reader.take(headers_bytes), ids, count)
    else:
        _add_rows(graph, reader, ids, count)
    return count


def _add_rows(graph: Graph, reader: Reader, ids: bytes, count: int) -> None:
    if count == 1:
        _, author, clock, parents = parse_header_prefix(reader.take(reader.uvarint()))
        graph.add(ids, author, clock, parents)
    else:
        start = 0
        for _ in range(count):
            _, author, clock, parents = parse_header_prefix(reader.take(reader.uvarint()))
            graph.add(ids[start : start + HASH_BYTES], author, clock, parents)
            start += HASH_BYTES
    reader.finish()


def _add_columns(graph: Graph, headers: bytes, ids: bytes, count: int) -> None:
    columns = decode_header_columns(headers, count)
    own = [ids[start : start + HASH_BYTES] for start in range(0, len(ids), HASH_BYTES)]
    for index in range(count):
        named = columns.parents[index]
        parents: list[bytes] = []
        if named is None:
            parents.append(own[index - 1])
        else:
            for reference in named.references:
                if reference >= 0:
                    parents.append(own[reference])
                else:
                    parents.append(columns.external[-1 - reference])
        graph.add(own[index], columns.authors[index], columns.clocks[index], parents)
