"""Which node has which seq: against a dict, whatever the order of arrival."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from roomlog.client.log_places import LogPlaces

EPOCH, OTHER = b"E" * 16, b"F" * 16


def named(seq: int, version: int = 0) -> bytes:
    return seq.to_bytes(16, "big") + version.to_bytes(16, "big")


STRETCH = st.tuples(st.integers(1, 40), st.integers(0, 12), st.integers(0, 2))


@given(st.lists(STRETCH, max_size=12), st.integers(0, 60))
def test_places_are_a_dict_of_seqs_that_can_be_cut(
    held: list[tuple[int, int, int]], cut: int
) -> None:
    places, model = LogPlaces(EPOCH), dict[int, bytes]()
    for first, count, version in held:
        ids = [named(seq, version) for seq in range(first, first + count)]
        places.hold(first, ids)
        model.update(zip(range(first, first + count), ids, strict=True))
        check(places, model)
    places.cut(cut, OTHER)
    assert places.epoch == OTHER
    check(places, {seq: node_id for seq, node_id in model.items() if seq <= cut})
    places.hold(cut + 1, [named(cut + 1, 9)])
    assert places.id_at(cut + 1) == named(cut + 1, 9)


def check(places: LogPlaces, model: dict[int, bytes]) -> None:
    assert [places.id_at(seq) for seq in range(70)] == [model.get(seq) for seq in range(70)]
    assert len(places) == len(model)
    assert places.last_seq == max(model, default=0)
    listed = {
        first + index: node_id
        for first, ids in places.stretches()
        for index, node_id in enumerate(ids)
    }
    assert listed == model
    firsts = [first for first, _ in places.stretches()]
    lasts = [first + len(ids) for first, ids in places.stretches()]
    # Stretches that touch are one.
    assert all(last < first for last, first in zip(lasts, firsts[1:], strict=False))


def test_a_seq_that_a_server_makes_up_takes_no_memory() -> None:
    places = LogPlaces(EPOCH)
    places.hold(2**62, [named(1)])
    places.hold(1, [named(2)])
    assert len(places) == 2
    assert places.last_seq == 2**62
