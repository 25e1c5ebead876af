from __future__ import annotations

from random import Random

import pytest

from roomlog.core.crdt.text.pieces import PieceList


def numbers(runs: list[tuple[int, int]]) -> list[int]:
    return [number + offset for number, length in runs for offset in range(length)]


@pytest.mark.parametrize("keeps_deleted", [False, True])
def test_a_piece_list_is_a_list_of_numbers_in_which_the_deleted_keep_their_places(
    keeps_deleted: bool,
) -> None:
    for seed in range(60):
        random = Random(seed)
        pieces = PieceList(keeps_deleted)
        model: list[int] = []
        every: list[int] = []
        following = 0
        for step in range(random.choice([5, 100, 700])):
            length = len(model)
            position = random.choice([0, length, random.randint(0, length), min(9, length)])
            if random.random() < (0.35 if seed % 2 else 0.55) and length:
                size = min(length - position, random.choice([1, 1, 3, 200]))
                if not size:
                    continue
                hit = model[position : position + size]
                assert numbers(pieces.numbers(position, size)) == hit
                assert numbers(pieces.delete(position, size)) == hit
                del model[position : position + size]
            else:
                size = random.choice([1, 1, 4])
                at = every.index(model[position - 1]) + 1 if position else 0
                pieces.insert(position, size, following)
                model[position:position] = range(following, following + size)
                every[at:at] = range(following, following + size)
                following += size + (step % 3 == 0)
            assert pieces.length == len(model)
        shown = [piece for piece in pieces.pieces() if piece.visible]
        assert numbers([(piece.number, piece.length) for piece in shown]) == model
        if keeps_deleted:
            kept = [(piece.number, piece.length) for piece in pieces.pieces()]
            assert numbers(kept) == every
            again = PieceList(True)
            again.replace(pieces.pieces())
            assert again.length == pieces.length
            assert numbers(again.numbers(0, again.length)) == model
        else:
            assert len(shown) == len(pieces.pieces())


def test_an_emptied_list_can_be_filled_again() -> None:
    pieces = PieceList()
    pieces.insert(0, 500, 0)
    assert pieces.delete(0, 500) == [(0, 500)]
    assert pieces.numbers(0, 0) == []
    pieces.replace([])
    pieces.insert(0, 2, 7)
    assert pieces.numbers(0, 2) == [(7, 2)]


def test_a_deletion_over_many_chunks_leaves_no_empty_ones() -> None:
    for keeps_deleted in (False, True):
        pieces = PieceList(keeps_deleted)
        for number in range(0, 2_000, 2):
            # Gaps between the numbers keep the pieces apart.
            pieces.insert(pieces.length, 1, number)
        assert numbers(pieces.delete(1, 998)) == list(range(2, 1_998, 2))
        pieces.insert(1, 1, 5_000)
        assert numbers(pieces.numbers(0, 3)) == [0, 5_000, 1_998]
        assert numbers(pieces.delete(0, 3)) == [0, 5_000, 1_998]
        pieces.insert(0, 2, 6_000)
        assert numbers(pieces.numbers(0, 2)) == [6_000, 6_001]


def test_a_number_is_joined_to_what_it_continues() -> None:
    pieces = PieceList()
    pieces.insert(0, 3, 0)
    assert pieces.delete(1, 1) == [(1, 1)]
    pieces.insert(1, 1, 1)
    assert [(piece.number, piece.length) for piece in pieces.pieces()] == [(0, 2), (2, 1)]
    assert pieces.delete(0, 3) == [(0, 3)]
