"""An author's or server's Ed25519 key pair, and its file.

The file holds the 32-byte seed as 64 hexadecimal characters and a newline, mode 0600.
"""

import os
import stat
from pathlib import Path
from typing import final

from nacl.bindings import crypto_sign, crypto_sign_seed_keypair
from nacl.utils import random as random_bytes

from roomlog.core.errors import IdentityFileError
from roomlog.core.signing import SIGNATURE_BYTES, Purpose

_SEED_BYTES = 32
_IS_POSIX = os.name == "posix"


@final
class Identity:
    """A key pair that signs. Equal by public key; its repr never shows the seed.

    >>> from roomlog.core.signing import Purpose, verify
    >>> identity = Identity.from_seed(bytes(32))
    >>> verify(identity.public_key, Purpose.HELLO, b"hi", identity.sign(Purpose.HELLO, b"hi"))
    True
    """

    __slots__ = ("_secret_key", "_seed", "public_key")

    public_key: bytes
    """32 bytes: the author of what this identity writes."""

    def __init__(self, seed: bytes) -> None:
        if not isinstance(seed, bytes):
            raise TypeError("an identity's seed is bytes")
        if len(seed) != _SEED_BYTES:
            raise ValueError(f"an identity's seed has 32 bytes, not {len(seed)}")
        self._seed = seed
        self.public_key, self._secret_key = crypto_sign_seed_keypair(seed)

    @classmethod
    def generate(cls) -> "Identity":
        """A new identity from the system's randomness."""
        return cls(random_bytes(_SEED_BYTES))

    @classmethod
    def from_seed(cls, seed: bytes) -> "Identity":
        """The identity of a 32-byte seed. ValueError for any other length."""
        return cls(seed)

    def sign(self, purpose: Purpose, payload: bytes) -> bytes:
        """The 64-byte signature for ``purpose`` over ``payload``."""
        return crypto_sign(purpose.prefix + payload, self._secret_key)[:SIGNATURE_BYTES]

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the identity file, whole or not at all and durably; never over an existing one.

        Raises FileExistsError when there is a file at ``path``.
        """
        target = Path(path)
        temporary = target.with_name(f".{target.name}.{random_bytes(8).hex()}")
        descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        try:
            with os.fdopen(descriptor, "wb") as file:
                file.write(self._seed.hex().encode() + b"\n")
                file.flush()
                os.fsync(file.fileno())
            # A link fails when the target exists, where a rename would replace a key.
            os.link(temporary, target)
        finally:
            temporary.unlink()
        _sync_directory(target.parent)

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> "Identity":
        """Read an identity file.

        Raises FileNotFoundError, or `IdentityFileError` for a file of another form or, on POSIX,
        one that others than its owner can read.
        """
        with open(path, "rb") as file:
            if _IS_POSIX:
                mode = stat.S_IMODE(os.fstat(file.fileno()).st_mode)
                if mode & 0o077:
                    raise IdentityFileError(
                        f"{os.fspath(path)}: readable by others (mode {mode:04o}); chmod 600 it"
                    )
            content = file.read(2 * _SEED_BYTES + 2)
        if len(content) != 2 * _SEED_BYTES + 1 or content[-1:] != b"\n":
            raise IdentityFileError(f"{os.fspath(path)}: not 64 hexadecimal characters and newline")
        try:
            seed = bytes.fromhex(content[:-1].decode("ascii"))
        except ValueError:
            seed = b""
        if len(seed) != _SEED_BYTES:
            raise IdentityFileError(f"{os.fspath(path)}: not 64 hexadecimal characters and newline")
        return cls(seed)

    @classmethod
    def load_or_create(cls, path: str | os.PathLike[str]) -> "Identity":
        """The identity at ``path``; a new one is made and saved when there is no file."""
        try:
            return cls.load(path)
        except FileNotFoundError:
            pass
        identity = cls.generate()
        try:
            identity.save(path)
        except FileExistsError:
            # Another process was faster: both must use the same key.
            return cls.load(path)
        return identity

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Identity) and other.public_key == self.public_key

    def __hash__(self) -> int:
        return hash(self.public_key)

    def __repr__(self) -> str:
        return f"Identity(public_key={self.public_key.hex()})"


def _sync_directory(path: Path) -> None:
    """Make a new name in ``path`` durable; only POSIX lets a directory be opened."""
    if not _IS_POSIX:
        return
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
