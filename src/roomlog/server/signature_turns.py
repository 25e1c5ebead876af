"""Checks the signatures of long packs a few at a time, so that every session gets its turn.

A signature takes about 45 us, so a pack of 4,096 nodes would hold the loop for a fifth of a second.
Sessions take turns; the packs of one session stay in order.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Sequence
from typing import Final, Generic, TypeVar, final

from roomlog.core.node import Node, check_signature
from roomlog.core.reject import Reject

AT_ONCE: Final = 32
"""Nodes whose signatures are checked in one go: about 1.5 ms."""
Owner = TypeVar("Owner")


@final
class CheckedSignatures:
    """What is known of the signatures of one pack's nodes, by their index."""

    __slots__ = ("_done", "_faults", "_nodes", "_position")

    def __init__(self, nodes: Sequence[Node]) -> None:
        self._nodes = nodes
        self._position = 0
        self._done = bytearray(len(nodes))
        self._faults: dict[int, Reject] | None = None

    @property
    def is_complete(self) -> bool:
        """Whether every node was looked at."""
        return self._position == len(self._nodes)

    def advance(self, is_known: Callable[[bytes], bool]) -> None:
        """Look at the next few nodes; those that are known already need no check."""
        end = min(self._position + AT_ONCE, len(self._nodes))
        for index in range(self._position, end):
            node = self._nodes[index]
            if node.fault is not None or is_known(node.id):
                continue
            self._done[index] = 1
            try:
                check_signature(node)
            except Reject as fault:
                if self._faults is None:
                    self._faults = {}
                self._faults[index] = fault
        self._position = end

    def check(self, index: int) -> None:
        """Raise `Reject` if the signature of a node does not hold; looks at it if nobody has."""
        if not self._done[index]:
            check_signature(self._nodes[index])
        elif self._faults is not None and index in self._faults:
            raise self._faults[index]


@final
class _Pack:
    """A pack that waits for its check."""

    __slots__ = ("is_known", "on_checked", "signatures")

    def __init__(
        self,
        signatures: CheckedSignatures,
        is_known: Callable[[bytes], bool],
        on_checked: Callable[[], None],
    ) -> None:
        self.signatures = signatures
        self.is_known = is_known
        self.on_checked = on_checked


@final
class SignatureTurns(Generic[Owner]):
    """The packs of all sessions of a server that wait for their check.

    `on_fault` hears of a fault of our own while a pack is taken over; the others go on.
    """

    def __init__(self, on_fault: Callable[[BaseException], object]) -> None:
        self._on_fault = on_fault
        self._lanes: dict[Owner, deque[_Pack]] = {}
        self._task: asyncio.Task[None] | None = None

    def has(self, owner: Owner) -> bool:
        """Whether packs of `owner` wait, behind which its next one has to."""
        return owner in self._lanes

    def add(
        self,
        owner: Owner,
        signatures: CheckedSignatures,
        is_known: Callable[[bytes], bool],
        on_checked: Callable[[], None],
    ) -> None:
        """Check a pack after those of the same owner, then call `on_checked`.

        `is_known` says which nodes need no check.
        """
        self._lanes.setdefault(owner, deque()).append(_Pack(signatures, is_known, on_checked))
        if self._task is None:
            self._task = asyncio.create_task(self._run())

    def forget(self, owner: Owner) -> int:
        """Drop the packs of an owner who is gone: how many there were. Nobody was promised them."""
        return len(self._lanes.pop(owner, ()))

    def close(self) -> None:
        """Give up what waits."""
        self._lanes.clear()
        if self._task is not None:
            self._task.cancel()

    async def _run(self) -> None:
        lanes = self._lanes
        while lanes:
            owner = next(iter(lanes))
            lane = lanes.pop(owner)
            pack = lane[0]
            pack.signatures.advance(pack.is_known)
            if pack.signatures.is_complete:
                lane.popleft()
            if lane:
                # Behind everybody else.
                lanes[owner] = lane
            if pack.signatures.is_complete:
                try:
                    pack.on_checked()
                except Exception as error:
                    self._on_fault(error)
            await asyncio.sleep(0)
        self._task = None
