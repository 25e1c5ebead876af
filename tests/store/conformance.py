"""The suite that every backend of `NodeStore` passes.

A backend's test module subclasses `NodeStoreConformance` and gives a `store` fixture; a durable one
subclasses `DurableStoreConformance` too and gives `reopen`.
"""

from __future__ import annotations

import threading
from collections.abc import Callable

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from roomlog.core.node import Node
from roomlog.core.pack.codec import encode_pack
from roomlog.store.append_check import head_bytes_of
from roomlog.store.errors import RoomExists, RoomUnknown, StoreUnavailable
from roomlog.store.interface import Append, AppendStatus, NewRoom, NodeStore, StoredRoom
from tests.store.chains import (
    AUTHOR,
    Chain,
    create_room,
    make_append,
    new_room,
    stored_appends,
    written,
)

# One store serves all examples: each makes rooms of its own.
ONE_STORE = settings(
    max_examples=25,
    deadline=None,
    suppress_health_check=[
        HealthCheck.function_scoped_fixture,
        HealthCheck.differing_executors,
    ],
)


def statuses(store: NodeStore, *appends: Append) -> list[str]:
    return [outcome.status.value for outcome in store.commit(appends)]


class NodeStoreConformance:
    """What holds for every backend."""

    def test_a_created_room_is_found_with_what_it_was_created_with(self, store: NodeStore) -> None:
        asked = new_room("lobby", created_ms=77)
        (room,) = store.create_rooms([asked])
        assert room == StoredRoom("lobby", asked.lineage, asked.epoch, 0, 77)
        assert store.open_room("lobby") == room

    def test_creating_a_room_twice_fails_and_leaves_the_first_as_it_is(
        self, store: NodeStore
    ) -> None:
        first = create_room(store)
        (again,) = store.create_rooms([new_room("room")])
        assert isinstance(again, RoomExists)
        assert again.room_id == "room"
        assert store.open_room("room") == first

    def test_one_existing_room_in_a_batch_of_creations_fails_alone(self, store: NodeStore) -> None:
        create_room(store, "b")
        results = store.create_rooms([new_room(name) for name in "abca"])
        assert [type(result) for result in results] == [
            StoredRoom,
            RoomExists,
            StoredRoom,
            RoomExists,
        ]
        assert [room.room_id for room in store.rooms()] == ["a", "b", "c"]

    def test_rooms_are_listed_by_room_id_with_their_heads(self, store: NodeStore) -> None:
        for name in ("zebra", "alpha", "Mid~dle.1"):
            create_room(store, name)
        store.commit([Chain(store.open_room("alpha")).append(3)])  # type: ignore[arg-type]
        assert [(room.room_id, room.head_seq) for room in store.rooms()] == [
            ("Mid~dle.1", 0),
            ("alpha", 3),
            ("zebra", 0),
        ]

    def test_an_unknown_room_is_none_or_a_typed_error_never_empty(self, store: NodeStore) -> None:
        assert store.open_room("nowhere") is None
        with pytest.raises(RoomUnknown):
            list(store.load_index("nowhere"))
        with pytest.raises(RoomUnknown):
            store.read_log("nowhere", 0, 10)
        with pytest.raises(RoomUnknown):
            list(store.admissions("nowhere"))

    def test_an_append_to_an_unknown_room_fails_alone(self, store: NodeStore) -> None:
        known, unknown = (
            Chain(create_room(store)),
            Chain(StoredRoom("x", b"l" * 32, b"e" * 16, 0, 0)),
        )
        assert statuses(store, unknown.append(), known.append()) == ["failed", "committed"]

    def test_committed_appends_are_read_back_byte_for_byte(self, store: NodeStore) -> None:
        chain = Chain(create_room(store))
        batch = [chain.append(count) for count in (1, 3, 1, 20, 2)]
        assert statuses(store, *batch) == ["committed"] * 5
        assert stored_appends(store, "room") == written(batch)
        room = store.open_room("room")
        assert room is not None
        assert room.head_seq == 27

    def test_the_index_gives_ids_and_headers_but_no_signature_and_no_body(
        self, store: NodeStore
    ) -> None:
        chain = Chain(create_room(store))
        batch = [chain.append(2, value="secret-value"), chain.append(1, value="secret-value")]
        store.commit(batch)
        rows = list(store.load_index("room"))
        assert [(row.from_seq, row.to_seq) for row in rows] == [(1, 2), (3, 3)]
        for row, append in zip(rows, batch, strict=True):
            assert row.ids == append.ids
            assert row.head == append.pack[: head_bytes_of(append.pack)]
            assert b"secret-value" not in row.head
        assert chain.nodes[0].signature is not None
        assert chain.nodes[0].signature not in rows[0].head

    def test_a_room_without_nodes_has_an_empty_index_and_log(self, store: NodeStore) -> None:
        create_room(store)
        assert list(store.load_index("room")) == []
        assert store.read_log("room", 0, 10) == []
        assert list(store.admissions("room")) == []

    def test_reading_past_the_head_is_empty(self, store: NodeStore) -> None:
        chain = Chain(create_room(store))
        store.commit([chain.append(4)])
        assert store.read_log("room", 4, 10) == []
        assert store.read_log("room", 400, 10) == []
        assert list(store.admissions("room", after_seq=4)) == []

    @pytest.mark.parametrize("from_seq", [1, 2, 4, 5, 1 << 40])
    def test_an_append_that_does_not_follow_the_head_fails_and_changes_nothing(
        self, store: NodeStore, from_seq: int
    ) -> None:
        chain = Chain(create_room(store))
        first, second = chain.append(2), chain.append(1)
        assert statuses(store, first) == ["committed"]
        wrong = msgspec.structs.replace(second, from_seq=from_seq)
        assert statuses(store, wrong) == ["failed"]
        assert stored_appends(store, "room") == written([first])
        assert statuses(store, second) == ["committed"]

    def test_a_wrong_from_seq_inside_a_batch_fails_it_and_those_that_build_on_it_only(
        self, store: NodeStore
    ) -> None:
        a, b = Chain(create_room(store, "a")), Chain(create_room(store, "b"))
        a1, a2, a3 = a.append(2), a.append(2), a.append(2)
        b1, b2 = b.append(), b.append()
        gap = msgspec.structs.replace(a2, from_seq=4)
        assert statuses(store, a1, b1, gap, a3, b2) == [
            "committed",
            "committed",
            "failed",
            "failed",
            "committed",
        ]
        assert stored_appends(store, "a") == written([a1])
        assert stored_appends(store, "b") == written([b1, b2])

    def test_an_append_of_another_epoch_fails(self, store: NodeStore) -> None:
        append = Chain(create_room(store)).append()
        assert statuses(store, msgspec.structs.replace(append, epoch=b"?" * 16)) == ["failed"]
        assert statuses(store, append) == ["committed"]

    def test_t59_one_poison_row_fails_only_its_own_pack(self, store: NodeStore) -> None:
        chains = [Chain(create_room(store, f"room-{index}")) for index in range(6)]
        good = [chain.append(2) for chain in chains]
        poisons = [
            msgspec.structs.replace(good[0], ids=b"short"),
            msgspec.structs.replace(good[1], pack=b""),
            msgspec.structs.replace(good[2], pack=b"\x01\x06\x01\xff\xff\xff\x7f" + bytes(50)),
            msgspec.structs.replace(good[3], submitter=b"nobody"),
            msgspec.structs.replace(good[4], admitted_ms=1 << 70),
            msgspec.structs.replace(good[5], lineage=b"short"),
        ]
        outcomes = statuses(
            store, *[each for pair in zip(poisons, good, strict=True) for each in pair]
        )
        assert outcomes == ["failed", "committed"] * 6
        for chain, append in zip(chains, good, strict=True):
            assert stored_appends(store, chain.room.room_id) == written([append])

    def test_every_failed_append_says_why(self, store: NodeStore) -> None:
        append = Chain(create_room(store)).append()
        wrong = [
            msgspec.structs.replace(append, from_seq=0),
            msgspec.structs.replace(append, count=0, ids=b""),
            msgspec.structs.replace(append, epoch=b""),
            msgspec.structs.replace(append, from_seq=9),
            msgspec.structs.replace(append, room_id="\ud800"),
        ]
        for outcome in store.commit(wrong):
            assert outcome.status is AppendStatus.FAILED
            assert outcome.reason
            assert not outcome.is_committed

    def test_what_is_no_room_is_refused_and_the_store_goes_on(self, store: NodeStore) -> None:
        wrong = [
            NewRoom("", bytes(32), bytes(16), 1),
            NewRoom("\ud800", bytes(32), bytes(16), 1),
            NewRoom("a", bytes(31), bytes(16), 1),
            NewRoom("a", bytes(32), bytes(16), 1 << 80),
        ]
        assert {type(result) for result in store.create_rooms(wrong)} == {ValueError}
        assert create_room(store, "a").head_seq == 0

    def test_a_pack_of_any_frame_is_split_behind_its_headers(self, store: NodeStore) -> None:
        chain = Chain(create_room(store))
        append = chain.append(2)
        (node, _) = chain.nodes
        bare = msgspec.structs.replace(
            append, pack=encode_pack(chain.nodes, signatures=False, bodies=False)
        )
        endless = msgspec.structs.replace(append, pack=b"\x01\x02" + b"\xff" * 12)
        assert statuses(store, endless) == ["failed"]
        assert statuses(store, bare) == ["committed"]
        (row,) = store.load_index("room")
        assert bare.pack.startswith(row.head)
        assert node.body_hash in bare.pack
        assert node.body_hash not in row.head

    def test_an_empty_batch_is_fine(self, store: NodeStore) -> None:
        assert store.commit([]) == []
        assert store.create_rooms([]) == []

    def test_a_page_starts_with_the_row_that_holds_the_next_seq(self, store: NodeStore) -> None:
        chain = Chain(create_room(store))
        batch = [chain.append(4) for _ in range(5)]
        store.commit(batch)
        assert [row.from_seq for row in store.read_log("room", 0, 100)] == [1, 5, 9, 13, 17]
        for after_seq in range(20):
            (row,) = store.read_log("room", after_seq, 1)
            assert row.from_seq <= after_seq + 1 <= row.to_seq

    def test_a_page_ends_before_the_row_that_would_pass_a_limit(self, store: NodeStore) -> None:
        chain = Chain(create_room(store))
        batch = [chain.append(4) for _ in range(5)]
        store.commit(batch)
        assert len(store.read_log("room", 0, 12)) == 3
        assert len(store.read_log("room", 0, 15)) == 3
        two_packs_bytes = len(batch[0].pack) + len(batch[1].pack)
        assert len(store.read_log("room", 0, 100, two_packs_bytes)) == 2
        assert len(store.read_log("room", 0, 100, two_packs_bytes - 1)) == 1
        assert len(store.read_log("room", 0, 100, 1)) == 1

    def test_admission_records_say_who_when_and_under_which_lineage(self, store: NodeStore) -> None:
        room = create_room(store)
        chain = Chain(room)
        plain = chain.append(2, admitted_ms=10)
        special = msgspec.structs.replace(
            chain.append(1, admitted_ms=20),
            policy_head=b"p" * 32,
            lineage=b"o" * 32,
            reinstated=True,
        )
        store.commit([plain, special])
        first, second = store.admissions("room")
        assert (first.epoch, first.from_seq, first.to_seq) == (room.epoch, 1, 2)
        assert (first.admitted_ms, first.submitter) == (10, AUTHOR.public_key)
        assert (first.policy_head, first.lineage, first.reinstated) == (None, room.lineage, False)
        assert (second.from_seq, second.admitted_ms) == (3, 20)
        assert (second.policy_head, second.lineage, second.reinstated) == (
            b"p" * 32,
            b"o" * 32,
            True,
        )

    def test_admission_records_can_be_read_from_a_seq_on_and_bounded(
        self, store: NodeStore
    ) -> None:
        chain = Chain(create_room(store))
        store.commit([chain.append(2) for _ in range(5)])
        assert [each.from_seq for each in store.admissions("room", after_seq=4)] == [5, 7, 9]
        assert [each.from_seq for each in store.admissions("room", after_seq=5)] == [5, 7, 9]
        assert [each.from_seq for each in store.admissions("room", max_records=2)] == [1, 3]
        assert list(store.admissions("room", max_records=0)) == []

    def test_a_log_longer_than_any_page_is_read_whole(self, store: NodeStore) -> None:
        room = create_room(store)
        node = self._node(room)
        pack = encode_pack([node])
        batch = [
            msgspec.structs.replace(
                make_append(room, seq, [node]), pack=pack, ids=seq.to_bytes(32, "big")
            )
            for seq in range(1, 5_001)
        ]
        assert set(statuses(store, *batch)) == {"committed"}
        index = list(store.load_index("room"))
        assert [row.ids for row in index] == [append.ids for append in batch]
        assert sum(1 for _ in store.admissions("room")) == 5_000
        assert [each.from_seq for each in store.admissions("room", 2_000, 2_500)] == list(
            range(2_001, 4_501)
        )

    @staticmethod
    def _node(room: StoredRoom) -> Node:
        chain = Chain(room)
        chain.append()
        return chain.nodes[0]

    def test_reads_beside_writes_see_only_whole_contiguous_prefixes(self, store: NodeStore) -> None:
        chain = Chain(create_room(store))
        batches = [[chain.append(2), chain.append(1)] for _ in range(40)]
        faults: list[str] = []
        finished = threading.Event()

        def read() -> None:
            while not finished.is_set():
                rows = list(store.load_index("room"))
                ends = [row.to_seq for row in rows]
                if [row.from_seq for row in rows] != [1, *(end + 1 for end in ends[:-1])][
                    : len(rows)
                ]:
                    faults.append(f"a gap in {ends}")
                if ends and ends[-1] % 3:
                    faults.append(f"half a batch, up to {ends[-1]}")

        readers = [threading.Thread(target=read) for _ in range(2)]
        for reader in readers:
            reader.start()
        for batch in batches:
            assert statuses(store, *batch) == ["committed", "committed"]
        finished.set()
        for reader in readers:
            reader.join()
        assert faults == []

    def test_a_closed_store_refuses_instead_of_being_empty(self, store: NodeStore) -> None:
        chain = Chain(create_room(store))
        append = chain.append()
        store.close()
        for read in (store.rooms, lambda: store.open_room("room"), store.check):
            with pytest.raises(StoreUnavailable):
                read()
        with pytest.raises(StoreUnavailable):
            list(store.load_index("room"))
        (refused,) = store.create_rooms([new_room("other")])
        assert isinstance(refused, StoreUnavailable)
        assert statuses(store, append) == ["failed"]

    def test_a_sound_store_passes_its_check(self, store: NodeStore) -> None:
        chain = Chain(create_room(store))
        store.commit([chain.append(2)])
        store.check()

    @ONE_STORE
    @given(
        plan=st.lists(
            st.lists(
                st.tuples(st.integers(0, 2), st.integers(1, 3), st.integers(-1, 1)), max_size=6
            ),
            max_size=6,
        )
    )
    def test_any_mix_of_right_and_wrong_appends_leaves_what_a_naive_model_keeps(
        self, store: NodeStore, plan: list[list[tuple[int, int, int]]]
    ) -> None:
        prefix = f"h{len(store.rooms())}-"
        rooms = [create_room(store, f"{prefix}{index}") for index in range(3)]
        source = self._node(rooms[0])
        heads = [0, 0, 0]
        kept: list[list[tuple[int, int]]] = [[], [], []]
        planned = [0, 0, 0]
        for batch in plan:
            appends, expected = [], []
            for which, count, offset in batch:
                from_seq = planned[which] + 1 + offset
                append = make_append(rooms[which], max(from_seq, 1), [source] * count)
                appends.append(append)
                planned[which] = append.to_seq
                if append.from_seq == heads[which] + 1:
                    heads[which] = append.to_seq
                    kept[which].append((append.from_seq, append.to_seq))
                    expected.append("committed")
                else:
                    expected.append("failed")
                    planned[which] = heads[which]
            assert statuses(store, *appends) == expected
        for which, room in enumerate(rooms):
            index = [(row.from_seq, row.to_seq) for row in store.load_index(room.room_id)]
            assert index == kept[which]


