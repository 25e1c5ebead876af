"""A second decoder of packs, written from `docs/design/pack-format.md` alone.

Slow, trusting and without a line of the real one: it is only given good packs. A node comes out as
header without body hash, body or None, body hash or None, signature or None.
"""

from __future__ import annotations

from typing import NamedTuple


class Row(NamedTuple):
    prefix: bytes
    body: bytes | None
    body_hash: bytes | None
    signature: bytes | None


class Bytes:
    """Bytes that are taken from the front."""

    def __init__(self, data: bytes) -> None:
        self.data = data

    def take(self, size: int) -> bytes:
        taken, self.data = self.data[:size], self.data[size:]
        assert len(taken) == size
        return taken

    def byte(self) -> int:
        return self.take(1)[0]

    def number(self) -> int:
        value = shift = 0
        while True:
            byte = self.byte()
            value += (byte & 127) << shift
            shift += 7
            if byte < 128:
                return value

    def signed(self) -> int:
        number = self.number()
        return number // 2 if number % 2 == 0 else -(number + 1) // 2


def unpack(pack: bytes, id_of: object = None) -> list[Row]:
    """The rows of a pack. ``id_of(prefix, body, body_hash)`` gives a node's id, for columns."""
    data = Bytes(pack)
    assert data.byte() == 1
    flags = data.byte()
    count = data.number()
    headers_length = data.number()
    bodies_length = data.number() if flags & 4 else 0
    headers = Bytes(data.take(headers_length))
    signatures = [data.take(64) if flags & 2 else None for _ in range(count)]
    bodies_block = Bytes(data.take(bodies_length))
    hashes = [data.take(32) if flags & 8 else None for _ in range(count)]
    assert data.data == b""
    if not flags & 1:
        prefixes = [headers.take(headers.number()) for _ in range(count)]
        bodies = [row_body(bodies_block) if flags & 4 else None for _ in range(count)]
    else:
        shapes, external = header_shapes(headers, count)
        merges = [kind == 2 for kind, _, _, _ in shapes]
        bodies = column_bodies(bodies_block, merges) if flags & 4 else [None] * count
        prefixes = []
        ids: list[bytes] = []
        assert callable(id_of)
        for index, (kind, author, clock, references) in enumerate(shapes):
            parents = [external[-1 - ref] if ref < 0 else ids[ref] for ref in references]
            fixed = bytes([1, kind]) + author + clock.to_bytes(8, "big") + bytes([len(parents)])
            prefixes.append(fixed + b"".join(parents))
            ids.append(id_of(prefixes[index], bodies[index], hashes[index]))
        assert bodies_block.data == b""
    assert headers.data == b""
    return [Row(*row) for row in zip(prefixes, bodies, hashes, signatures, strict=True)]


def row_body(block: Bytes) -> bytes | None:
    size = block.number()
    return block.take(size - 1) if size else None


Shape = tuple[int, bytes, int, list[int]]


def header_shapes(block: Bytes, count: int) -> tuple[list[Shape], list[bytes]]:
    """Kind, author, clock and parent references (below 0: external) of each node."""
    table = [block.take(32) for _ in range(block.number())]
    authors: list[bytes] = table * count if len(table) == 1 else []
    while len(authors) < count:
        author = table[block.number()]
        authors += [author] * block.number()
    external = [block.take(32) for _ in range(block.number())]
    parents: list[tuple[int, list[int]]] = []
    while len(parents) < count:
        for _ in range(block.number()):
            parents.append((1, [len(parents) - 1]))
        if len(parents) == count:
            break
        shape = block.number()
        references = []
        for _ in range(shape // 2):
            reference = block.number()
            outside = reference % 2 == 1
            back = reference // 2
            references.append(-1 - back if outside else len(parents) - 1 - back)
        parents.append((2 if shape % 2 else 1, references))
    clocks: list[int] = []
    ms, counter, plain = 0, -1, 1
    while len(clocks) < count:
        token = block.number()
        for _ in range(block.number() if token == 0 else 1):
            current = plain if token == 0 else token
            zigzag = (current - 1) // 2
            step = zigzag // 2 if zigzag % 2 == 0 else -(zigzag + 1) // 2
            ms += step
            expected = 0 if step else counter + 1
            counter = expected if current % 2 == 1 else block.number()
            clocks.append(ms * 2048 + counter)
        if token % 2 == 1:
            plain = token
    shapes = [
        (kind, author, clock, references)
        for (kind, references), author, clock in zip(parents, authors, clocks, strict=True)
    ]
    return shapes, external


def column_bodies(block: Bytes, merges: list[bool]) -> list[bytes | None]:
    keys = [block.take(block.number()).decode() for _ in range(block.number())]
    escapes = [(block.number(), block.number()) for _ in range(block.number())]
    sizes = [block.number() for _ in range(3)]
    text = block.take(sizes[0]).decode()
    tags, fields = Bytes(block.take(sizes[1])), Bytes(block.take(sizes[2]))
    unrolled: list[int] = []
    while tags.data:
        byte = tags.byte()
        run = byte >> 5
        unrolled += [byte & 31] * (run + 1 if run < 7 else tags.number() + 8)
    cursors = dict.fromkeys(keys, 0)
    key = keys[0] if keys else ""
    gap = 0
    bodies: list[bytes | None] = []
    for is_merge in merges:
        if escapes and gap == escapes[0][0]:
            _, size = escapes.pop(0)
            bodies.append(block.take(size - 1) if size else None)
            gap = 0
            continue
        gap += 1
        operations: list[list[object]] = []
        while not is_merge:
            tag = unrolled.pop(0)
            key = keys[fields.number()] if tag & 8 else key
            delta = fields.signed() if tag & 4 else 0
            length = fields.number() if tag & 2 else 1
            if tag & 1:
                position = cursors[key] - length + delta
                cursors[key] = position
                operations.append([10, key, position, length])
            else:
                position = cursors[key] + delta
                cursors[key] = position + length
                operations.append([9, key, position, text[:length]])
                text = text[length:]
            if tag & 16:
                break
        bodies.append(msgpack(operations))
    assert (unrolled, fields.data, text, escapes) == ([], b"", "", [])
    return bodies


def msgpack(value: object) -> bytes:
    """Canonical MessagePack of arrays, strings and unsigned integers."""
    if isinstance(value, list):
        head = sized(len(value), 0x90, 16, [(0xDC, 2), (0xDD, 4)])
        return head + b"".join(msgpack(element) for element in value)
    if isinstance(value, str):
        data = value.encode()
        return sized(len(data), 0xA0, 32, [(0xD9, 1), (0xDA, 2), (0xDB, 4)]) + data
    assert isinstance(value, int)
    return sized(value, 0, 128, [(0xCC, 1), (0xCD, 2), (0xCE, 4), (0xCF, 8)])


def sized(number: int, fixed: int, limit: int, tags: list[tuple[int, int]]) -> bytes:
    if number < limit:
        return bytes([fixed | number])
    for tag, width in tags:
        if number < 1 << (8 * width):
            return bytes([tag]) + number.to_bytes(width, "big")
    raise AssertionError("too large")
