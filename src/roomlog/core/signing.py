"""Ed25519 with purposes (RFC 8032), verified as strictly as libsodium does.

Every signature covers ``roomlog/<purpose>/v1``, a zero byte and the payload, so that one made for
one purpose never holds for another. libsodium refuses non-canonical S, small-order R and
small-order or non-canonical public keys; vectors pin that.
"""

from enum import Enum
from typing import Final, Protocol

from nacl.bindings import crypto_sign_open
from nacl.exceptions import BadSignatureError

PUBLIC_KEY_BYTES: Final = 32
SIGNATURE_BYTES: Final = 64


class Purpose(Enum):
    """What a signature is for."""

    NODE = "node"
    HELLO = "hello"
    WELCOME = "welcome"
    CHECKPOINT = "checkpoint"
    SNAPSHOT = "snapshot"

    prefix: bytes

    def __init__(self, label: str) -> None:
        self.prefix = f"roomlog/{label}/v1\x00".encode()


class Signer(Protocol):
    """Whoever can sign: an identity file, a test key, later an agent."""

    @property
    def public_key(self) -> bytes:
        """32 bytes."""

    def sign(self, purpose: Purpose, payload: bytes) -> bytes:
        """The 64-byte signature over `signed_bytes` of ``purpose`` and ``payload``."""


def signed_bytes(purpose: Purpose, payload: bytes) -> bytes:
    """The bytes a signature of ``purpose`` over ``payload`` really covers."""
    return purpose.prefix + payload


def verify(public_key: bytes, purpose: Purpose, payload: bytes, signature: bytes) -> bool:
    """Whether ``signature`` holds. Bad bytes of any length are False, never an exception."""
    if len(public_key) != PUBLIC_KEY_BYTES or len(signature) != SIGNATURE_BYTES:
        return False
    try:
        crypto_sign_open(signature + purpose.prefix + payload, public_key)
    except BadSignatureError:
        return False
    return True
