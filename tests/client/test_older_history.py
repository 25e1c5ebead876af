"""Older history from its newest end: pages, holes, cuts."""

from __future__ import annotations

from roomlog.client.older_history import OlderHistory
from roomlog.client.store_writes import HistoryPack
from roomlog.protocol.client_events import HistoryPage


def page(from_seq: int, to_seq: int) -> HistoryPage:
    return HistoryPage(
        nodes=[],
        pack=b"%d" % from_seq,
        from_seq=from_seq,
        to_seq=to_seq,
        is_signed=True,
        has_bodies=True,
    )


def pack(from_seq: int, to_seq: int) -> HistoryPack:
    return HistoryPack(b"%d" % from_seq, from_seq, to_seq)


def ranges(older: OlderHistory) -> list[tuple[int, int]]:
    return [(each.from_seq, each.to_seq) for each in older.packs()]


def test_pages_join_from_the_newest_down_to_the_first_node() -> None:
    older = OlderHistory(10)
    assert older.lowest_seq == 11
    older.take(page(6, 8))
    older.take(page(9, 10))
    # Nothing counts before the page is whole.
    assert older.held_nodes == 0
    assert older.end_page() == [pack(6, 8), pack(9, 10)]
    assert older.lowest_seq == 6
    assert older.end_page() == []
    older.take(page(4, 5))
    older.drop_page()
    older.take(page(1, 5))
    assert not older.is_complete
    older.end_page()
    assert older.is_complete
    assert older.held_nodes == 10
    assert ranges(older) == [(1, 5), (6, 8), (9, 10)]


def test_what_a_store_kept_counts_down_to_its_first_hole() -> None:
    older = OlderHistory(10, [pack(1, 3), pack(5, 7), pack(8, 10)])
    assert ranges(older) == [(5, 7), (8, 10)]
    assert older.lowest_seq == 5


def test_history_is_cut_where_the_log_goes_another_way() -> None:
    older = OlderHistory(10, [pack(4, 7), pack(8, 10)])
    older.cut(12)
    assert older.until_seq == 10
    older.take(page(2, 3))
    older.cut(6)
    assert ranges(older) == [(4, 6)]
    assert older.end_page() == []
    assert (older.until_seq, older.lowest_seq) == (6, 4)
    older.cut(2)
    assert ranges(older) == []
    assert (older.until_seq, older.lowest_seq) == (2, 3)
    older.cut(0)
    assert older.is_complete
    older.drop()
    assert older.lowest_seq == 1


def test_what_cannot_be_right_is_read_anew() -> None:
    older = OlderHistory(5, [pack(1, 5)])
    assert older.is_complete
    older.drop()
    assert not older.is_complete
    assert older.packs() == []
