"""Named versions of a room, shared with everybody in it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol, final

from roomlog.client.errors import ReadOnlyError, UnknownVersionError
from roomlog.core.handles import MapHandle
from roomlog.core.named_versions import (
    VERSIONS_SEGMENT,
    NamedVersion,
    check_name,
    check_note,
    value_of_version,
    version_of_value,
)
from roomlog.core.replica import Replica
from roomlog.core.view import View


class VersionContext(Protocol):
    """What named versions need from their document."""

    def followed(self) -> Replica:
        """The replica, to be read."""

    def committed(self) -> Replica:
        """The same, its open edits made a node. Raises `TransactionError` inside of one."""

    def check_writable(self) -> None:
        """Raise why nothing can be written now."""

    def write_apart(self, write: Callable[[int], list[bytes]]) -> list[bytes]:
        """Let `write(now_ms)` make nodes of its own, after those of the edits so far."""


@final
class Versions:
    """Versions that somebody in the room has given a name: `doc.versions`.

    They are kept in the room as map keys `@versions/NAME`, so they are in `Document.state` and its
    hash, and everybody has them. Everybody may also replace and delete them.
    """

    def __init__(self, context: VersionContext) -> None:
        self._context = context

    def save(self, name: str, note: str = "") -> NamedVersion:
        """Give the present version a name: one path segment of at most 256 bytes.

        A version of that name is replaced. Raises ValueError or TypeError for a bad name or note
        (at most 4,096 bytes), and `TransactionError` inside of a transaction.
        """
        check_name(name)
        check_note(note)
        self._context.check_writable()
        replica = self._context.committed()
        identity = replica.identity
        if identity is None:
            raise ReadOnlyError("the document was opened without an identity: it reads only")
        frontier = tuple(replica.frontier)
        saved: list[NamedVersion] = []

        def write(now_ms: int) -> list[bytes]:
            saved.append(NamedVersion(name, frontier, identity.public_key, now_ms, note))
            replica.map(VERSIONS_SEGMENT)[name] = value_of_version(saved[0])
            return replica.commit(now_ms)

        self._context.write_apart(write)
        return saved[0]

    def list(self) -> list[NamedVersion]:
        """All named versions, oldest first. What is no version among the keys is passed over."""
        found = [version_of_value(name, value) for name, value in self._map().items()]
        versions = [version for version in found if version is not None]
        return sorted(versions, key=lambda version: (version.time_ms, version.name))

    def get(self, name: str) -> NamedVersion:
        """The version of a name. Raises `UnknownVersionError`, or ValueError for a bad name."""
        check_name(name)
        version = version_of_value(name, self._map().get(name))
        if version is None:
            raise UnknownVersionError(name)
        return version

    def open(self, name: str) -> View:
        """The room as it was at a version, read-only; replays history.

        Raises as `get` does, `HistoryMissingError` while older history is not here, and
        `UnknownNodeError` when nodes of it never reached the room.
        """
        return self._context.followed().at(self.get(name).frontier)

    def delete(self, name: str) -> None:
        """Take the name away; what it named stays in history. Raises as `get` does."""
        self.get(name)
        self._context.check_writable()
        replica = self._context.committed()

        def write(now_ms: int) -> list[bytes]:
            del replica.map(VERSIONS_SEGMENT)[name]
            return replica.commit(now_ms)

        self._context.write_apart(write)

    def _map(self) -> MapHandle:
        return self._context.followed().map(VERSIONS_SEGMENT)
