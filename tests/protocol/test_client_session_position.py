"""A reading position against the plainest one: the set of all seqs that are held."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from roomlog.protocol.reading_position import MAX_STRETCHES, ReadingPosition


def name(seq: int) -> bytes:
    return b"node %d" % seq


STRETCHES = st.lists(
    st.tuples(st.integers(1, 30), st.integers(0, 6)).map(lambda each: (each[0], sum(each))),
    max_size=30,
)


@given(st.integers(0, 5), STRETCHES)
def test_the_position_is_the_end_of_what_is_held_without_a_gap(
    start: int, stretches: list[tuple[int, int]]
) -> None:
    position = ReadingPosition(start, name(start) if start else None)
    held = set(range(1, start + 1))
    for from_seq, to_seq in stretches:
        assert position.continues_at(from_seq) is (from_seq <= position.seq + 1)
        assert position.hold(from_seq, to_seq, name(to_seq))
        held.update(range(from_seq, to_seq + 1))
        expected = next(seq for seq in range(100) if seq + 1 not in held)
        assert position.seq == expected
        assert position.id == (name(expected) if expected else None)


def test_what_was_held_ahead_does_not_take_the_position_back() -> None:
    position = ReadingPosition(0, None)
    position.hold(5, 6, name(6))
    position.hold(1, 10, name(10))
    assert (position.seq, position.id) == (10, name(10))
    position.hold(12, 12, name(12))
    position.hold(11, 11, name(11))
    assert (position.seq, position.id) == (12, name(12))


def test_holding_the_node_at_the_position_names_it() -> None:
    position = ReadingPosition(7, None)
    position.hold(5, 6, name(6))
    assert position.id is None
    position.hold(7, 7, name(7))
    assert (position.seq, position.id) == (7, name(7))


def test_a_longer_stretch_from_the_same_place_replaces_the_shorter() -> None:
    position = ReadingPosition(0, None)
    position.hold(3, 5, name(5))
    position.hold(3, 4, name(4))
    position.hold(1, 2, name(2))
    assert (position.seq, position.id) == (5, name(5))


def test_stretches_beyond_gaps_are_bounded() -> None:
    position = ReadingPosition(0, None)
    for index in range(MAX_STRETCHES):
        assert position.hold(10 + 2 * index, 10 + 2 * index, name(index))
    assert not position.hold(5, 5, name(5))
    assert position.hold(10, 10, name(10))
    assert position.hold(1, 1, name(1))
    assert position.seq == 1
