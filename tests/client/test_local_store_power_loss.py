"""What a client's store called durable is in it after the power went."""

from __future__ import annotations

import random
from collections.abc import Callable
from pathlib import Path

import pytest

from roomlog.client.local_store import LocalStore
from roomlog.client.store_writes import OwnNodes
from tests.client.test_local_store import LINEAGE, some_nodes
from tests.simulation.disk.kept_file import Loss
from tests.simulation.disk.simulated_disk import SimulatedDisk


@pytest.mark.parametrize("loss", list(Loss))
def test_t20_what_a_client_called_durable_is_there_after_the_power_went(
    tmp_path: Path, loss: Loss
) -> None:
    disk = SimulatedDisk(tmp_path, random.Random(1))
    path = tmp_path / "ada.db"
    steps: list[Callable[[], None]] = []
    store = LocalStore(path, "demo", LINEAGE, connect=disk.connect_local, drive=steps.append)
    durable: list[bytes] = []
    for node in some_nodes(12):
        store.write([OwnNodes([node])], lambda node=node: durable.append(node.id))
        steps.pop()()
    assert len(durable) == 12
    disk.power_loss(loss)
    store.close()
    reopened = LocalStore(path, "demo", LINEAGE, connect=disk.connect_local, drive=steps.append)
    assert [node.id for node in reopened.document.nodes] == durable
    assert list(reopened.document.pending) == durable
    reopened.close()
    disk.close()
