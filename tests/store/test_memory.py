"""The in-memory store under the conformance suite."""

from __future__ import annotations

import os

import pytest

from roomlog.store.interface import NodeStore
from roomlog.store.memory import MemoryStore
from tests.store.conformance import NodeStoreConformance
from tests.store.snapshot_conformance import SnapshotConformance


class TestMemoryStore(NodeStoreConformance, SnapshotConformance):
    @pytest.fixture
    def store(self) -> NodeStore:
        return MemoryStore(os.urandom(16), created_ms=1)

    def test_it_does_not_call_itself_durable(self, store: NodeStore) -> None:
        assert not store.is_durable
