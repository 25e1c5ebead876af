"""How late the event loop runs what is due: whatever holds it up holds up every session."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Final

INTERVAL_SECONDS: Final = 0.02


async def measure_loop_lag(observe: Callable[[float], None]) -> None:
    """Tell `observe` every 20 ms by how many seconds a timer was late, until cancelled.

    Something that holds the loop for longer than the interval is always seen; what is shorter, in
    proportion to its length.
    """
    loop = asyncio.get_running_loop()
    due = loop.time() + INTERVAL_SECONDS
    while True:
        await asyncio.sleep(due - loop.time())
        now = loop.time()
        # A timer may come a clock's step too early.
        observe(max(0.0, now - due))
        due = now + INTERVAL_SECONDS
