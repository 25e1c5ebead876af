"""A committer over a disk that fails on demand: committed is there for ever, failed is nowhere."""

from __future__ import annotations

import shutil
import sqlite3

import msgspec
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from roomlog.store.committer import Committer, Outcomes
from roomlog.store.errors import RoomExists, StoreUnavailable
from roomlog.store.interface import Append, AppendStatus, NewRoom, StoredRoom
from roomlog.store.sqlite import SqliteStore
from tests.state_machines import machine_test, scratch_directory
from tests.store.chains import stored_appends, written
from tests.store.faults import Faults
from tests.store.synthetic_appends import bytes_of, synthetic_append

ROOMS = ["a", "b"]
STATEMENTS = [
    "COMMIT",
    "COMMIT",
    "BEGIN",
    "INSERT INTO log",
    "INSERT INTO admission",
    "UPDATE room",
    "SAVEPOINT",
    "RELEASE",
    "ROLLBACK",
    "PRAGMA wal_checkpoint",
]


class CommitterMachine(RuleBasedStateMachine):
    """The owner of two rooms: it numbers appends, and reads a room again when it is in doubt."""

    def __init__(self) -> None:
        super().__init__()
        self.path = scratch_directory()
        self.faults = Faults()
        self.outcomes: Outcomes = []
        self.names = 0
        self.rooms: dict[str, StoredRoom] = {}
        self.heads: dict[str, int] = {}
        self.committed: dict[str, list[Append]] = {}
        self.ambiguous: dict[str, list[Append]] = {}
        self.refused: list[Append] = []
        self.begin_store()

    def begin_store(self) -> None:
        self.faults.failing.clear()
        self.faults.connect_fails = 0
        self.store = SqliteStore.open(
            self.path / "store", store_id=bytes(16), now_ms=1, connect=self.faults.connect
        )
        self.committer = Committer(self.store, self.outcomes.extend, clock=lambda: 0.0)

    def teardown(self) -> None:
        self.committer.close()
        self.store.close()
        shutil.rmtree(self.path)

    @initialize()
    def begin(self) -> None:
        for name in ROOMS:
            self.create(name)

    def create(self, name: str) -> None:
        self.names += 1
        fresh = bytes_of(f"room {self.names}", 48)
        future = self.committer.create_room(NewRoom(name, fresh[:32], fresh[32:], 7))
        self.committer.flush()
        try:
            room = future.result()
        except (RoomExists, StoreUnavailable):
            return
        assert room.head_seq == 0
        assert name not in self.rooms
        self.rooms[name] = room
        self.heads[name] = 0
        self.committed[name], self.ambiguous[name] = [], []

    @rule(name=st.sampled_from(ROOMS))
    def create_again(self, name: str) -> None:
        self.create(name)

    @rule(
        plan=st.lists(
            st.tuples(
                st.sampled_from(ROOMS),
                st.integers(1, 3),
                st.sampled_from(["", "", "", "gap", "poison"]),
            ),
            min_size=1,
            max_size=6,
        ),
        is_flushed=st.booleans(),
    )
    def submit(self, plan: list[tuple[str, int, str]], is_flushed: bool) -> None:
        for name, count, flaw in plan:
            self.names += 1
            from_seq = self.heads[name] + 1 + (flaw == "gap")
            epoch = self.rooms[name].epoch
            append = synthetic_append(name, epoch, from_seq, count, self.names)
            if flaw == "poison":
                append = msgspec.structs.replace(append, submitter=b"nobody")
            self.committer.submit(append)
            if not flaw:
                self.heads[name] = append.to_seq
        if is_flushed:
            self.flush()

    @rule(
        statement=st.sampled_from(STATEMENTS),
        times=st.integers(1, 3),
        committing_first=st.booleans(),
        connect_fails=st.sampled_from([0, 0, 0, 1, 2]),
        is_full=st.booleans(),
    )
    def let_fail(
        self,
        statement: str,
        times: int,
        committing_first: bool,
        connect_fails: int,
        is_full: bool,
    ) -> None:
        self.committer.flush()
        self.faults.committing_first = committing_first
        self.faults.connect_fails = connect_fails
        self.faults.error_code = sqlite3.SQLITE_FULL if is_full else sqlite3.SQLITE_IOERR_FSYNC
        self.faults.failing[statement] = times

    @rule()
    def flush(self) -> None:
        """Everything is answered; then the rooms are looked at again if anything went wrong."""
        self.committer.flush()
        doubtful = False
        for append, outcome in self.outcomes:
            if outcome.status is AppendStatus.COMMITTED:
                self.settle_ambiguous(append)
                self.committed[append.room_id].append(append)
            elif outcome.status is AppendStatus.AMBIGUOUS:
                self.ambiguous[append.room_id].append(append)
                doubtful = True
            else:
                self.refused.append(append)
                doubtful = True
        self.outcomes.clear()
        if doubtful:
            self.read_again()

    def settle_ambiguous(self, following: Append) -> None:
        """Whatever lies below a committed append is in the log."""
        name = following.room_id
        for append in self.ambiguous[name]:
            if append.to_seq < following.from_seq:
                self.committed[name].append(append)
        self.ambiguous[name] = []

    def read_again(self) -> None:
        """The disk works again; what was in doubt is decided one way for all of a batch."""
        self.faults.failing.clear()
        self.faults.connect_fails = 0
        self.committer.try_again()
        self.committer.run(lambda: None).result()
        self.committer.flush()
        for name in ROOMS:
            stored = stored_appends(self.store, name)
            known = written(self.committed[name])
            maybe = written(self.ambiguous[name])
            assert stored[: len(known)] == known
            assert stored[len(known) :] == maybe[: len(stored) - len(known)]
            self.committed[name] += self.ambiguous[name][: len(stored) - len(known)]
            self.ambiguous[name] = []
            self.heads[name] = sum(append.count for append in self.committed[name])

    @rule()
    def reopen(self) -> None:
        """The process ends, with everything answered, and comes back."""
        self.committer.close()
        self.store.close()
        self.begin_store()
        self.flush()
        self.read_again()

    @invariant()
    def what_was_answered_is_so(self) -> None:
        if self.committer.queued_appends or self.outcomes or self.faults.failing:
            return
        if any(self.ambiguous.values()) or len(self.rooms) < len(ROOMS):
            return
        self.committer.flush()
        if self.outcomes:
            return
        refused = {append.ids for append in self.refused}
        for name in ROOMS:
            assert stored_appends(self.store, name) == written(self.committed[name])
            for row in self.store.load_index(name):
                assert row.ids not in refused
            room = self.store.open_room(name)
            assert room is not None
            assert room.head_seq == sum(append.count for append in self.committed[name])
            records = list(self.store.admissions(name))
            times = [append.admitted_ms for append in self.committed[name]]
            assert [each.admitted_ms for each in records] == times


TestACommittedAppendIsThereForEver = machine_test(CommitterMachine, steps=30)