class DurableStoreConformance:
    """What holds for a backend whose commits outlive the process."""

    def test_reopening_gives_everything_as_before(
        self, store: NodeStore, reopen: Callable[[], NodeStore]
    ) -> None:
        chains = [Chain(create_room(store, f"room-{index}")) for index in range(3)]
        for _ in range(3):
            store.commit([chain.append(2) for chain in chains])
        before = (store.identity, store.rooms())
        logs = [stored_appends(store, chain.room.room_id) for chain in chains]
        records = [list(store.admissions(chain.room.room_id)) for chain in chains]
        again = reopen()
        assert (again.identity, again.rooms()) == before
        assert [stored_appends(again, chain.room.room_id) for chain in chains] == logs
        assert [list(again.admissions(chain.room.room_id)) for chain in chains] == records

    def test_a_reopened_store_goes_on_where_it_stopped(
        self, store: NodeStore, reopen: Callable[[], NodeStore]
    ) -> None:
        chain = Chain(create_room(store))
        first = chain.append(2)
        store.commit([first])
        again = reopen()
        second = chain.append(3)
        assert statuses(again, first) == ["failed"]
        assert statuses(again, second) == ["committed"]
        assert stored_appends(again, "room") == written([first, second])

    def test_the_epoch_and_the_lineage_of_a_room_never_change(
        self, store: NodeStore, reopen: Callable[[], NodeStore]
    ) -> None:
        room = create_room(store)
        store.commit([Chain(room).append()])
        found = reopen().open_room("room")
        assert found is not None
        assert (found.epoch, found.lineage) == (room.epoch, room.lineage)

    def test_it_calls_itself_durable(self, store: NodeStore) -> None:
        assert store.is_durable
