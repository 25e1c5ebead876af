"""Pack files: packs of one lineage, with its name, in one stretch of bytes."""

from collections.abc import Sequence
from typing import Final

from roomlog.core.hashing import HASH_BYTES
from roomlog.core.pack.varint import Reader, append_uvarint, broken

MAGIC: Final = b"RLPK"
FILE_VERSION: Final = 1


def write_pack_file(lineage: bytes, packs: Sequence[bytes]) -> bytes:
    """The file of ``packs``, all of the 32-byte ``lineage``."""
    if len(lineage) != HASH_BYTES:
        raise ValueError(f"a lineage has {HASH_BYTES} bytes, not {len(lineage)}")
    out = bytearray(MAGIC)
    out.append(FILE_VERSION)
    out += lineage
    for pack in packs:
        append_uvarint(out, len(pack))
        out += pack
    return bytes(out)


def read_pack_file(data: bytes) -> tuple[bytes, list[bytes]]:
    """The lineage and the packs of a file. Raises `Reject` (invalid_field) for another form."""
    reader = Reader(data, 0, len(data))
    if reader.take(len(MAGIC)) != MAGIC:
        raise broken("not a pack file")
    if reader.take(1)[0] != FILE_VERSION:
        raise broken("another pack file version")
    lineage = reader.take(HASH_BYTES)
    packs: list[bytes] = []
    while reader.position < reader.end:
        packs.append(reader.take(reader.uvarint()))
    return lineage, packs
