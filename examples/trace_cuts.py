"""An event loop whose connections can be broken, and when to break them."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable
from typing import Any

CUT_AGAIN_SHARE = 0.25
"""How many of the cuts are followed by another one, while the client is coming back."""
LONGEST_BEFORE_CUT_AGAIN_S = 0.3


class CuttableLoop(asyncio.SelectorEventLoop):
    """Knows the connections that were made in it, so that they can break like those of a network:
    in the middle of whatever is under way, and without a word to either side."""

    def __init__(self) -> None:
        super().__init__()
        self._connections: set[asyncio.Transport] = set()

    async def create_connection(self, *arguments: Any, **named: Any) -> Any:
        transport, protocol = await super().create_connection(*arguments, **named)
        self._connections = {each for each in self._connections if not each.is_closing()}
        self._connections.add(transport)
        return transport, protocol

    def cut(self) -> int:
        """Break every open connection; how many there were."""
        broken = [each for each in self._connections if not each.is_closing()]
        self._connections.clear()
        for transport in broken:
            transport.abort()
        return len(broken)


class Cutter:
    """Cuts the connections of its loop, on average once in `mean_nodes` nodes of progress.

    `held` counts what the client and its server agree about; `cuts` is how often something broke.
    """

    def __init__(self, mean_nodes: float, seed: str, held: Callable[[], int]) -> None:
        self.cuts = 0
        self._mean_nodes = mean_nodes
        self._random = random.Random(seed)
        self._held = held

    async def run(self, look_every_s: float) -> None:
        loop = asyncio.get_running_loop()
        assert isinstance(loop, CuttableLoop)
        due = self._next_due()
        while True:
            await asyncio.sleep(look_every_s)
            if self._held() < due:
                continue
            self.cuts += loop.cut()
            if self._random.random() < CUT_AGAIN_SHARE:
                await asyncio.sleep(self._random.random() * LONGEST_BEFORE_CUT_AGAIN_S)
                self.cuts += loop.cut()
            due = self._next_due()

    def _next_due(self) -> float:
        return self._held() + self._random.expovariate(1 / self._mean_nodes)
