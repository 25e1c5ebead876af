"""Both sessions face to face: whatever either side can do, both end with the same nodes."""

from __future__ import annotations

from collections.abc import Callable, Iterable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from roomlog.core.node import Node
from roomlog.core.patterns import pattern_set
from roomlog.core.reject import Reject, RejectClass
from roomlog.identity import Identity
from roomlog.protocol import messages
from roomlog.protocol.capabilities import CAPABILITIES
from roomlog.protocol.checkpoint import is_log_lost
from roomlog.protocol.client_events import (
    Acknowledged,
    CaughtUp,
    CheckpointReceived,
    CutFound,
    HistoryEnd,
    QuestionRefused,
    Received,
    SignalRefused,
    SnapshotReceived,
    StateHashReceived,
    SubscriptionChanged,
    SubscriptionComplete,
)
from roomlog.protocol.codec import Codec
from roomlog.protocol.effects import Read, ReadAfter, ReadBodies, ReadMissing
from roomlog.protocol.limits import SessionLimits
from tests.protocol.paired_sessions import Pair, PlainRoom, chain, change, touches

BOTH = pytest.mark.parametrize("codec", list(Codec))
BEA = Identity.from_seed(b"b" * 32)
OLD, NEW = b"e" * 16, b"f" * 16
NODES = chain(60)
# The same up to 40, and another way from there; beside it a branch from far below.
ELSEWHERE = [*NODES[:40], *chain(15, start=[NODES[39]], key="o")]
ELSEWHERE.append(change("side", NODES[10]))
NAMES = [row.name for row in CAPABILITIES]


def room(nodes: Iterable[Node] = NODES, epoch: bytes = OLD, snapshot_seq: int = 0) -> PlainRoom:
    made = PlainRoom(nodes, epoch)
    made.snapshot_seq = snapshot_seq
    return made


# A way of coming to a room, and how the client catches up when both sides can do everything.
SITUATIONS: dict[str, tuple[Callable[..., Pair], str]] = {
    "new, no snapshot": (lambda **k: Pair(room(), **k), "cursor"),
    "new, with a snapshot": (
        lambda **k: Pair(room(snapshot_seq=50), wants_snapshot=True, **k),
        "snapshot",
    ),
    "nothing missing": (lambda **k: Pair(room(), held=NODES, **k), "none"),
    "behind": (lambda **k: Pair(room(), held=NODES[:20], **k), "cursor"),
    "the server was restored": (
        lambda **k: Pair(room(NODES[:40], NEW), held=NODES, epoch=OLD, **k),
        "cut",
    ),
    "the logs parted": (
        lambda **k: Pair(room(ELSEWHERE, NEW), held=NODES, epoch=OLD, **k),
        "cut",
    ),
    "the room is empty": (lambda **k: Pair(room([]), **k), "none"),
    "subscribed": (lambda **k: Pair(room(), subscribe=("k/1",), **k), "cursor"),
    "unsigned": (lambda **k: Pair(room(), wants_signatures=False, **k), "cursor"),
}


def check_all_there(pair: Pair) -> None:
    """The client is live and has all of the room, but what its snapshot stands for."""
    assert pair.closed is None
    assert pair.client.is_live
    assert pair.client.held_seq == pair.room.head_seq
    snapshots = pair.events_of(SnapshotReceived)
    needed = pair.room.nodes[snapshots[0].seq - 1 :] if snapshots else pair.room.nodes
    assert {node.id for node in needed} <= pair.nodes.keys()
    wanted = pair.server.patterns
    for node in needed:
        has_body = pair.nodes[node.id].body is not None
        assert has_body or not touches(node, pattern_set(wanted))


@BOTH
@pytest.mark.parametrize("situation", SITUATIONS)
def test_every_situation_takes_its_rung_and_ends_with_the_rooms_nodes(
    codec: Codec, situation: str
) -> None:
    make, rung = SITUATIONS[situation]
    pair = make(codec=codec).run()
    assert pair.server.catch_up == rung
    check_all_there(pair)


@pytest.mark.parametrize("side", ["server", "client", "both"])
@pytest.mark.parametrize("off", [*NAMES, "everything"])
@BOTH
def test_t43_each_capability_may_be_missing_on_any_side_and_the_nodes_still_come(
    codec: Codec, off: str, side: str
) -> None:
    names = NAMES if off == "everything" else [off]
    server_off = names if side != "client" else []
    client_off = names if side != "server" else []
    for make, _ in SITUATIONS.values():
        pair = make(codec=codec, server_off=server_off, client_off=client_off).run()
        assert not set(names) & pair.client.caps.keys()
        check_all_there(pair)


