"""The names that steps of a plan may have, and what each does."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from tests.simulation.plan import Step

if TYPE_CHECKING:
    from tests.simulation.world import World

Action = Callable[["World", Step], Any]
"""Called when its time has come; if it gives a coroutine, that runs as a task of its own."""

ACTIONS: dict[str, Action] = {}


def action(name: str) -> Callable[[Action], Action]:
    """Register what a step named `name` does."""

    def register(function: Action) -> Action:
        assert name not in ACTIONS, name
        ACTIONS[name] = function
        return function

    return register
