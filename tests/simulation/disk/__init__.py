"""A disk that can be made to fail, for SQLite and for whoever simulates a machine."""

from tests.simulation.disk.kept_file import Loss
from tests.simulation.disk.planned_faults import Call, Fault
from tests.simulation.disk.simulated_disk import SimulatedDisk

__all__ = ["Call", "Fault", "Loss", "SimulatedDisk"]