def test_t31_with_nothing_missing_the_bytes_do_not_depend_on_the_length_of_the_log() -> None:
    sizes = []
    long = chain(2_000)
    for length in (20, 2_000):
        pair = Pair(room(long[:length]), held=long[:length]).run()
        assert pair.reads == []
        sizes.append((pair.up_bytes, pair.down_bytes))
        # Numbers of two lengths, nothing else.
    (short_up, short_down), (long_up, long_down) = sizes
    assert abs(long_up - short_up) < 16
    assert abs(long_down - short_down) < 16


@BOTH
def test_t32_a_cut_is_found_within_2_kib_and_brings_little_that_was_held(codec: Codec) -> None:
    held = chain(3_000)
    for common in (2_999, 2_500, 700, 1):
        theirs = [*held[:common], *chain(200, start=[held[common - 1]], key="o")]
        pair = Pair(room(theirs, NEW), codec=codec, held=held, epoch=OLD).run()
        check_all_there(pair)
        assert not [read for read in pair.reads if not isinstance(read, ReadAfter | ReadMissing)]
        if pair.events_of(CutFound):
            searched = [frame for frame in pair.up_frames if b"have" in frame]
            assert sum(map(len, searched)) <= 2048
            sent = sum(event.to_seq - event.from_seq + 1 for event in pair.events_of(Received))
            assert sent <= 200 + max(1, (len(held) - common) // 16) + 1


def test_t22_own_nodes_that_the_server_lost_go_up_again_and_reach_the_others() -> None:
    server = room(NODES[:40], NEW)
    other = Pair(server, identity=BEA).run()
    pair = Pair(server, held=NODES, epoch=OLD, pending=messages.Pending(nodes=20)).run()
    (cut,) = pair.events_of(CutFound)
    pair.client.push(NODES[cut.seq :])
    pair.run()
    assert server.nodes == NODES
    assert set(other.nodes) == {node.id for node in NODES}
    seqs = {key: seq for event in pair.events_of(Acknowledged) for key, seq in event.seqs.items()}
    assert seqs == {node.id: seq for seq, node in enumerate(NODES, 1) if seq > cut.seq}


@BOTH
def test_history_comes_backwards_a_page_at_a_time_to_its_very_beginning(codec: Codec) -> None:
    pair = Pair(room(snapshot_seq=50), codec=codec, wants_snapshot=True).run()
    seq, pages = 50, 0
    while seq > 1:
        pair.client.ask_history_before(seq)
        pair.run()
        seq = pair.events_of(HistoryEnd)[-1].from_seq
        pages += 1
    assert pages < 4
    assert {node.id for node in NODES} == pair.nodes.keys()


@BOTH
def test_a_subscription_that_grows_is_filled_and_one_that_shrinks_brings_less(
    codec: Codec,
) -> None:
    pair = Pair(room(), codec=codec, subscribe=("k/1",)).run()
    for patterns in (("k/1", "k/2"), ("k/0",), ()):
        pair.client.subscribe(patterns)
        pair.run()
        assert pair.events_of(SubscriptionComplete)[-1].patterns == patterns
        assert pair.client.subscribed == pair.server.patterns == patterns
        for node in NODES:
            if touches(node, pattern_set(patterns)):
                assert pair.nodes[node.id].body is not None
    assert [event.patterns for event in pair.events_of(SubscriptionChanged)] == [
        ("k/1", "k/2"),
        ("k/0",),
        (),
    ]


@BOTH
def test_a_state_hash_is_answered_for_its_patterns(codec: Codec) -> None:
    pair = Pair(room(), codec=codec).run()
    pair.client.ask_state_hash(("k/*",))
    pair.run()
    (answer,) = pair.events_of(StateHashReceived)
    assert answer.patterns == ("k/*",)
    assert list(answer.frontier) == pair.room.frontier_ids()


@BOTH
def test_presence_and_signals_reach_the_shell_and_a_refusal_its_sender(codec: Codec) -> None:
    pair = Pair(room(), codec=codec).run()
    pair.client.show_presence({"x": [1, 2.5, None]}, 1_000)
    ref = pair.client.send_signal(BEA.public_key, "", ["hi"])
    pair.run()
    assert pair.presence == [{"x": [1, 2.5, None]}]
    (signal,) = pair.signals
    assert (signal.pubkey, signal.data) == (BEA.public_key, ["hi"])
    pair.perform(pair.server.signal_failed(signal, Reject(RejectClass.PEER_UNKNOWN)))
    (refused,) = pair.events_of(SignalRefused)
    assert (refused.ref, refused.reject_class) == (ref, "peer_unknown")


def test_a_checkpoint_of_the_drain_is_kept_and_proves_the_loss_to_the_next_session() -> None:
    server = room()
    pair = Pair(server).run()
    server.append(change("late", NODES[-1]))
    pair.perform(pair.server.drain(1_000, 10))
    assert pair.closed is not None
    assert pair.closed.code.code == 1012
    newest = pair.events_of(CheckpointReceived)[-1].checkpoint
    assert newest.seq == 61
    # The server comes back with an older copy.
    restored = room(NODES[:40], NEW)
    back = Pair(restored, held=server.nodes, epoch=OLD, checkpoint=newest).run()
    assert back.opened is not None
    assert back.opened.checkpoint == newest
    assert is_log_lost(newest, restored)
    assert not is_log_lost(newest, server)


def test_a_failed_subscription_tells_the_client_and_asks_it_to_come_back() -> None:
    class Failing(Pair):
        def answer(self, read: Read) -> None:
            if isinstance(read, ReadAfter):
                super().answer(read)
                return
            assert isinstance(read, ReadBodies)
            self.perform(self.server.subscribed(read, self.position))
            self.refuse_reads(Reject(RejectClass.STORE_UNAVAILABLE), read)

    pair = Failing(room()).run()
    pair.client.subscribe(("k/1",))
    pair.run()
    assert pair.closed is not None
    assert pair.closed.code.code == 4001
    assert [event.reject_class for event in pair.events_of(QuestionRefused)] == [
        "store_unavailable"
    ]


@BOTH
@pytest.mark.parametrize("limits", [SessionLimits(pack_nodes=7, queued_requests=1)])
def test_small_limits_of_the_server_hold_up_nobody(codec: Codec, limits: SessionLimits) -> None:
    for make, _ in SITUATIONS.values():
        pair = make(codec=codec, limits=limits).run()
        check_all_there(pair)
        assert pair.events_of(CaughtUp) or pair.room.head_seq == 0 or not pair.reads


def test_the_cursor_of_who_has_caught_up_names_the_head_of_the_log() -> None:
    for make, _ in SITUATIONS.values():
        pair = make().run()
        if pair.room.head_seq:
            head = pair.room.nodes[-1].id
            expected = messages.Cursor(epoch=pair.room.epoch, seq=pair.room.head_seq, id=head)
            assert pair.client.cursor == expected


@st.composite
def two_logs(draw: st.DrawFn) -> tuple[list[Node], list[Node]]:
    """Two parts of one history, each closed under ancestors, each in an order of its own."""
    count = draw(st.integers(1, 24))
    history: list[Node] = []
    for number in range(count):
        places = draw(st.sets(st.integers(0, number - 1), max_size=3)) if number else set()
        history.append(change(f"k/{number}", *[history[place] for place in sorted(places)]))
    return draw(logs_of(history)), draw(logs_of(history))


@st.composite
def logs_of(draw: st.DrawFn, history: list[Node]) -> list[Node]:
    log: list[Node] = []
    held: set[bytes] = set()
    for _ in range(draw(st.integers(0, len(history)))):
        ready = [node for node in history if node.id not in held and held.issuperset(node.parents)]
        node = draw(st.sampled_from(ready)) if ready else None
        if node is not None:
            log.append(node)
            held.add(node.id)
    return log


@settings(deadline=None, max_examples=60)
@given(
    logs=two_logs(),
    is_same_epoch=st.booleans(),
    off=st.sets(st.sampled_from(["cursor_resume", "log_cut", "snapshot_join"])),
    codec=st.sampled_from(Codec),
)
def test_t22_any_two_logs_of_one_history_meet_whatever_their_order_and_epochs(
    logs: tuple[list[Node], list[Node]], is_same_epoch: bool, off: set[str], codec: Codec
) -> None:
    theirs, held = logs
    server = room(theirs, OLD if is_same_epoch else NEW)
    pair = Pair(server, held=held, epoch=OLD, codec=codec, server_off=off).run()
    check_all_there(pair)
    # What the server lacks can be pushed now, by whoever wrote it.
    pair.client.push([node for node in held if not server.knows(node.id)])
    pair.run()
    assert {node.id for node in server.nodes} == pair.nodes.keys()
