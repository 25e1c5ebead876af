"""How Hypothesis state machines run: shortly in every test run, deeper when they are asked to hunt.

ROOMLOG_MACHINE_EXAMPLES is how many sequences of steps each machine tries.
"""

from __future__ import annotations

import os
import tempfile
import unittest
from pathlib import Path

from hypothesis import settings
from hypothesis.stateful import RuleBasedStateMachine

_MEMORY = Path("/dev/shm")

EXAMPLES = int(os.environ.get("ROOMLOG_MACHINE_EXAMPLES", "20"))


def machine_test(
    machine: type[RuleBasedStateMachine], *, steps: int = 30, weight: float = 1
) -> type[unittest.TestCase]:
    """The test that runs a machine; `weight` makes cheap machines try more, dear ones less."""
    machine.TestCase.settings = settings(
        max_examples=max(1, round(EXAMPLES * weight)), stateful_step_count=steps
    )
    test: type[unittest.TestCase] = machine.TestCase
    return test


def scratch_directory() -> Path:
    """A new directory, in memory where there is such a place: syncs are slow and not the matter."""
    return Path(tempfile.mkdtemp(prefix="machine-", dir=_MEMORY if _MEMORY.is_dir() else None))
