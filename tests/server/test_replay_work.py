"""The worker's work without its process: snapshots and hashes from stores, in stages."""

from __future__ import annotations

import io
import random
from collections.abc import Callable

import msgspec
import pytest

from roomlog.core.node import Node
from roomlog.core.replica import Replica
from roomlog.core.snapshot.critical import newest_critical
from roomlog.core.snapshot.facts import SnapshotFacts, check_snapshot, sign_snapshot
from roomlog.core.snapshot.taking import TakenSnapshot
from roomlog.identity import Identity
from roomlog.server import replay_work
from roomlog.server.replay_work import Replay
from roomlog.server.worker_frames import (
    CHUNK,
    DONE,
    FAILED,
    FOUND,
    HEAD_BYTES,
    HashFound,
    ReplayTask,
    SnapshotFound,
    read_head,
    room_frames,
)
from roomlog.server.worker_process import room_of, serve
from roomlog.store.errors import RoomUnknown, StoreCorrupt
from roomlog.store.interface import NodeStore, StoredRoom, StoredSnapshot, snapshot_chunks
from roomlog.store.memory import MemoryStore
from tests.store.chains import create_room, make_append

SERVER = Identity.from_seed(b"s" * 32)
AUTHORS = [Identity.from_seed(bytes([number]) * 32) for number in range(1, 4)]
NODES = 400


class WrittenRoom:
    """A room that three people wrote, meeting now and then, in a store."""

    def __init__(self, seed: int) -> None:
        self.store = MemoryStore(bytes(16), 1)
        self.room: StoredRoom = create_room(self.store)
        self.nodes: list[Node] = []
        chance = random.Random(seed)
        replicas = [Replica("room", each, lineage=self.room.lineage) for each in AUTHORS]
        while len(self.nodes) < NODES:
            for replica in replicas:
                if chance.random() < 0.7:
                    self._edit(replica, chance)
                    self.nodes += [replica.node(node_id) for node_id in replica.commit(1_000)]
            if chance.random() < 0.4:
                for replica in replicas:
                    replica.add_nodes(self.nodes)
        seq = 1
        while seq <= len(self.nodes):
            nodes = self.nodes[seq - 1 : seq - 1 + chance.randrange(1, 9)]
            (outcome,) = self.store.commit([make_append(self.room, seq, nodes)])
            assert outcome.is_committed
            seq += len(nodes)
        self.head_seq = len(self.nodes)

    @staticmethod
    def _edit(replica: Replica, chance: random.Random) -> None:
        text, rows = replica.text("notes"), replica.list("rows")
        replica.map("map")[f"key {chance.randrange(9)}"] = chance.random()
        replica.counter("votes").add(chance.randrange(9))
        text.insert(chance.randrange(len(text) + 1), "some words ")
        if len(text) > 40:
            text.delete(chance.randrange(len(text) - 8), 7)
        rows.insert(chance.randrange(len(rows) + 1), chance.randrange(99))
        if len(rows) > 8:
            del rows[chance.randrange(len(rows))]

    def replayed(self, seq: int) -> Replica:
        replica = Replica("room", lineage=self.room.lineage)
        assert not replica.add_nodes(self.nodes[:seq]).rejected
        return replica

    def task(self, kind: str = "snapshot", **changed: object) -> ReplayTask:
        task = ReplayTask(
            kind, "", "room", SERVER.public_key, self.head_seq, most_seq=self.head_seq
        )
        return msgspec.structs.replace(task, **changed)

    def keep(self, taken: TakenSnapshot) -> StoredSnapshot:
        """Store a snapshot as the server does."""
        facts = SnapshotFacts(
            taken.lineage, taken.seq, taken.frontier, taken.state_hash, taken.digest
        )
        snapshot = StoredSnapshot(
            taken.seq,
            5,
            taken.frontier_pack,
            taken.state_hash,
            taken.digest,
            sign_snapshot(SERVER, facts),
            len(taken.data),
        )
        self.store.write_snapshot_chunks("room", taken.seq, 0, snapshot_chunks(taken.data))
        self.store.finish_snapshot("room", snapshot)
        return snapshot


