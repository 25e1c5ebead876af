"""Every module that registers actions: whoever carries out plans imports this one."""

from tests.simulation import (
    clock_faults,
    disk_faults,
    idleness,
    machine_faults,
    network_faults,
    questions,
    server_faults,
    writing_actions,
)
from tests.simulation.hostile import every as hostile_clients

__all__ = [
    "clock_faults",
    "disk_faults",
    "hostile_clients",
    "idleness",
    "machine_faults",
    "network_faults",
    "questions",
    "server_faults",
    "writing_actions",
]
