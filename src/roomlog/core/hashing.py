"""Keyed BLAKE3, the one hash of the project (https://github.com/BLAKE3-team/BLAKE3-specs)."""

from typing import Final, final

from blake3 import blake3

HASH_BYTES: Final = 32


@final
class KeyedHasher:
    """BLAKE3 under one 32-byte key. Reuses its state, so it belongs to one thread at a time."""

    def __init__(self, key: bytes) -> None:
        if len(key) != HASH_BYTES:
            raise ValueError(f"a BLAKE3 key has 32 bytes, not {len(key)}")
        self._hasher = blake3(key=key)

    def digest(self, data: bytes) -> bytes:
        """The 32-byte hash of ``data``."""
        hasher = self._hasher
        hasher.reset()
        hasher.update(data)
        return hasher.digest()


BODY_KEY: Final = blake3(b"roomlog/body/v1").digest()
"""Key of body hashes: the same in every room, so that equal bodies have equal hashes."""


def hash_bytes(data: bytes) -> bytes:
    """The plain 32-byte BLAKE3 of ``data``."""
    return blake3(data).digest()


def serverless_lineage(room_id: str) -> bytes:
    """The lineage of a room that never met a server."""
    return blake3(b"roomlog/lineage/v1\x00" + room_id.encode()).digest()
