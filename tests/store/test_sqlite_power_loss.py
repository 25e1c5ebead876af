"""What a committer called committed is in the store after the power went."""

from __future__ import annotations

import random
import threading
import time
from pathlib import Path

import pytest

from roomlog.store.committer import Committer, Outcomes
from roomlog.store.interface import Append
from roomlog.store.sqlite import SqliteStore
from tests.simulation.disk.kept_file import Loss
from tests.simulation.disk.simulated_disk import SimulatedDisk
from tests.store.chains import Chain, create_room, stored_appends, written


@pytest.mark.parametrize("loss", list(Loss))
def test_t20_what_was_acknowledged_is_there_after_the_power_went(
    tmp_path: Path, loss: Loss
) -> None:
    disk = SimulatedDisk(tmp_path, random.Random(1))

    def open_store() -> SqliteStore:
        return SqliteStore.open(
            tmp_path / "store", store_id=bytes(16), now_ms=1, connect=disk.connect
        )

    store = open_store()
    chain = Chain(create_room(store))
    acknowledged: list[Append] = []
    has_some = threading.Event()

    def on_outcomes(outcomes: Outcomes) -> None:
        acknowledged.extend(append for append, outcome in outcomes if outcome.is_committed)
        if len(acknowledged) >= 10:
            has_some.set()
            disk.power_loss(loss)

    committer = Committer(store, on_outcomes, clock=time.monotonic, max_batch_appends=2)
    for _ in range(20):
        committer.submit(chain.append(2))
    committer.close()
    assert has_some.is_set()
    kept = list(acknowledged)
    disk.power_loss(loss)
    store.close()
    store = open_store()
    there = stored_appends(store, "room")
    assert there[: len(kept)] == written(kept)
    assert there == written(chain.appends[: len(there)])
    store.close()
    disk.close()
