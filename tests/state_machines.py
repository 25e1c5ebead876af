"""How Hypothesis state machines run: shortly in every test run, deeper when they are asked to hunt.

ROOMLOG_MACHINE_EXAMPLES is how many sequences of steps each machine tries.
"""

from __future__ import annotations

import os
import unittest

from hypothesis import settings
from hypothesis.stateful import RuleBasedStateMachine

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
