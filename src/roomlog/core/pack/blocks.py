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
        headers = reader.take(headers_length)
        signatures = reader.take(SIGNATURE_BYTES * count) if flags & SIGNATURES_FLAG else None
        bodies = reader.take(bodies_length) if flags & BODIES_FLAG else None
        hashes = reader.take(HASH_BYTES * count) if flags & HASHES_FLAG else None
        reader.finish()
        return PackBlocks(count, bool(flags & COLUMNS_FLAG), headers, signatures, bodies, hashes)

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
