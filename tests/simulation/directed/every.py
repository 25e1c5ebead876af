"""All scenarios there are: importing this registers them."""

from __future__ import annotations

from tests.simulation.directed import (
    abilities,
    broken_ways,
    everyday,
    failing_machines,
    hostility,
)
from tests.simulation.directed.scenario import SCENARIOS

__all__ = [
    "SCENARIOS",
    "abilities",
    "broken_ways",
    "everyday",
    "failing_machines",
    "hostility",
]
