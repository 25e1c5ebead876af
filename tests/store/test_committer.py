"""The writer thread: batches, order, limits, and what it says when the store fails."""

from __future__ import annotations

import itertools
import os
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import pytest

from roomlog.store.committer import QUEUED_TASKS, Committer, Outcomes
from roomlog.store.errors import QueueFull, RoomExists, StoreUnavailable
from roomlog.store.interface import Append, AppendOutcome, AppendStatus, NewRoom, StoredRoom
from roomlog.store.memory import MemoryStore
from tests.store.chains import Chain, create_room, new_room, stored_appends, written

SECONDS = 30


class GatedStore:
    """A memory store whose writes wait until they are let through, so that a queue can gather."""

    def __init__(self) -> None:
        self.inner = MemoryStore(os.urandom(16), 1)
        self.gate = threading.Semaphore(0)
        self.entered = threading.Semaphore(0)
        self.batches: list[int] = []
        self.error: Exception | None = None

    def __getattr__(self, name: str) -> Any:
        return getattr(self.inner, name)

    def commit(self, batch: Sequence[Append]) -> list[AppendOutcome]:
        self._pass()
        self.batches.append(len(batch))
        return self.inner.commit(batch)

    def create_rooms(self, rooms: Sequence[NewRoom]) -> list[StoredRoom | Exception]:
        self._pass()
        return self.inner.create_rooms(rooms)

    def _pass(self) -> None:
        self.entered.release()
        assert self.gate.acquire(timeout=SECONDS)
        if self.error is not None:
            raise self.error


class Setup:
    def __init__(self, **limits: int) -> None:
        self.store = GatedStore()
        self.chain = Chain(create_room(self.store.inner))
        self.batches: list[Outcomes] = []
        ticks = itertools.count()
        self.committer = Committer(
            self.store, self.batches.append, clock=lambda: float(next(ticks)), **limits
        )

    def open_gate(self) -> None:
        for _ in range(1_000):
            self.store.gate.release()

    def hold_one(self) -> None:
        """Submit one append and wait until the writer is inside its commit."""
        self.committer.submit(self.chain.append())
        assert self.store.entered.acquire(timeout=SECONDS)

    def outcomes(self) -> list[str]:
        return [outcome.status.value for batch in self.batches for _, outcome in batch]


@pytest.fixture
def setups() -> Iterator[list[Setup]]:
    made: list[Setup] = []
    yield made
    for setup in made:
        setup.open_gate()
        setup.committer.close()


def make(setups: list[Setup], **limits: int) -> Setup:
    setups.append(Setup(**limits))
    return setups[-1]


def test_what_gathers_during_one_commit_is_the_next_batch(setups: list[Setup]) -> None:
    setup = make(setups)
    setup.hold_one()
    for _ in range(7):
        setup.committer.submit(setup.chain.append())
    assert setup.committer.queued_appends == 7
    setup.open_gate()
    setup.committer.flush()
    assert setup.store.batches == [1, 7]
    assert [len(batch) for batch in setup.batches] == [1, 7]
    assert (setup.committer.queued_appends, setup.committer.queued_bytes) == (0, 0)


def test_outcomes_come_in_the_order_of_submission_each_with_its_append(setups: list[Setup]) -> None:
    setup = make(setups, max_batch_appends=3)
    setup.open_gate()
    for _ in range(10):
        setup.committer.submit(setup.chain.append())
    setup.committer.flush()
    assert [append for batch in setup.batches for append, _ in batch] == setup.chain.appends
    assert setup.outcomes() == ["committed"] * 10
    assert max(setup.store.batches) <= 3
    assert stored_appends(setup.store.inner, "room") == written(setup.chain.appends)


def test_a_batch_is_bounded_in_bytes_but_takes_one_append_of_any_size(setups: list[Setup]) -> None:
    setup = make(setups, max_batch_bytes=2_000)
    setup.hold_one()
    for size in (10, 10, 5_000, 10):
        setup.committer.submit(setup.chain.append(value="x" * size))
    setup.open_gate()
    setup.committer.flush()
    assert setup.store.batches == [1, 2, 1, 1]


def test_a_queue_full_of_appends_takes_nothing_more(setups: list[Setup]) -> None:
    setup = make(setups, max_queued_appends=2)
    setup.hold_one()
    kept = [setup.chain.append(), setup.chain.append()]
    for append in kept:
        setup.committer.submit(append)
    refused = setup.chain.append()
    with pytest.raises(QueueFull):
        setup.committer.submit(refused)
    setup.open_gate()
    setup.committer.flush()
    setup.committer.submit(refused)
    setup.committer.flush()
    assert setup.outcomes() == ["committed"] * 4


