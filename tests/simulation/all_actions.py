"""Every module that registers actions: whoever carries out plans imports this one."""

from tests.simulation import (
    clock_faults,
    disk_faults,
    machine_faults,
    network_faults,
    questions,
    writing_actions,
)

__all__ = [
    "clock_faults",
    "disk_faults",
    "machine_faults",
    "network_faults",
    "questions",
    "writing_actions",
]
