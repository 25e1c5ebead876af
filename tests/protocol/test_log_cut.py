"""Where two logs part."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from roomlog.core.reject import Reject
from roomlog.protocol.log_cut import cut_of
from tests.protocol.session_driver import Facts


class TwoLogs(Facts):
    """A server's log that goes with the client's up to `common`, and its own way from there."""

    def __init__(self, head_seq: int, common: int) -> None:
        super().__init__(head_seq)
        self.common = common

    def id_at(self, seq: int) -> bytes:
        assert 1 <= seq <= self.head_seq
        return client_id(seq) if seq <= self.common else b"\xff" * 8 + bytes(24)


def client_id(seq: int) -> bytes:
    return seq.to_bytes(8, "big") + bytes(24)


@given(
    head_seq=st.integers(0, 50),
    common=st.integers(0, 50),
    seqs=st.sets(st.integers(1, 80), min_size=1, max_size=30),
    is_descending=st.booleans(),
)
def test_the_cut_is_the_greatest_seq_given_below_which_both_logs_are_the_same(
    head_seq: int, common: int, seqs: set[int], is_descending: bool
) -> None:
    room = TwoLogs(head_seq, min(common, head_seq))
    have = [(seq, client_id(seq)[:8]) for seq in sorted(seqs, reverse=is_descending)]
    expected = max([seq for seq in seqs if seq <= min(common, head_seq)], default=0)
    assert cut_of(have, room, 256) == expected


@pytest.mark.parametrize(
    "seqs",
    [[1, 1], [2, 1, 1], [1, 3, 2], [3, 1, 2], [0], [0, 1], [2, 0], list(range(1, 6))],
)
def test_pairs_in_no_order_with_seq_0_or_too_many_are_refused(seqs: list[int]) -> None:
    with pytest.raises(Reject) as refused:
        cut_of([(seq, bytes(8)) for seq in seqs], Facts(3), 4)
    assert refused.value.reject_class.wire == "invalid_field"
    assert refused.value.detail["field"] == "have"
