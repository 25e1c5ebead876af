"""All attacks there are: importing this registers them."""

from __future__ import annotations

from tests.simulation.hostile import (
    broken_frames,
    broken_handshakes,
    false_histories,
    floods,
    forged_nodes,
    stuck_readers,
)
from tests.simulation.hostile.attack import ATTACKS

__all__ = [
    "ATTACKS",
    "broken_frames",
    "broken_handshakes",
    "false_histories",
    "floods",
    "forged_nodes",
    "stuck_readers",
]
