"""The worker process from the server's side: its turns, its faults, its end."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import time
from collections.abc import AsyncIterator
from pathlib import Path

import msgspec
import pytest

from roomlog.core.replica import Replica
from roomlog.server.metrics import Metrics
from roomlog.server.store_reader import StoreReader
from roomlog.server.worker_frames import GO, TASK, HashFound, ReplayTask, frame
from roomlog.server.workers import Worker, WorkFailed
from roomlog.store.interface import NodeStore
from roomlog.store.sqlite import SqliteStore
from tests.server.conftest import eventually
from tests.store.chains import Chain, create_room

SLEEPER = "import time; time.sleep(600)"


@pytest.fixture
def store(tmp_path: Path) -> SqliteStore:
    return SqliteStore.open(tmp_path / "store", store_id=bytes(16), now_ms=1)


@pytest.fixture
async def worker(store: SqliteStore) -> AsyncIterator[Worker]:
    reader = StoreReader(store, Metrics(), time.monotonic)
    worker = Worker(store, str(store.path), reader, monotonic=time.monotonic)
    yield worker
    await worker.close()
    reader.close()
    store.close()


def hash_task(worker: Worker, head_seq: int, room_id: str = "room") -> ReplayTask:
    return ReplayTask("hash", worker.path, room_id, bytes(32), head_seq)


async def hash_of(worker: Worker, head_seq: int, room_id: str = "room") -> str:
    parts: list[bytes] = []

    async def take(part: bytes) -> None:
        parts.append(part)

    await worker.run(hash_task(worker, head_seq, room_id), take)
    (part,) = parts
    return msgspec.msgpack.decode(part, type=HashFound).hash


def written(store: NodeStore, count: int) -> str:
    chain = Chain(create_room(store))
    store.commit([chain.append(count)])
    replica = Replica("room", lineage=chain.room.lineage)
    replica.add_nodes(chain.nodes)
    return replica.state_hash().hex


async def test_tasks_take_turns_in_one_process(worker: Worker, store: SqliteStore) -> None:
    expected = written(store, 7)
    assert await asyncio.gather(*(hash_of(worker, 7) for _ in range(3))) == [expected] * 3
    pid = worker.pid
    assert await hash_of(worker, 7) == expected
    assert worker.pid == pid


async def test_a_task_that_cannot_be_done_says_why_and_leaves_the_process_well(
    worker: Worker, store: SqliteStore
) -> None:
    expected = written(store, 3)
    with pytest.raises(WorkFailed, match="nowhere"):
        await hash_of(worker, 3, "nowhere")
    pid = worker.pid
    with pytest.raises(WorkFailed, match="3 of 4"):
        await hash_of(worker, 4)
    assert await hash_of(worker, 3) == expected
    assert worker.pid == pid


async def test_a_process_that_dies_fails_its_task_and_the_next_one_gets_another(
    worker: Worker, store: SqliteStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    expected = written(store, 3)
    monkeypatch.setattr("roomlog.server.workers._START", SLEEPER)
    task = asyncio.create_task(hash_of(worker, 3))
    await eventually(lambda: worker.pid is not None)
    pid = worker.pid
    assert pid is not None
    os.kill(pid, signal.SIGKILL)
    with pytest.raises(WorkFailed, match="gone"):
        await task
    monkeypatch.undo()
    assert await hash_of(worker, 3) == expected
    assert worker.pid != pid
    # Also one that died while it had nothing to do.
    second = worker.pid
    assert second is not None
    os.kill(second, signal.SIGKILL)
    for _ in range(3):
        try:
            assert await hash_of(worker, 3) == expected
            break
        except WorkFailed:
            continue
    else:
        pytest.fail("no process was started again")


async def test_a_task_that_takes_too_long_is_given_up_with_its_process(
    worker: Worker, store: SqliteStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    expected = written(store, 3)
    monkeypatch.setattr("roomlog.server.workers._START", SLEEPER)
    monkeypatch.setattr("roomlog.server.workers.SECONDS_MAX", 0.2)
    with pytest.raises(WorkFailed, match="longer"):
        await hash_of(worker, 3)
    assert worker.pid is None
    monkeypatch.undo()
    assert await hash_of(worker, 3) == expected


async def test_who_gives_up_takes_the_process_along_and_nobody_gets_the_wrong_answer(
    worker: Worker, store: SqliteStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    expected = written(store, 3)
    monkeypatch.setattr("roomlog.server.workers._START", SLEEPER)
    task = asyncio.create_task(hash_of(worker, 3))
    await eventually(lambda: worker.pid is not None)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert worker.pid is None
    monkeypatch.undo()
    assert await hash_of(worker, 3) == expected


async def test_a_closed_worker_takes_no_task(worker: Worker, store: SqliteStore) -> None:
    written(store, 3)
    await hash_of(worker, 3)
    pid = worker.pid
    assert pid is not None
    await worker.close()
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)
    with pytest.raises(WorkFailed, match="stop"):
        await hash_of(worker, 3)


def test_the_process_ends_when_nobody_holds_its_input_any_more() -> None:
    start = "from roomlog.server.worker_process import main; main()"
    ended = subprocess.run([sys.executable, "-c", start], input=b"", timeout=60, check=False)
    assert ended.returncode == 0


@pytest.mark.parametrize("has_store", [True, False])
def test_the_process_of_a_server_that_was_killed_leaves_without_a_word(
    has_store: bool, store: SqliteStore
) -> None:
    written(store, 3)
    start = "from roomlog.server.worker_process import main; main()"
    task = ReplayTask(
        "hash", str(store.path if has_store else store.path / "gone"), "room", bytes(32), 3
    )
    process = subprocess.Popen(
        [sys.executable, "-c", start],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    assert process.stdin is not None
    assert process.stdout is not None
    process.stdout.close()
    process.stdin.write(frame(TASK, msgspec.msgpack.encode(task)) + frame(GO))
    process.stdin.flush()
    assert process.wait(timeout=60) == 0
    assert process.stderr is not None
    assert process.stderr.read() == b""
    process.stdin.close()
    process.stderr.close()
