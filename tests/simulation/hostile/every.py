"""All attacks and lies there are: importing this registers them."""

from __future__ import annotations

from tests.simulation.hostile import (
    broken_frames,
    broken_handshakes,
    false_histories,
    floods,
    forged_nodes,
    lying_line,
    relay,
    server_lies,
    snapshot_lies,
    stuck_readers,
)
from tests.simulation.hostile.attack import ATTACKS
from tests.simulation.hostile.lie import LIES

__all__ = [
    "ATTACKS",
    "LIES",
    "broken_frames",
    "broken_handshakes",
    "false_histories",
    "floods",
    "forged_nodes",
    "lying_line",
    "relay",
    "server_lies",
    "snapshot_lies",
    "stuck_readers",
]