def test_a_queue_is_bounded_in_bytes_but_takes_one_append_of_any_size(setups: list[Setup]) -> None:
    setup = make(setups, max_queued_bytes=1_000)
    setup.hold_one()
    setup.committer.submit(setup.chain.append(value="x" * 5_000))
    with pytest.raises(QueueFull, match="bytes"):
        setup.committer.submit(setup.chain.append())
    assert setup.committer.queued_bytes > 5_000


def test_rooms_are_created_by_the_same_thread_and_told_through_a_future(
    setups: list[Setup],
) -> None:
    setup = make(setups)
    asked = new_room("fresh")
    future = setup.committer.create_room(asked)
    again = setup.committer.create_room(new_room("fresh"))
    setup.open_gate()
    assert future.result(SECONDS).lineage == asked.lineage
    with pytest.raises(RoomExists):
        again.result(SECONDS)
    setup.committer.flush()
    assert setup.committer.counters.created_rooms == 1


def test_a_creation_that_was_cancelled_harms_nobody(setups: list[Setup]) -> None:
    setup = make(setups)
    setup.hold_one()
    cancelled = setup.committer.create_room(new_room("one"))
    other = setup.committer.create_room(new_room("two"))
    assert cancelled.cancel()
    setup.open_gate()
    assert other.result(SECONDS).room_id == "two"


def test_too_many_rooms_at_once_are_refused(setups: list[Setup]) -> None:
    setup = make(setups, max_queued_appends=1)
    setup.hold_one()
    setup.committer.create_room(new_room("one"))
    with pytest.raises(QueueFull):
        setup.committer.create_room(new_room("two"))


def test_t20_closing_writes_and_answers_what_is_queued_and_then_takes_nothing(
    setups: list[Setup],
) -> None:
    setup = make(setups)
    setup.hold_one()
    for _ in range(5):
        setup.committer.submit(setup.chain.append())
    future = setup.committer.create_room(new_room("late"))
    closing = threading.Thread(target=setup.committer.close)
    closing.start()
    setup.open_gate()
    closing.join(SECONDS)
    assert setup.outcomes() == ["committed"] * 6
    assert future.done()
    with pytest.raises(StoreUnavailable):
        setup.committer.submit(setup.chain.append())
    with pytest.raises(StoreUnavailable):
        setup.committer.create_room(new_room("later"))


def test_t59_a_store_that_raises_leaves_its_batch_ambiguous_and_the_thread_alive(
    setups: list[Setup],
) -> None:
    setup = make(setups)
    setup.store.error = RuntimeError("a defect")
    setup.hold_one()
    setup.store.gate.release()
    setup.committer.flush()
    ((_, outcome),) = setup.batches[0]
    assert outcome.status is AppendStatus.AMBIGUOUS
    assert "a defect" in outcome.reason
    future = setup.committer.create_room(new_room("fresh"))
    setup.store.gate.release()
    with pytest.raises(StoreUnavailable, match="a defect"):
        future.result(SECONDS)
    setup.store.error = None
    setup.open_gate()
    setup.committer.submit(setup.chain.appends[0])
    setup.committer.flush()
    assert setup.outcomes() == ["ambiguous", "committed"]


def test_trying_again_asks_the_store_in_its_own_thread_and_survives_what_it_raises(
    setups: list[Setup],
) -> None:
    setup = make(setups)
    setup.store.error = RuntimeError("a bug in a backend")
    setup.committer.try_again()
    assert setup.store.entered.acquire(timeout=SECONDS)
    setup.store.gate.release()
    setup.committer.submit(setup.chain.append())
    assert setup.store.entered.acquire(timeout=SECONDS)
    setup.store.error = None
    setup.open_gate()
    setup.committer.flush()
    assert setup.outcomes() == ["committed"]
    assert setup.store.batches == [1]


