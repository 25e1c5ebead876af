"""How a command ends when it cannot do what was asked: one line, and an exit code."""

from __future__ import annotations

from typing import Final

FAILED: Final = 1
USAGE: Final = 2
INTERRUPTED: Final = 130


class Failure(Exception):
    """The command could not do it. The message says what is wrong and what to do."""

    exit_code = FAILED


class UsageFailure(Failure):
    """The command was asked for something that cannot be; the message names the argument."""

    exit_code = USAGE
