"""Proving a store while a server writes to it."""

from __future__ import annotations

from pathlib import Path

import pytest

from roomlog.store.interface import ReconcileWindow
from roomlog.store.sqlite import SqliteStore
from roomlog.store.verification import PAGE_NODES, verify_room
from tests.store.chains import Chain, create_room


@pytest.mark.xfail(strict=True, reason="what is appended meanwhile is taken for a fault")
@pytest.mark.parametrize("nodes", [3, PAGE_NODES + 8])
def test_t45_a_room_that_grows_while_it_is_verified_is_right_up_to_the_head_it_had(
    nodes: int, tmp_path: Path
) -> None:
    store = SqliteStore.open(tmp_path, store_id=bytes(16), now_ms=1)
    chain = Chain(create_room(store))
    for start in range(0, nodes, 512):
        assert store.commit([chain.append(min(512, nodes - start))])[0].is_committed

    def write(_: int) -> None:
        assert store.commit([chain.append(2)])[0].is_committed

    reader = SqliteStore.open_read_only(tmp_path)
    (room,) = reader.rooms()
    report = verify_room(reader, room, on_signed=lambda _: None, on_nodes=write)
    assert report.nodes == nodes
    reader.close()
    store.close()


@pytest.mark.xfail(strict=True, reason="a new epoch is taken for a fault")
def test_a_room_that_gets_another_epoch_while_it_is_verified_is_right(tmp_path: Path) -> None:
    store = SqliteStore.open(tmp_path, store_id=bytes(16), now_ms=1)
    chain = Chain(create_room(store))
    store.commit([chain.append(3)])

    def renew(_: int) -> None:
        window = ReconcileWindow(chain.room.epoch, chain.room.epoch, b"e" * 16, 0, 0, 9, 1, 2)
        store.renew_epoch("room", window)

    reader = SqliteStore.open_read_only(tmp_path)
    (room,) = reader.rooms()
    assert verify_room(reader, room, on_signed=lambda _: None, on_nodes=renew).nodes == 3
    reader.close()
    store.close()
