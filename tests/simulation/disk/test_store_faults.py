"""The cases of a failing SQLite, once more with the simulated disk below its connections."""

from __future__ import annotations

import random
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from tests.simulation.disk import SimulatedDisk
from tests.store import faults as failing_connections
from tests.store import test_sqlite_faults as cases
from tests.store.test_sqlite_faults import *  # noqa: F403


@pytest.fixture(autouse=True)
def _on_a_simulated_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    disk = SimulatedDisk(tmp_path, random.Random(1))

    def connect(path: Path, **options: Any) -> Any:
        """Two SQLites in one process do not see each other's locks."""
        if "isolation_level" in options:
            return disk.connect_local(path, read_only=False)
        return sqlite3.connect(path)

    monkeypatch.setattr(failing_connections, "connect_sqlite", disk.connect)
    monkeypatch.setattr(cases, "sqlite3", SimpleNamespace(**{**vars(sqlite3), "connect": connect}))
    yield
    assert disk.calls["write"] > 0
    disk.close()
