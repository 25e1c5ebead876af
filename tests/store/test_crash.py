"""kill -9 of a process that commits: whatever it told as durable is there afterwards."""

from __future__ import annotations

import random
import subprocess
import sys
from pathlib import Path

from roomlog.store.sqlite import SqliteStore
from tests.store.chains import stored_appends

ROUNDS = 8
ROOMS = ("a", "b", "c")
CHILD = Path(__file__).parent / "committing_child.py"


def run_until_killed(store: Path, lines_before_kill: int) -> dict[str, int]:
    """The greatest acknowledged seq of each room, of a child killed after so many lines."""
    child = subprocess.Popen(
        [sys.executable, str(CHILD), str(store), *ROOMS], stdout=subprocess.PIPE, text=True
    )
    assert child.stdout is not None
    told = [child.stdout.readline() for _ in range(lines_before_kill)]
    child.kill()
    rest, _ = child.communicate()
    told += rest.splitlines(keepends=True)
    acknowledged: dict[str, int] = {}
    for line in told:
        if line.endswith("\n"):
            room_id, seq, status = line.split()
            assert status == "committed"
            acknowledged[room_id] = int(seq)
    return acknowledged


def test_t20_every_acknowledged_seq_is_there_after_kill_9_at_any_moment(tmp_path: Path) -> None:
    generator = random.Random(9)
    path = tmp_path / "store"
    for _ in range(ROUNDS):
        acknowledged = run_until_killed(path, generator.randrange(1, 2_000))
        assert acknowledged
        store = SqliteStore.open(path, store_id=bytes(16), now_ms=1)
        for room_id, seq in acknowledged.items():
            room = store.open_room(room_id)
            assert room is not None
            assert room.head_seq >= seq
            index = list(store.load_index(room_id))
            assert index[-1].to_seq == room.head_seq
            assert len(stored_appends(store, room_id)) == len(index)
            assert sum(1 for _ in store.admissions(room_id)) == len(index)
        store.check()
        store.close()


def test_a_store_left_by_kill_9_can_be_read_without_opening_it_for_writing(tmp_path: Path) -> None:
    path = tmp_path / "store"
    acknowledged = run_until_killed(path, 300)
    database = (path / "roomlog.sqlite3").read_bytes()
    log = (path / "roomlog.sqlite3-wal").read_bytes()
    reader = SqliteStore.open_read_only(path)
    for room_id, seq in acknowledged.items():
        room = reader.open_room(room_id)
        assert room is not None
        assert room.head_seq >= seq
        assert list(reader.load_index(room_id))[-1].to_seq == room.head_seq
    reader.close()
    assert (path / "roomlog.sqlite3").read_bytes() == database
    assert (path / "roomlog.sqlite3-wal").read_bytes() == log
