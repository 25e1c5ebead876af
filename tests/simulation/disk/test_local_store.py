"""A document's local store on a disk that fails and loses its power."""

from __future__ import annotations

import contextlib
import random
from functools import partial
from pathlib import Path

import pytest

from roomlog.client.errors import LocalStoreError
from roomlog.client.local_store import LocalStore
from roomlog.client.store_writes import OwnNodes
from roomlog.store.interface import StoredRoom
from tests.simulation.disk import Call, Fault, Loss, SimulatedDisk
from tests.store.chains import Chain

LINEAGE = b"l" * 32


def open_local(disk: SimulatedDisk, lineage: bytes = LINEAGE) -> LocalStore:
    return LocalStore(
        disk.root / "local.db",
        "room",
        lineage,
        connect=disk.connect_local,
        drive=lambda step: None,
        wall_ms=lambda: 1,
    )


@pytest.mark.parametrize("loss", [Loss.NOTHING, Loss.RANDOM])
@pytest.mark.parametrize("fault", Fault)
def test_a_creation_that_was_cut_short_at_any_call_is_made_good_by_the_next(
    tmp_path: Path, fault: Fault, loss: Loss
) -> None:
    number = 0
    was_met = True
    while was_met:
        number += 1
        disk = SimulatedDisk(tmp_path / str(number), random.Random(number))
        disk.fail_call(number, Call.ANY, fault)
        first: LocalStore | None = None
        with contextlib.suppress(LocalStoreError):
            first = open_local(disk)
        was_met = not disk.faults.is_pending
        disk.power_loss(loss)
        if first is not None:
            first.close()
        again = open_local(disk, LINEAGE if first is not None else b"m" * 32)
        document = again.document
        assert (document.room_id, document.is_draft) == ("room", True), number
        assert document.lineage in (LINEAGE, b"m" * 32)
        if first is not None:
            assert document.lineage == LINEAGE
        again.close()
        disk.close()
    assert number > 30


@pytest.mark.parametrize("fault", Fault)
def test_what_was_called_durable_is_there_whatever_call_failed(
    tmp_path: Path, fault: Fault
) -> None:
    chain = Chain(StoredRoom("room", LINEAGE, b"e" * 16, 0, 0))
    chain.append(6)
    number = 0
    was_met = True
    while was_met:
        number += 1
        disk = SimulatedDisk(tmp_path / str(number), random.Random(number))
        disk.limits.wal_autocheckpoint = 6
        store = open_local(disk)
        disk.fail_call(number, Call.ANY, fault)
        durable: list[bytes] = []
        for node in chain.nodes:
            store.write([OwnNodes([node])], partial(durable.append, node.id))
            store._driven_step()
            if not disk.is_on:
                break
        was_met = not disk.faults.is_pending
        disk.power_loss()
        store.close()
        again = open_local(disk)
        found = [node.id for node in again.document.nodes]
        assert found[: len(durable)] == durable
        # Beyond that there may be the one write of which nobody knew.
        assert len(found) <= len(durable) + 1
        assert found == [node.id for node in chain.nodes[: len(found)]]
        again.close()
        disk.close()
    assert number > 10


def test_nothing_is_written_behind_what_a_failed_sync_left_before_the_store_was_opened_again(
    tmp_path: Path,
) -> None:
    chain = Chain(StoredRoom("room", LINEAGE, b"e" * 16, 0, 0))
    chain.append(3)
    disk = SimulatedDisk(tmp_path, random.Random(1))
    store = open_local(disk)
    durable: list[bytes] = []

    def write(number: int) -> None:
        node = chain.nodes[number]
        store.write([OwnNodes([node])], partial(durable.append, node.id))
        store._driven_step()

    write(0)
    disk.fail_call(1, Call.SYNC, times=9)
    write(1)
    store.close()
    disk.faults.clear()
    # The system still shows what was written, but calls it clean: no sync will ever write it.
    store = open_local(disk)
    write(2)
    disk.power_loss(Loss.EVERYTHING)
    store.close()
    store = open_local(disk)
    found = [node.id for node in store.document.nodes]
    assert durable == [chain.nodes[0].id, chain.nodes[2].id]
    assert [node for node in found if node in durable] == durable
    store.close()
    disk.close()


def test_what_is_called_durable_stays_when_the_store_was_opened_on_a_failing_disk(
    tmp_path: Path,
) -> None:
    chain = Chain(StoredRoom("room", LINEAGE, b"e" * 16, 0, 0))
    chain.append(2)
    opened = 0
    for seed in range(60):
        disk = SimulatedDisk(tmp_path / str(seed), random.Random(seed))
        disk.fail_call(seed // 4 + 1, (Call.DELETE, Call.SYNC, Call.WRITE)[seed % 3])
        try:
            store = open_local(disk)
        except LocalStoreError:
            disk.close()
            continue
        opened += 1
        disk.faults.clear()
        durable: list[bytes] = []
        for node in chain.nodes:
            store.write([OwnNodes([node])], partial(durable.append, node.id))
            store._driven_step()
        disk.power_loss(Loss.EVERYTHING)
        store.close()
        store = open_local(disk)
        assert [node.id for node in store.document.nodes] == durable
        store.close()
        disk.close()
    assert opened > 10