def test_counters_add_up_what_became_of_the_appends(setups: list[Setup]) -> None:
    setup = make(setups)
    setup.hold_one()
    right = setup.chain.append(3)
    setup.committer.submit(right)
    setup.committer.submit(right)
    setup.open_gate()
    setup.committer.flush()
    counters = setup.committer.counters
    assert counters.batches == 2
    assert (counters.committed_appends, counters.committed_nodes) == (2, 4)
    assert counters.committed_bytes == sum(len(each.pack) for each in setup.chain.appends)
    assert (counters.failed_appends, counters.ambiguous_appends) == (1, 0)
    assert (counters.last_batch_appends, counters.last_batch_nodes) == (2, 6)
    # The clock given ticks once a reading: one tick from the beginning to the end of a commit.
    assert (counters.commit_seconds, counters.last_commit_seconds) == (2.0, 1.0)


def test_flush_of_an_idle_committer_returns(setups: list[Setup]) -> None:
    setup = make(setups)
    setup.committer.flush()
    assert setup.batches == []


def test_many_threads_may_submit(setups: list[Setup]) -> None:
    setup = make(setups)
    setup.open_gate()
    chains = [Chain(create_room(setup.store.inner, f"room-{index}")) for index in range(4)]

    def write(chain: Chain) -> None:
        for _ in range(25):
            setup.committer.submit(chain.append())

    threads = [threading.Thread(target=write, args=(chain,)) for chain in chains]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(SECONDS)
    setup.committer.flush()
    assert setup.outcomes() == ["committed"] * 100
    for chain in chains:
        assert stored_appends(setup.store.inner, chain.room.room_id) == written(chain.appends)


def test_it_measures_with_the_clock_it_is_given() -> None:
    committer = Committer(MemoryStore(bytes(16), 1), lambda _: None, clock=time.monotonic)
    committer.close()
    assert committer.counters.commit_seconds == 0.0


def test_a_task_runs_after_every_append_that_was_submitted_before_it_and_lets_later_ones_by(
    setups: list[Setup],
) -> None:
    setup = make(setups, max_batch_appends=2)
    setup.hold_one()
    for _ in range(4):
        setup.committer.submit(setup.chain.append())
    heads: list[int] = []

    def look() -> int:
        room = setup.store.inner.open_room("room")
        assert room is not None
        heads.append(room.head_seq)
        return room.head_seq

    first, second = setup.committer.run(look), setup.committer.run(look)
    for _ in range(4):
        setup.committer.submit(setup.chain.append())
    setup.open_gate()
    assert first.result(SECONDS) == 5
    # A batch of what came later lies between two tasks.
    assert second.result(SECONDS) == 7
    setup.committer.flush()
    assert heads == [5, 7]
    assert setup.outcomes() == ["committed"] * 9


def test_a_task_that_raises_tells_its_future_and_the_thread_lives(setups: list[Setup]) -> None:
    setup = make(setups)

    def fail() -> None:
        raise OSError("no disk")

    with pytest.raises(OSError, match="no disk"):
        setup.committer.run(fail).result(SECONDS)
    assert setup.committer.run(lambda: 7).result(SECONDS) == 7


def test_a_task_that_was_cancelled_is_not_run(setups: list[Setup]) -> None:
    setup = make(setups)
    setup.hold_one()
    done: list[int] = []
    assert setup.committer.run(lambda: done.append(1)).cancel()
    after = setup.committer.run(lambda: done.append(2))
    setup.open_gate()
    after.result(SECONDS)
    assert done == [2]


def test_tasks_are_bounded_and_those_queued_are_done_before_closing(setups: list[Setup]) -> None:
    setup = make(setups)
    setup.hold_one()
    queued = [setup.committer.run(lambda: 1) for _ in range(QUEUED_TASKS)]
    with pytest.raises(QueueFull):
        setup.committer.run(lambda: 1)
    setup.open_gate()
    setup.committer.close()
    assert sum(each.result(0) for each in queued) == QUEUED_TASKS
    with pytest.raises(StoreUnavailable):
        setup.committer.run(lambda: 1)


def test_who_says_when_they_are_through_wakes_the_writer_once_for_all_they_submitted() -> None:
    store = MemoryStore(os.urandom(16), 1)
    chain = Chain(create_room(store))
    through: list[Callable[[], None]] = []
    batches: list[Outcomes] = []
    committer = Committer(store, batches.append, clock=time.monotonic, soon=through.append)
    while not committer._is_waiting:
        time.sleep(0.001)
    for _ in range(5):
        committer.submit(chain.append())
    assert len(through) == 1
    assert not batches
    through[0]()
    committer.flush()
    assert [len(batch) for batch in batches] == [5]
    committer.submit(chain.append())
    committer.close()
    assert len(batches) == 2, "closing asks nobody whether they are through"
