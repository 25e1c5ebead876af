"""Where two logs part: never beyond the truth, never far below it, and in few bytes."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from roomlog.core.hashing import hash_bytes
from roomlog.protocol.client_events import ServerFault
from roomlog.protocol.codec import Codec, encode
from roomlog.protocol.cut_search import SPACED_PAIRS, SPACED_PAIRS_JSON, CutSearch
from roomlog.protocol.limits import DEFAULT_LIMITS
from roomlog.protocol.messages import Request, RequestEnd


def shared(seq: int) -> bytes:
    return hash_bytes(b"%d" % seq)


def own(seq: int) -> bytes:
    return hash_bytes(b"own %d" % seq)


class Server:
    """A log that is the client's up to `parting`, and another one beyond."""

    def __init__(self, head: int, parting: int) -> None:
        self.head = head
        self.parting = parting

    def answer(self, pairs: list[tuple[int, bytes]]) -> int:
        held = [
            seq
            for seq, prefix in pairs
            if seq <= min(self.parting, self.head) and shared(seq)[:8] == prefix
        ]
        return max(held, default=0)


def search_all(search: CutSearch, server: Server, codec: Codec = Codec.MSGPACK) -> tuple[int, int]:
    """How many rounds it took, and how many bytes both ways."""
    rounds = size_bytes = 0
    while search.pairs():
        pairs = search.pairs()
        seqs = [seq for seq, _ in pairs]
        assert seqs == sorted(set(seqs), reverse=True)
        assert 0 not in seqs
        assert len(pairs) <= DEFAULT_LIMITS.have_pairs
        end = RequestEnd(ref="r1", seq=server.head, cut=server.answer(pairs))
        size_bytes += len(encode(codec, Request(ref="r1", have=pairs))) + len(encode(codec, end))
        search.learn(end)
        rounds += 1
    return rounds, size_bytes


@st.composite
def logs(draw: st.DrawFn) -> tuple[int, int, int]:
    top = draw(st.integers(1, 1 << 40) | st.integers(1, 200))
    parting = draw(st.integers(0, top) | st.integers(max(0, top - 200), top))
    head = draw(st.integers(parting, 1 << 40)) if parting <= 1 << 40 else parting
    return top, parting, head


@given(logs())
def test_a_cut_is_never_beyond_the_truth_and_at_most_a_64th_below(
    log: tuple[int, int, int],
) -> None:
    top, parting, head = log
    top = min(top, head)
    if top == 0:
        return
    search = CutSearch(
        lambda seq: shared(seq) if seq <= parting else own(seq), top, spaced_pairs=SPACED_PAIRS
    )
    rounds, _ = search_all(search, Server(head, parting))
    truth = min(parting, top)
    assert rounds <= 2
    assert search.cut <= truth
    assert truth - search.cut <= (top - truth) // SPACED_PAIRS + 1
    if truth == top:
        assert (rounds, search.cut) == (1, top)


def test_a_log_cut_costs_at_most_two_kibibytes_whatever_the_difference() -> None:
    for codec, spaced in ((Codec.MSGPACK, SPACED_PAIRS), (Codec.JSON, SPACED_PAIRS_JSON)):
        for top in (1_000_000, 1 << 32) if codec is Codec.MSGPACK else (1_000_000,):
            for behind in (0, 1, 10, 1_000, 100_000, top):
                parting = top - behind
                search = CutSearch(
                    lambda seq, parting=parting: shared(seq) if seq <= parting else own(seq),
                    top,
                    spaced_pairs=spaced,
                )
                _, size_bytes = search_all(search, Server(top, parting), codec)
                assert size_bytes <= 2048


def test_places_that_are_not_known_are_left_out() -> None:
    known = {900: shared(900), 500: shared(500), 100: own(100)}
    search = CutSearch(known.get, 1000, spaced_pairs=64)
    assert search.pairs() == []
    near = {1000: own(1000), 744: shared(744), 800: shared(800)}
    search = CutSearch(near.get, 1000, spaced_pairs=64)
    assert [seq for seq, _ in search.pairs()] == [1000, 744]
    search_all(search, Server(2000, 800))
    assert search.cut in (744, 800)


@pytest.mark.parametrize("cut", [None, 7, 11, 999])
def test_a_cut_where_nothing_was_asked_is_a_fault(cut: int | None) -> None:
    search = CutSearch(shared, 10, spaced_pairs=64)
    assert [seq for seq, _ in search.pairs()] == [10, 9, 8, 6, 2]
    with pytest.raises(ServerFault):
        search.learn(RequestEnd(seq=10, cut=cut))


def test_the_second_answer_never_takes_the_first_back() -> None:
    search = CutSearch(shared, 10, spaced_pairs=64)
    search.learn(RequestEnd(seq=10, cut=2))
    assert [seq for seq, _ in search.pairs()] == [5, 4, 3]
    search.learn(RequestEnd(seq=10, cut=0))
    assert search.cut == 2
    assert search.pairs() == []
