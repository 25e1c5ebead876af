"""Every backend gives the answers of the naive store, whatever is written, reopened and refused."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from typing import Any

import msgspec
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from roomlog.store.interface import (
    SNAPSHOT_CHUNK_BYTES,
    Append,
    NewRoom,
    NodeStore,
    ReconcileWindow,
    StoredRoom,
    StoredSnapshot,
    snapshot_chunks,
)
from roomlog.store.memory import MemoryStore
from roomlog.store.sqlite import SqliteStore
from tests.state_machines import machine_test, scratch_directory
from tests.store.faults import Faults
from tests.store.naive_store import NaiveStore, answer
from tests.store.synthetic_appends import bytes_of, synthetic_append

ROOMS = ["a", "b", "c"]
NOWHERE = "nowhere"
rooms = st.sampled_from([*ROOMS, NOWHERE])
counts = st.sampled_from([1, 1, 2, 5])
seqs = st.integers(1, 4)
FLAWS: dict[str, dict[str, Any]] = {
    "ids": {"ids": b"short"},
    "pack": {"pack": b""},
    "submitter": {"submitter": b"nobody"},
    "time": {"admitted_ms": 1 << 70},
    "lineage": {"lineage": b"short"},
    "epoch": {"epoch": b"?" * 16},
    "short epoch": {"epoch": b""},
}
flaws = st.sampled_from(["", "", "", "gap", "again", *FLAWS])
states = st.sampled_from([1, 5, SNAPSHOT_CHUNK_BYTES, SNAPSHOT_CHUNK_BYTES + 1])


class StoresMachine(RuleBasedStateMachine):
    """The same calls to a naive store, one in memory and one on disk."""

    def __init__(self) -> None:
        super().__init__()
        self.naive = NaiveStore()
        self.memory = MemoryStore(bytes(16), 1)
        self.faults = Faults()
        # What a disk does with syncs is not the matter here, and they are slow.
        self.faults.pragmas = ("synchronous = OFF",)
        self.path = scratch_directory()
        self.sqlite = self.open()
        self.identity = self.sqlite.identity
        self.founded: set[str] = set()
        self.names = 0

    def open(self) -> SqliteStore:
        return SqliteStore.open(
            self.path / "store", store_id=bytes(16), now_ms=1, connect=self.faults.connect
        )

    def teardown(self) -> None:
        self.sqlite.close()
        shutil.rmtree(self.path)

    def fresh(self, size: int) -> bytes:
        self.names += 1
        return bytes_of(str(self.names), size)

    def stores(self, room_id: str) -> list[NodeStore]:
        """Those that can have this room: only a store on disk is founded anew."""
        return [self.sqlite] if room_id in self.founded else [self.sqlite, self.memory]

    def ask(self, room_id: str, call: str, *arguments: Any) -> Any:
        expected = answer(getattr(self.naive, call), room_id, *arguments)
        for store in self.stores(room_id):
            assert answer(getattr(store, call), room_id, *arguments) == expected
        return expected

    def append(self, room_id: str, from_seq: int, count: int) -> Append:
        room = self.naive.by_id.get(room_id)
        self.names += 1
        epoch = b"?" * 16 if room is None else room.epoch
        return synthetic_append(room_id, epoch, from_seq, count, self.names)

    # Writing

    @initialize(names=st.sets(st.sampled_from(ROOMS), max_size=2))
    def begin(self, names: set[str]) -> None:
        self.create([(name, "") for name in sorted(names)])

    @rule(
        wanted=st.lists(
            st.tuples(st.sampled_from(ROOMS), st.sampled_from(["", "", "lineage", "epoch", "id"])),
            max_size=3,
        )
    )
    def create(self, wanted: list[tuple[str, str]]) -> None:
        asked = []
        for name, flaw in wanted:
            if name not in self.founded:
                lineage, epoch = self.fresh(32), self.fresh(16)
                asked.append(
                    NewRoom(
                        "" if flaw == "id" else name,
                        lineage[: 31 if flaw == "lineage" else 32],
                        epoch[: 15 if flaw == "epoch" else 16],
                        self.names,
                    )
                )
        expected = self.naive.create_rooms(asked)
        for store in (self.memory, self.sqlite):
            for result, wish in zip(store.create_rooms(asked), expected, strict=True):
                if isinstance(wish, Exception):
                    assert type(result) is type(wish)
                else:
                    assert result == wish

    @rule(plan=st.lists(st.tuples(rooms, counts, flaws), max_size=6))
    def commit(self, plan: list[tuple[str, int, str]]) -> None:
        """A batch; what builds on an append that fails, fails as well."""
        planned: dict[str, int] = {}
        batch = []
        for room_id, count, flaw in plan:
            room = self.naive.by_id.get(room_id)
            head = planned.get(room_id, 0 if room is None else room.head_seq)
            from_seq = max(1, head + 1 + {"gap": 1, "again": -1}.get(flaw, 0))
            append = self.append(room_id, from_seq, count)
            batch.append(msgspec.structs.replace(append, **FLAWS.get(flaw, {})))
            if not flaw or count == 5:
                planned[room_id] = append.to_seq
        expected = self.naive.commit(batch)
        got = [outcome.is_committed for outcome in self.sqlite.commit(batch)]
        assert got == expected
        both = [each.room_id not in self.founded for each in batch]
        here = [each for each, is_here in zip(batch, both, strict=True) if is_here]
        in_memory = [outcome.is_committed for outcome in self.memory.commit(here)]
        assert in_memory == [each for each, is_here in zip(got, both, strict=True) if is_here]

    @rule(
        room_id=rooms,
        plan=st.lists(st.tuples(counts, st.sampled_from(["", "", "", "gap", "ids", "epoch"]))),
        is_right=st.booleans(),
    )
    def found(self, room_id: str, plan: list[tuple[int, str]], is_right: bool) -> None:
        """Only a room that is nowhere yet can be founded, whole or not at all."""
        lineage, epoch = self.fresh(32), self.fresh(16)
        room = NewRoom(room_id, lineage, epoch, self.names)
        old_epoch = epoch if is_right else self.fresh(16)
        window = ReconcileWindow(self.fresh(16), old_epoch, epoch, 9, 0, 4, 5, 6)
        appends: list[Append] = []
        for count, flaw in plan:
            from_seq = 1 + sum(each.count for each in appends) + (flaw == "gap")
            append = msgspec.structs.replace(self.append(room_id, from_seq, count), epoch=epoch)
            appends.append(msgspec.structs.replace(append, **FLAWS.get(flaw, {})))
        expected = answer(self.naive.found_room, room, appends, window)
        assert answer(self.sqlite.found_room, room, iter(appends), window) == expected
        if isinstance(expected, StoredRoom):
            self.founded.add(room_id)

    @rule(
        room_id=rooms,
        lost=st.sampled_from(["own", "fresh", "known"]),
        is_current=st.booleans(),
        is_new=st.sampled_from([True, True, False]),
    )
    def renew_epoch(self, room_id: str, lost: str, is_current: bool, is_new: bool) -> None:
        room = self.naive.by_id.get(room_id)
        epoch = b"e" * 16 if room is None else room.epoch
        lost_epoch = epoch if lost == "own" else self.fresh(16)
        if lost == "known" and room is not None and room.windows:
            lost_epoch = room.windows[self.names % len(room.windows)].lost_epoch
        old_epoch = epoch if is_current else self.fresh(16)
        new_epoch = self.fresh(16) if is_new else lost_epoch
        window = ReconcileWindow(lost_epoch, old_epoch, new_epoch, 77, 1, 2, 3, self.names)
        self.ask(room_id, "renew_epoch", window)

    # Snapshots

    @rule(room_id=rooms, seq=seqs, size=states, count=st.integers(0, 2), shift=st.integers(0, 1))
    def write_chunks(self, room_id: str, seq: int, size: int, count: int, shift: int) -> None:
        chunks = snapshot_chunks(bytes_of(f"state {seq}", size))
        self.ask(room_id, "write_snapshot_chunks", seq, shift, chunks[shift : shift + count])

    @rule(room_id=rooms, seq=seqs, size=states)
    def finish_snapshot(self, room_id: str, seq: int, size: int) -> None:
        self.ask(room_id, "finish_snapshot", self.snapshot(seq, size))

    def snapshot(self, seq: int, size: int) -> StoredSnapshot:
        self.names += 1
        digest = bytes_of(f"state {seq}", 32)
        return StoredSnapshot(seq, self.names, b"f" * seq, b"h" * 32, digest, b"s" * 64, size)

    @rule(room_id=rooms, seq=seqs, size=states)
    def save_snapshot(self, room_id: str, seq: int, size: int) -> None:
        for number, chunk in enumerate(snapshot_chunks(bytes_of(f"state {seq}", size))):
            self.ask(room_id, "write_snapshot_chunks", seq, number, [chunk])
        self.ask(room_id, "finish_snapshot", self.snapshot(seq, size))

    @rule(room_id=rooms, chosen=st.sets(seqs, max_size=2))
    def drop_snapshots(self, room_id: str, chosen: set[int]) -> None:
        self.ask(room_id, "drop_snapshots", sorted(chosen))

    # Coming back

    @rule()
    def reopen(self) -> None:
        self.sqlite.close()
        self.sqlite = self.open()

    @rule()
    def read_beside(self) -> None:
        """Somebody who only reads sees the same, while the writer has the store open."""
        beside = SqliteStore.open_read_only(self.path / "store")
        try:
            self.compare_with(lambda room_id: [beside])
            beside.check()
        finally:
            beside.close()

    # Reading

    @rule(
        room_id=rooms,
        after_seq=st.integers(0, 30),
        max_nodes=st.integers(1, 12),
        max_bytes=st.sampled_from([1, 400, 1_000, 1 << 20]),
    )
    def read_a_page(self, room_id: str, after_seq: int, max_nodes: int, max_bytes: int) -> None:
        self.ask(room_id, "read_log", after_seq, max_nodes, max_bytes)

    @rule(room_id=rooms, after_seq=st.integers(0, 30), most=st.none() | st.integers(0, 4))
    def read_admissions(self, room_id: str, after_seq: int, most: int | None) -> None:
        self.ask(room_id, "admissions", after_seq, most)

    @rule(room_id=rooms, seq=seqs)
    def read_a_chunk(self, room_id: str, seq: int) -> None:
        self.ask(room_id, "read_snapshot", seq, 0)

    @invariant()
    def every_store_says_the_same(self) -> None:
        self.compare_with(self.stores)

    def compare_with(self, stores: Callable[[str], list[Any]]) -> None:
        rooms_there = self.naive.rooms()
        for room_id in [*ROOMS, NOWHERE]:
            for store in stores(room_id):
                there = [room for room in rooms_there if self.is_in(store, room.room_id)]
                assert store.rooms() == there
                for call in ("open_room", "load_index", "reconcile_windows", "newest_snapshots"):
                    expected = answer(getattr(self.naive, call), room_id)
                    assert answer(getattr(store, call), room_id) == expected
                for snapshot, chunks in self.snapshots_of(room_id):
                    for number, chunk in enumerate(chunks):
                        assert store.read_snapshot(room_id, snapshot.seq, number) == chunk

    def is_in(self, store: NodeStore, room_id: str) -> bool:
        return store is not self.memory or room_id not in self.founded

    def snapshots_of(self, room_id: str) -> list[tuple[StoredSnapshot, list[bytes]]]:
        room = self.naive.by_id.get(room_id)
        return [] if room is None else room.snapshots


TestEveryStoreAnswersAsTheNaiveOne = machine_test(StoresMachine, steps=40)
