"""The SQLite store under the conformance suite."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from roomlog.store.interface import NodeStore
from roomlog.store.sqlite import SqliteStore
from tests.store.conformance import DurableStoreConformance, NodeStoreConformance
from tests.store.snapshot_conformance import DurableSnapshotConformance, SnapshotConformance


class TestSqliteStore(
    NodeStoreConformance, DurableStoreConformance, SnapshotConformance, DurableSnapshotConformance
):
    @pytest.fixture
    def store(self, tmp_path: Path) -> Iterator[NodeStore]:
        store = SqliteStore.open(tmp_path / "store", store_id=os.urandom(16), now_ms=1)
        yield store
        store.close()

    @pytest.fixture
    def reopen(self, tmp_path: Path, store: NodeStore) -> Iterator[Callable[[], NodeStore]]:
        opened: list[NodeStore] = []

        def again() -> NodeStore:
            store.close()
            opened.append(SqliteStore.open(tmp_path / "store", store_id=bytes(16), now_ms=2))
            return opened[0]

        yield again
        for each in opened:
            each.close()
