"""Errors of the caller's own making. What a peer did wrong is a `roomlog.core.reject.Reject`."""


class RoomlogError(Exception):
    """Base of every error this package raises about its own use."""


class InvalidValueError(RoomlogError, ValueError):
    """A value that cannot be written: the message names the place in it."""


class InvalidTypeError(RoomlogError, TypeError):
    """A value of a type that cannot be written: the message names the place in it."""


class UnknownNodeError(RoomlogError, KeyError):
    """A node id that this replica or graph does not hold."""

    def __init__(self, node_id: bytes) -> None:
        super().__init__(node_id)
        self.node_id = node_id

    def __str__(self) -> str:
        return f"unknown node {self.node_id.hex()}"


class HistoryMissingError(RoomlogError):
    """Something older than the snapshot that the replica began with was asked for.

    ``base_seq`` is the log number of the snapshot; it is there once the whole history is.
    """

    def __init__(self, base_seq: int) -> None:
        super().__init__(f"the history up to {base_seq} of the room's log is not here")
        self.base_seq = base_seq


class NotSubscribedError(RoomlogError):
    """A key that is not written because what others wrote there is not held."""

    def __init__(self, key: str) -> None:
        super().__init__(f"key {key!r} is not subscribed to")
        self.key = key


class NodeTooLargeError(RoomlogError, ValueError):
    """Operations that do not fit one node."""

    def __init__(self, size_bytes: int, limit_bytes: int) -> None:
        super().__init__(f"header and body of {size_bytes} bytes, at most {limit_bytes}")
        self.size_bytes = size_bytes
        self.limit_bytes = limit_bytes


class ClockExhaustedError(RoomlogError):
    """No valid clock lies after the given parents."""


class IdentityFileError(RoomlogError):
    """An identity file that must not or cannot be used: the message names the path."""
