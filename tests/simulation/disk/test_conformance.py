"""The SQLite store over a simulated disk under the conformance suite."""

from __future__ import annotations

import os
import random
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from roomlog.store.interface import NodeStore
from roomlog.store.sqlite import SqliteStore
from tests.simulation.disk import SimulatedDisk
from tests.store.conformance import DurableStoreConformance, NodeStoreConformance
from tests.store.snapshot_conformance import DurableSnapshotConformance, SnapshotConformance


class TestStoreOnASimulatedDisk(
    NodeStoreConformance, DurableStoreConformance, SnapshotConformance, DurableSnapshotConformance
):
    @pytest.fixture
    def disk(self, tmp_path: Path) -> Iterator[SimulatedDisk]:
        disk = SimulatedDisk(tmp_path, random.Random(1))
        yield disk
        disk.close()

    @pytest.fixture
    def store(self, disk: SimulatedDisk) -> Iterator[NodeStore]:
        path = disk.root / "store"
        store = SqliteStore.open(path, store_id=os.urandom(16), now_ms=1, connect=disk.connect)
        yield store
        store.close()

    @pytest.fixture
    def reopen(self, disk: SimulatedDisk, store: NodeStore) -> Iterator[Callable[[], NodeStore]]:
        opened: list[NodeStore] = []

        def again() -> NodeStore:
            """Without closing the first: its machine loses its power."""
            disk.power_loss()
            store.close()
            path = disk.root / "store"
            opened.append(
                SqliteStore.open(path, store_id=bytes(16), now_ms=2, connect=disk.connect)
            )
            return opened[0]

        yield again
        for each in opened:
            each.close()
