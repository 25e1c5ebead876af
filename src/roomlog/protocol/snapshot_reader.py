"""A snapshot from its chunks: bounded, in order, and of the bytes it promised."""

from __future__ import annotations

from typing import Final, final

from blake3 import blake3

from roomlog.core.hashing import HASH_BYTES
from roomlog.core.signing import SIGNATURE_BYTES
from roomlog.protocol.client_events import SnapshotReceived, broken
from roomlog.protocol.limits import KIB, MIB
from roomlog.protocol.messages import Snapshot

CHUNK_BYTES: Final = 256 * KIB
"""The longest piece of the state in one message."""
MOST_STATE_BYTES: Final = 512 * MIB
"""The longest state that is taken."""


@final
class SnapshotReader:
    """Takes the chunks of one snapshot.

    It may lie above the head that the welcome named: the log goes on while the answer is awaited.
    """

    def __init__(self) -> None:
        self._facts: Snapshot | None = None
        self._state = bytearray()
        self._chunks = 0

    def take(self, chunk: Snapshot) -> SnapshotReceived | None:
        """The whole of it with its last chunk. Raises `ServerFault`."""
        facts = self._facts
        if facts is None:
            self._check_facts(chunk)
            facts = self._facts = chunk
        if chunk.chunk != self._chunks:
            raise broken("snapshot", f"chunk {chunk.chunk} in place of {self._chunks}")
        size_bytes = len(chunk.data)
        if not 0 < size_bytes <= CHUNK_BYTES or len(self._state) + size_bytes > facts.size_bytes:
            raise broken("snapshot", f"a chunk of {size_bytes} bytes")
        self._chunks += 1
        self._state += chunk.data
        if self._chunks < facts.chunks:
            return None
        state = bytes(self._state)
        if len(state) != facts.size_bytes or blake3(state).digest() != facts.digest:
            raise broken("snapshot", "its bytes are not those it promised")
        return SnapshotReceived(
            seq=facts.seq,
            frontier_pack=facts.frontier,
            state=state,
            state_hash=facts.state_hash,
            digest=facts.digest,
            signature=facts.signature,
        )

    def _check_facts(self, first: Snapshot) -> None:
        if first.seq < 1:
            raise broken("snapshot", "at no place of the log")
        if not 1 <= first.size_bytes <= MOST_STATE_BYTES:
            raise broken("snapshot", f"a state of {first.size_bytes} bytes")
        if not 1 <= first.chunks <= first.size_bytes:
            raise broken("snapshot", f"{first.chunks} chunks for {first.size_bytes} bytes")
        lengths = (len(first.state_hash), len(first.digest), len(first.signature))
        if lengths != (HASH_BYTES, HASH_BYTES, SIGNATURE_BYTES):
            raise broken("snapshot", "hash, digest or signature of a wrong length")
