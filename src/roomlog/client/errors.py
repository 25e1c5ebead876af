"""Everything the SDK raises. What a server refused is in `Document.rejections`, not here."""

from __future__ import annotations

from roomlog.core.errors import (
    ClockExhaustedError,
    HistoryMissingError,
    IdentityFileError,
    InvalidTypeError,
    InvalidValueError,
    NotSubscribedError,
    RoomlogError,
    UnknownNodeError,
)


class DocumentClosedError(RoomlogError):
    """The document was closed: its `async with` block has ended."""


class ReadOnlyError(RoomlogError):
    """The document was opened without an identity, so nothing can be written."""


class TransactionError(RoomlogError):
    """Another task's transaction is open, or this one is already inside of its own."""


class BranchError(RoomlogError):
    """A branch's own history was rewritten below its open edits; open the branch again."""


class UnsentChangesError(RoomlogError):
    """A document without a local store was closed before the server had all of its writes.

    `pack_file` holds the whole history, the unsent nodes included: a `Replica` takes it with
    `import_pack`.
    """

    def __init__(self, node_count: int, pack_file: bytes) -> None:
        super().__init__(
            f"{node_count} nodes were never acknowledged and there is no local store to keep them;"
            " give connect() a store, or keep this error's pack_file"
        )
        self.node_count = node_count
        self.pack_file = pack_file


class ConnectionStoppedError(RoomlogError):
    """The SDK no longer tries to reach the server, because trying again would not help.

    `reject_class` is the class on the wire, "" when there is none. Reading and writing go on
    locally; nothing is lost.
    """

    def __init__(self, message: str, reject_class: str = "") -> None:
        super().__init__(message)
        self.reject_class = reject_class


class LineageMismatchError(ConnectionStoppedError):
    """The server's room of this name is another one than the one whose history is held here.

    It was deleted and made again, or lies in another store. Both are kept apart: use
    `Document.export` to carry what is here elsewhere.
    """


class ServerKeyChangedError(ConnectionStoppedError):
    """Another server key answers at this origin than the one that was met first."""


class ServerUnprovenError(ConnectionStoppedError):
    """The server could not sign the handshake for the origin that was dialled."""


class UnknownVersionError(RoomlogError, KeyError):
    """No version of the room has this name."""

    def __init__(self, name: str) -> None:
        super().__init__(name)
        self.name = name

    def __str__(self) -> str:
        return f"no version is named {self.name!r}"


class NotConnectedError(RoomlogError):
    """What needs a server at this moment was asked for without one, or it cannot do it."""


class PeerUnknownError(RoomlogError):
    """A signal found nobody: who it was for is not in the room."""


class LocalStoreError(RoomlogError):
    """The local store cannot be read or written: the message names the path."""


class LocalStoreLockedError(LocalStoreError):
    """Another process has the local store open."""


class LocalStoreTooNewError(LocalStoreError):
    """A newer release wrote the local store; the message names what it needs."""


class LocalStoreRoomError(LocalStoreError):
    """The local store belongs to another room."""


class LocalStoreIdentityError(LocalStoreError):
    """The local store keeps writes of another key that no server has yet: open it with that key."""


__all__ = [
    "BranchError",
    "ClockExhaustedError",
    "ConnectionStoppedError",
    "DocumentClosedError",
    "HistoryMissingError",
    "IdentityFileError",
    "InvalidTypeError",
    "InvalidValueError",
    "LineageMismatchError",
    "LocalStoreError",
    "LocalStoreIdentityError",
    "LocalStoreLockedError",
    "LocalStoreRoomError",
    "LocalStoreTooNewError",
    "NotConnectedError",
    "NotSubscribedError",
    "PeerUnknownError",
    "ReadOnlyError",
    "RoomlogError",
    "ServerKeyChangedError",
    "ServerUnprovenError",
    "TransactionError",
    "UnknownNodeError",
    "UnknownVersionError",
    "UnsentChangesError",
]
