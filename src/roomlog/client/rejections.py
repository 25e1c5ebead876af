"""Writes that the server refused for good, and that were taken back."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Iterable, Iterator
from typing import Final, final

import msgspec

from roomlog.core.node import Node
from roomlog.core.operation import Operation

MOST_REJECTIONS: Final = 1000
"""Older ones are forgotten; what they were about has been taken back long ago."""


@final
class Rejection(msgspec.Struct, frozen=True, kw_only=True):
    """One own node of which the server refused something.

    `operations` are what was taken back: all of the node's, or those that the server named.
    Whatever else the node and later ones said was written again on top of what remains.
    """

    node_id: bytes
    reject_class: str
    kind: str
    message: str
    detail: dict[str, object]
    node: Node
    operation_indexes: tuple[int, ...]

    @property
    def operations(self) -> list[Operation]:
        """The operations that were taken back."""
        operations = self.node.operations()
        return [operations[index] for index in self.operation_indexes]

    @property
    def keys(self) -> list[str]:
        """The path keys of what was taken back, each once."""
        return list(dict.fromkeys(operation.key for operation in self.operations))


@final
class Rejections:
    """All rejections so far, oldest first: a collection, and a feed of the ones to come.

    `for rejection in doc.rejections()` sees those there are; `async for` sees these first and
    then waits for more until the document is closed.
    """

    def __init__(self, stored: Iterable[Rejection] = ()) -> None:
        self._kept: deque[Rejection] = deque(stored, maxlen=MOST_REJECTIONS)
        self._count = len(self._kept)
        self._arrived = asyncio.Event()
        self._is_closed = False

    def put(self, rejections: Iterable[Rejection]) -> None:
        """Add rejections; the document calls this."""
        for rejection in rejections:
            self._kept.append(rejection)
            self._count += 1
        self._wake()

    def close(self) -> None:
        """End every feed after what there is."""
        self._is_closed = True
        self._wake()

    def _wake(self) -> None:
        # A new event for the next arrival: every feed that waits on the old one wakes once.
        self._arrived.set()
        self._arrived = asyncio.Event()

    def __len__(self) -> int:
        return len(self._kept)

    def __getitem__(self, index: int) -> Rejection:
        return self._kept[index]

    def __iter__(self) -> Iterator[Rejection]:
        return iter(tuple(self._kept))

    async def __aiter__(self) -> AsyncIterator[Rejection]:
        seen = self._count - len(self._kept)
        while True:
            oldest = self._count - len(self._kept)
            seen = max(seen, oldest)
            if seen < self._count:
                rejection = self._kept[seen - oldest]
                seen += 1
                yield rejection
            elif self._is_closed:
                return
            else:
                await self._arrived.wait()
