"""The server's store on a disk that loses its power."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from roomlog.store.sqlite import SqliteStore
from tests.simulation.disk.kept_file import Loss
from tests.simulation.disk.simulated_disk import SimulatedDisk
from tests.store.chains import Chain, create_room, stored_appends, written


@pytest.mark.parametrize("loss", list(Loss))
def test_what_was_committed_is_there_after_any_power_loss(tmp_path: Path, loss: Loss) -> None:
    disk = SimulatedDisk(tmp_path, random.Random(1))

    def open_store() -> SqliteStore:
        return SqliteStore.open(
            tmp_path / "store", store_id=bytes(16), now_ms=1, connect=disk.connect
        )

    store = open_store()
    chain = Chain(create_room(store))
    for _ in range(5):
        (outcome,) = store.commit([chain.append(2)])
        assert outcome.is_committed
        disk.power_loss(loss)
        store.close()
        store = open_store()
        assert stored_appends(store, "room") == written(chain.appends)
    assert disk.calls["sync"] > 0
    store.close()
    disk.close()
