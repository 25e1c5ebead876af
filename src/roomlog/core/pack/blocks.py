"""The frame of a pack: blocks over one buffer, sliced without decoding a node."""

from collections.abc import Sequence
from enum import Enum
from typing import Final, final

from roomlog.core.hashing import HASH_BYTES
from roomlog.core.pack.varint import Reader, broken, uvarint
from roomlog.core.signing import SIGNATURE_BYTES

FORMAT: Final = 1
COLUMNS_FLAG: Final = 1
SIGNATURES_FLAG: Final = 2
BODIES_FLAG: Final = 4
HASHES_FLAG: Final = 8
_KNOWN_FLAGS: Final = 15


class Layout(Enum):
    """How the nodes of a pack are written."""

    ROWS = "rows"
    """Each node by itself: live traffic, joined by joining blocks."""
    COLUMNS = "columns"
    """Each field by itself: bulk."""


@final
class Frame:
    """Where the blocks of a pack lie in its bytes. A start is -1 when the block was left out."""

    __slots__ = (
        "bodies_end",
        "bodies_start",
        "columns",
        "count",
        "data",
        "hashes_start",
        "headers_end",
        "headers_start",
        "signatures_start",
    )

    def __init__(self, data: bytes) -> None:
        """Read the frame of ``data``. Raises `Reject` (invalid_field) when it is broken."""
        reader = Reader(data, 0, len(data))
        if reader.byte() != FORMAT:
            raise broken("another format")
        flags = reader.byte()
        if flags & ~_KNOWN_FLAGS:
            raise broken("unknown flags")
        if not flags & (BODIES_FLAG | HASHES_FLAG):
            raise broken("neither bodies nor body hashes")
        count = reader.uvarint()
        headers_length = reader.uvarint()
        bodies_length = reader.uvarint() if flags & BODIES_FLAG else 0
        self.data = data
        self.count = count
        self.columns = flags & COLUMNS_FLAG != 0
        self.headers_start = reader.skip(headers_length)
        self.headers_end = reader.position
        self.signatures_start = -1
        self.bodies_start = -1
        self.bodies_end = -1
        self.hashes_start = -1
        if flags & SIGNATURES_FLAG:
            self.signatures_start = reader.skip(SIGNATURE_BYTES * count)
        if flags & BODIES_FLAG:
            self.bodies_start = reader.skip(bodies_length)
            self.bodies_end = reader.position
        if flags & HASHES_FLAG:
            self.hashes_start = reader.skip(HASH_BYTES * count)
        reader.finish()


@final
class PackBlocks:
    """A pack's blocks. ``signatures``, ``bodies`` and ``hashes`` are None when left out."""

    __slots__ = ("bodies", "columns", "count", "hashes", "headers", "signatures")

    def __init__(  # noqa: PLR0917 - one a block
        self,
        count: int,
        columns: bool,
        headers: bytes,
        signatures: bytes | None,
        bodies: bytes | None,
        hashes: bytes | None,
    ) -> None:
        self.count = count
        self.columns = columns
        self.headers = headers
        self.signatures = signatures
        self.bodies = bodies
        self.hashes = hashes

    @staticmethod
    def parse(data: bytes) -> "PackBlocks":
        """Slice a pack into its blocks. Raises `Reject` (invalid_field) for a broken frame."""
        return PackBlocks.of(Frame(data))

    @staticmethod
    def of(frame: Frame) -> "PackBlocks":
        """The blocks of a frame that was read already."""
        data = frame.data
        return PackBlocks(
            frame.count,
            frame.columns,
            data[frame.headers_start : frame.headers_end],
            _fixed_block(data, frame.signatures_start, SIGNATURE_BYTES * frame.count),
            None if frame.bodies_start < 0 else data[frame.bodies_start : frame.bodies_end],
            _fixed_block(data, frame.hashes_start, HASH_BYTES * frame.count),
        )

    def without_signatures(self) -> "PackBlocks":
        """The same pack unsigned."""
        return PackBlocks(self.count, self.columns, self.headers, None, self.bodies, self.hashes)

    def without_bodies(self, hashes: Sequence[bytes]) -> "PackBlocks":
        """The same pack with the ``count`` body hashes in place of the bodies."""
        joined = b"".join(hashes)
        if len(joined) != HASH_BYTES * self.count:
            raise ValueError(f"{len(hashes)} body hashes for {self.count} nodes")
        return PackBlocks(self.count, self.columns, self.headers, self.signatures, None, joined)

    def encode(self) -> bytes:
        """The bytes of the pack."""
        flags = 0
        if self.columns:
            flags |= COLUMNS_FLAG
        if self.signatures is not None:
            flags |= SIGNATURES_FLAG
        if self.bodies is not None:
            flags |= BODIES_FLAG
        if self.hashes is not None:
            flags |= HASHES_FLAG
        parts = [bytes((FORMAT, flags)), uvarint(self.count), uvarint(len(self.headers))]
        if self.bodies is not None:
            parts.append(uvarint(len(self.bodies)))
        parts.append(self.headers)
        if self.signatures is not None:
            parts.append(self.signatures)
        if self.bodies is not None:
            parts.append(self.bodies)
        if self.hashes is not None:
            parts.append(self.hashes)
        return b"".join(parts)


def _fixed_block(data: bytes, start: int, size_bytes: int) -> bytes | None:
    return None if start < 0 else data[start : start + size_bytes]