@pytest.fixture(params=[1, 2, 3])
def written(request: pytest.FixtureRequest) -> WrittenRoom:
    return WrittenRoom(request.param)


def taken_from(room: WrittenRoom, **changed: object) -> TakenSnapshot:
    taken = Replay(room.store, room.task(**changed)).take_snapshot()
    assert taken is not None
    return taken


@pytest.mark.parametrize("stage_nodes", [7, 50, 1_000])
def test_a_snapshot_says_what_the_log_up_to_there_says_in_however_many_stages(
    written: WrittenRoom, monkeypatch: pytest.MonkeyPatch, stage_nodes: int
) -> None:
    monkeypatch.setattr(replay_work, "STAGE_NODES", stage_nodes)
    for most_seq in (NODES // 3, NODES - 64):
        taken = taken_from(written, most_seq=most_seq)
        oracle = written.replayed(taken.seq)
        assert taken.seq == newest_critical(written.replayed(written.head_seq).graph, most_seq)
        assert taken.state_hash.hex() == oracle.state_hash().hex
        assert taken.frontier == oracle.frontier


@pytest.mark.parametrize("stage_nodes", [7, 1_000])
@pytest.mark.parametrize("patterns", [(), ("map/**",), ("notes", "votes")])
def test_a_hash_is_that_of_a_plain_replay(
    written: WrittenRoom,
    monkeypatch: pytest.MonkeyPatch,
    stage_nodes: int,
    patterns: tuple[str, ...],
) -> None:
    monkeypatch.setattr(replay_work, "STAGE_NODES", stage_nodes)
    written.keep(taken_from(written, most_seq=NODES // 2))
    oracle = written.replayed(written.head_seq)
    expected = oracle.state_hash(patterns)
    bases = [0, written.store.newest_snapshots("room")[0].seq]
    for base_seq in bases:
        task = written.task("hash", patterns=patterns, base_seq=base_seq)
        found = Replay(written.store, task).state_hash()
        assert found == HashFound(oracle.frontier, expected.hex, expected.coverage.to_dict())


def test_the_head_of_a_task_is_the_end_of_the_log_whatever_came_since(
    written: WrittenRoom,
) -> None:
    ends = [row.to_seq for row in written.store.load_index("room")]
    for head_seq in (ends[3], ends[len(ends) // 2]):
        found = Replay(written.store, written.task("hash", head_seq=head_seq)).state_hash()
        assert found.hash == written.replayed(head_seq).state_hash().hex
        assert found.frontier == written.replayed(head_seq).frontier


def test_from_an_older_snapshot_the_same_bytes_come_as_from_the_beginning(
    written: WrittenRoom,
) -> None:
    written.keep(taken_from(written, most_seq=NODES // 2))
    (older,) = written.store.newest_snapshots("room")
    plain = taken_from(written)
    later = taken_from(written, base_seq=older.seq, least_seq=older.seq + 1)
    assert (later.seq, later.data, later.frontier_pack) == (
        plain.seq,
        plain.data,
        plain.frontier_pack,
    )


def damaged(room: WrittenRoom, change: Callable[[TakenSnapshot], object]) -> StoredSnapshot:
    taken = taken_from(room, most_seq=NODES // 2)
    change(taken)
    return room.keep(taken)


@pytest.mark.parametrize("what", ["state_hash", "digest", "data"])
def test_a_stored_snapshot_that_is_not_what_was_signed_is_passed_over(
    written: WrittenRoom, what: str
) -> None:
    def change(taken: TakenSnapshot) -> None:
        setattr(taken, what, bytes([getattr(taken, what)[0] ^ 1]) + getattr(taken, what)[1:])

    kept = damaged(written, change)
    found = Replay(written.store, written.task("hash", base_seq=kept.seq)).state_hash()
    assert found.hash == written.replayed(written.head_seq).state_hash().hex


def test_there_is_no_place_between_bounds_without_one(written: WrittenRoom) -> None:
    seq = taken_from(written).seq
    task = written.task(least_seq=seq + 1, most_seq=written.head_seq)
    assert Replay(written.store, task).take_snapshot() is None


def test_heads_that_no_frame_could_carry_are_no_place(
    written: WrittenRoom, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = taken_from(written)
    monkeypatch.setattr(replay_work, "MOST_FRONTIER_BYTES", len(first.frontier_pack) - 1)
    task = written.task()
    taken = Replay(written.store, task).take_snapshot()
    assert taken is None or taken.seq < first.seq
    monkeypatch.setattr(replay_work, "MOST_FRONTIER_BYTES", 1)
    assert Replay(written.store, task).take_snapshot() is None


def test_a_room_that_is_not_there_or_too_short_is_a_typed_error(written: WrittenRoom) -> None:
    with pytest.raises(RoomUnknown):
        Replay(written.store, written.task(room_id="other"))
    with pytest.raises(StoreCorrupt):
        Replay(written.store, written.task(head_seq=written.head_seq + 1))


def frames_of(data: bytes) -> list[tuple[bytes, bytes]]:
    frames = []
    while data:
        kind, size = read_head(data[:HEAD_BYTES])
        frames.append((kind, data[HEAD_BYTES : HEAD_BYTES + size]))
        data = data[HEAD_BYTES + size :]
    return frames


def sent(store: NodeStore, task: ReplayTask) -> list[tuple[bytes, bytes]]:
    return frames_of(b"".join(room_frames(store, task)))


def test_a_room_that_is_sent_is_the_same_room(written: WrittenRoom) -> None:
    kept = written.keep(taken_from(written, most_seq=NODES // 2))
    copy = room_of(sent(written.store, written.task(base_seq=kept.seq)))
    assert list(copy.load_index("room")) == list(written.store.load_index("room"))
    assert copy.read_log("room", 0, 10**6, 10**9) == written.store.read_log("room", 0, 10**6, 10**9)
    assert copy.newest_snapshots("room") == [kept]
    assert copy.read_snapshot("room", kept.seq, 0) == written.store.read_snapshot(
        "room", kept.seq, 0
    )


def test_a_task_that_fails_is_answered_and_the_next_one_done(written: WrittenRoom) -> None:
    good = written.task(most_seq=NODES // 2)
    nowhere = written.task(room_id="nowhere")
    output = io.BytesIO()
    tasks = [
        (nowhere, sent(written.store, nowhere)),
        (good, sent(written.store, good)),
        (written.task("hash"), sent(written.store, good)),
        (written.task(most_seq=0), sent(written.store, good)),
    ]
    serve(tasks, output)
    (failed, why), *rest = frames_of(output.getvalue())
    assert failed == FAILED
    assert b"nowhere" in why
    kinds = [kind for kind, _ in rest]
    first_done = kinds.index(DONE)
    assert kinds[:first_done] == [FOUND] + [CHUNK] * (first_done - 1)
    assert kinds[first_done + 1 :] == [FOUND, DONE, FOUND, DONE]
    found = msgspec.msgpack.decode(rest[0][1], type=SnapshotFound)
    data = b"".join(payload for kind, payload in rest[1:first_done])
    facts = SnapshotFacts(
        written.room.lineage, found.seq, found.frontier, found.state_hash, found.digest
    )
    opened = check_snapshot(
        SERVER.public_key,
        written.room.lineage,
        found.seq,
        found.frontier_pack,
        found.state_hash,
        found.digest,
        sign_snapshot(SERVER, facts),
        data,
    )
    replica = Replica.from_snapshot("room", None, written.room.lineage, opened)
    assert replica.state() == written.replayed(found.seq).state()
    assert msgspec.msgpack.decode(rest[-2][1], type=SnapshotFound) == SnapshotFound()
