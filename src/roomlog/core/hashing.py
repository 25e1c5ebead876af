"""Keyed BLAKE3, the one hash of the project (https://github.com/BLAKE3-team/BLAKE3-specs)."""

from collections.abc import Callable
from typing import Final, final

from blake3 import blake3

HASH_BYTES: Final = 32


@final
class KeyedHasher:
    """BLAKE3 under one 32-byte key. Reuses its state, so it belongs to one thread at a time."""

    __slots__ = ("_digest", "_reset", "_update")

    def __init__(self, key: bytes) -> None:
        if len(key) != HASH_BYTES:
            raise ValueError(f"a BLAKE3 key has 32 bytes, not {len(key)}")
        hasher = blake3(key=key)
        # Bound once: looking the methods up costs as much as a call of them.
        self._reset: Callable[[], object] = hasher.reset
        self._update: Callable[[bytes], object] = hasher.update
        self._digest: Callable[[], bytes] = hasher.digest

    def digest(self, data: bytes) -> bytes:
        """The 32-byte hash of ``data``."""
        self._reset()
        self._update(data)
        return self._digest()


BODY_KEY: Final = blake3(b"roomlog/body/v1").digest()
"""Key of body hashes: the same in every room, so that equal bodies have equal hashes."""


def hash_bytes(data: bytes) -> bytes:
    """The plain 32-byte BLAKE3 of ``data``."""
    return blake3(data).digest()


def serverless_lineage(room_id: str) -> bytes:
    """The lineage of a room that never met a server."""
    return blake3(b"roomlog/lineage/v1\x00" + room_id.encode()).digest()
