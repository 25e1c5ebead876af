"""The bytes that hello and welcome sign.

A proof is bound to both nonces, the origin the client dialled, the room, the codec, both keys, the
label and the token, so it is worth nothing to anybody who relays it.
"""

from __future__ import annotations

from collections.abc import Sequence

from blake3 import blake3

from roomlog.core.signing import Purpose, Signer, verify

NONCE_BYTES = 32
EPOCH_BYTES = 16
_U16_MAX = 0xFFFF


def transcript(
    *,
    server_nonce: bytes,
    client_nonce: bytes,
    origin: str,
    room_id: str,
    subprotocol: str,
    server_key: bytes,
    client_key: bytes,
    label: str,
    token: str,
) -> bytes:
    """The handshake as both sides saw it, each part behind its length as u16.

    `client_key`, `label` and `token` are empty when absent; a token enters as its BLAKE3 hash.
    Raises ValueError for a part over 65,535 bytes.
    """
    parts = (
        server_nonce,
        client_nonce,
        origin.encode(),
        room_id.encode(),
        subprotocol.encode(),
        server_key,
        client_key,
        label.encode(),
        blake3(token.encode()).digest() if token else b"",
    )
    if any(len(part) > _U16_MAX for part in parts):
        raise ValueError("a part of the handshake is longer than 65,535 bytes")
    return b"".join(len(part).to_bytes(2, "big") + part for part in parts)


def hello_proof(signer: Signer, handshake: bytes) -> bytes:
    """The client's proof that it holds its key, 64 bytes."""
    return signer.sign(Purpose.HELLO, handshake)


def check_hello_proof(public_key: bytes, handshake: bytes, proof: bytes) -> bool:
    """Whether `proof` was made by `public_key` over exactly this handshake."""
    return verify(public_key, Purpose.HELLO, handshake, proof)


def welcome_payload(
    handshake: bytes, *, lineage: bytes, epoch: bytes, seq: int, frontier: Sequence[bytes]
) -> bytes:
    """What the server vouches for: this handshake, and the room's log as it stands."""
    ordered = sorted(frontier)
    return b"".join(
        (
            blake3(handshake).digest(),
            lineage,
            epoch,
            seq.to_bytes(8, "big"),
            len(ordered).to_bytes(2, "big"),
            *ordered,
        )
    )


def sign_welcome(signer: Signer, payload: bytes) -> bytes:
    """The server's signature over `welcome_payload`, 64 bytes."""
    return signer.sign(Purpose.WELCOME, payload)


def check_welcome(server_key: bytes, payload: bytes, signature: bytes) -> bool:
    """Whether the pinned server said this."""
    return verify(server_key, Purpose.WELCOME, payload, signature)
