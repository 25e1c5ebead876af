"""The server's store on a disk that loses its power."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from tests.simulation.disk import Call, Fault, Loss, SimulatedDisk
from tests.simulation.disk.watched_store import WatchedStore


@pytest.mark.parametrize("loss", list(Loss))
def test_what_was_committed_is_there_after_any_power_loss(tmp_path: Path, loss: Loss) -> None:
    disk = SimulatedDisk(tmp_path, random.Random(1))
    watched = WatchedStore(disk)
    assert watched.open()
    watched.create_rooms("a", "b")
    for _ in range(5):
        watched.commit({"a": 2, "b": 1})
        disk.power_loss(loss)
        watched.close()
        assert watched.open()
    ((_, room), _) = next(iter(watched.possible))
    assert room.room.head_seq == 10
    watched.close()
    disk.close()


def test_a_journal_that_comes_back_beside_a_new_log_does_not_keep_the_store_shut(
    tmp_path: Path,
) -> None:
    came_back = 0
    for seed in range(160):
        disk = SimulatedDisk(tmp_path / str(seed), random.Random(seed))
        watched = WatchedStore(disk)
        # Before the directory is synced, the journal was removed and the log was made.
        disk.fail_call(seed // 8 + 1, Call.SYNC, Fault.POWER)
        watched.open()
        disk.power_loss()
        watched.close()
        names = {path.name for path in watched.path.glob("*")}
        came_back += names >= {"roomlog.sqlite3-journal", "roomlog.sqlite3-wal"}
        assert watched.open()
        watched.create_rooms("a")
        watched.commit({"a": 1})
        assert watched.look()
        watched.close()
        disk.close()
    assert came_back > 0


def test_nothing_is_written_behind_what_a_failed_sync_left_before_the_store_was_opened_again(
    tmp_path: Path,
) -> None:
    disk = SimulatedDisk(tmp_path, random.Random(1))
    watched = WatchedStore(disk)
    assert watched.open()
    watched.create_rooms("a")
    # The commit's sync, and those of every attempt to find out what became of it.
    disk.fail_call(1, Call.SYNC, times=3)
    watched.commit({"a": 1})
    watched.close()
    disk.faults.clear()
    # The system still shows what was written, but calls it clean: no sync will ever write it.
    assert watched.open()
    watched.commit({"a": 1})
    disk.power_loss(Loss.EVERYTHING)
    watched.close()
    assert watched.open()
    disk.close()


def test_a_log_of_which_a_failed_sync_lost_the_end_does_not_come_back_over_the_database(
    tmp_path: Path,
) -> None:
    disk = SimulatedDisk(tmp_path, random.Random(1))
    watched = WatchedStore(disk)
    assert watched.open()
    watched.create_rooms("a")
    disk.fail_call(1, Call.SYNC, times=3)
    watched.commit({"a": 1})
    watched.close()
    disk.faults.clear()
    # Found in the log, copied into the database, and told to whoever reads.
    assert watched.open()
    ((_, room),) = next(iter(watched.possible))
    assert room.room.head_seq == 1
    # What was cut off the log was not synced: on the disk it is as long as its last good sync.
    disk.power_loss(Loss.EVERYTHING)
    watched.close()
    assert watched.open()
    watched.close()
    disk.close()
