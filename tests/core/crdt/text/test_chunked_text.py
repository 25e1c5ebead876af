from __future__ import annotations

from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from roomlog.core.crdt.text.chunks import ChunkedText

steps = st.lists(
    st.tuples(
        st.booleans(),
        st.floats(0, 1),
        st.integers(0, 5000),
        st.text(st.characters(exclude_categories=["Cs"]), max_size=5),
    ),
    max_size=30,
)


@given(steps)
def test_any_edits_give_what_a_plain_string_gives(
    steps: list[tuple[bool, float, int, str]],
) -> None:
    text = ChunkedText()
    model = ""
    for is_insert, where, size, letters in steps:
        position = int(where * len(model))
        if is_insert:
            inserted = letters * max(1, size // 3)
            text.insert(position, inserted)
            model = model[:position] + inserted + model[position:]
        else:
            length = min(size, len(model) - position)
            text.delete(position, length)
            model = model[:position] + model[position + length :]
        assert text.length == len(model)
        assert text.slice(position, len(model)) == model[position:]
    assert text.whole() == model


@pytest.mark.parametrize("seed", range(4))
def test_a_long_text_survives_edits_all_over_it(seed: int) -> None:
    random = Random(seed)
    text = ChunkedText()
    model = "".join(random.choices("abcdefgh", k=30_000))
    text.insert(0, model)
    for _ in range(400):
        position = random.randint(0, len(model))
        if random.random() < 0.5:
            inserted = "x" * random.choice([1, 10, 2000, 9000])
            text.insert(position, inserted)
            model = model[:position] + inserted + model[position:]
        else:
            length = min(random.choice([1, 100, 3000, 9000]), len(model) - position)
            text.delete(position, length)
            model = model[:position] + model[position + length :]
        start = random.randint(0, len(model))
        stop = random.randint(start, len(model))
        assert text.slice(start, stop) == model[start:stop]
    assert text.whole() == model


def test_a_text_of_millions_of_characters_keeps_few_chunks() -> None:
    text = ChunkedText()
    for _ in range(40):
        text.insert(text.length // 2, "0123456789" * 10_000)
    text.insert(7, "y" * 2500)
    assert text.length == 4_002_500
    assert text.slice(5, 9) == "56yy"
    assert text.whole().count("y") == 2500


def test_deleting_all_leaves_an_empty_text_that_can_be_written_again() -> None:
    text = ChunkedText()
    text.insert(0, "x" * 10_000)
    text.delete(0, 10_000)
    assert text.whole() == ""
    text.insert(0, "again")
    assert text.whole() == "again"


def test_deleting_a_whole_chunk_leaves_the_text_around_it() -> None:
    text = ChunkedText()
    text.insert(0, "".join(chr(97 + at % 26) for at in range(10_000)))
    model = text.whole()
    for position in (0, 2048, 5000):
        text.delete(position, 1024)
        model = model[:position] + model[position + 1024 :]
        text.insert(position, "-")
        model = model[:position] + "-" + model[position:]
        assert text.whole() == model
