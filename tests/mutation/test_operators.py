"""Small changes are found where they are, and nowhere else."""

from __future__ import annotations

import ast

import pytest

from tests.mutation.operators import Mutation, is_a_change, mutations_of
from tests.mutation.page import REASONS, read_reasons
from tests.mutation.sample import beside_of, draw, sources

SAMPLE = '''"""Text."""
LIMIT: Final = 8


class Thing:
    """A thing."""

    __slots__ = ("_a",)

    def grown(self, a: int | None, *, by: int = 2) -> int:
        """What it says."""
        assert a is not None
        for step in range(a, by):
            if step < 3 and not self.is_full:
                continue
            self._a += step
        self.note("é", a)
        if a is None:
            raise ValueError(f"no {a + 1}")
        return max(a * 2, by)

    def __repr__(self) -> str:
        return "Thing" * 2
'''


def changes(operator: str, text: str = SAMPLE) -> list[tuple[str, str]]:
    return [each.shown(text) for each in mutations_of(text) if each.operator == operator]


@pytest.mark.parametrize(
    ("operator", "before", "after"),
    [
        ("constant", "LIMIT: Final = 8", "LIMIT: Final = 9"),
        ("constant", "LIMIT: Final = 8", "LIMIT: Final = 7"),
        ("comparison", "if a is None:", "if a is not None:"),
        ("arithmetic", "self._a += step", "self._a -= step"),
        ("remove assignment", "self._a += step", "pass"),
        ("remove statement", 'self.note("é", a)', "pass"),
        ("swap arguments", 'self.note("é", a)', 'self.note(a, "é")'),
        ("break or continue", "continue", "break"),
        ("return nothing", "return max(a * 2, by)", "return None"),
        ("function", "return max(a * 2, by)", "return min(a * 2, by)"),
        ("remove raise", 'raise ValueError(f"no {a + 1}")', "pass"),
        (
            "boolean operator",
            "if step < 3 and not self.is_full:",
            "if step < 3 or not self.is_full:",
        ),
        (
            "delete not",
            "if step < 3 and not self.is_full:",
            "if step < 3 and (self.is_full):",
        ),
        (
            "comparison",
            "if step < 3 and not self.is_full:",
            "if step <= 3 and not self.is_full:",
        ),
    ],
)
def test_a_change_of_each_kind_is_found(operator: str, before: str, after: str) -> None:
    assert (before, after) in changes(operator)


def test_what_no_test_could_be_asked_to_see_is_left_alone() -> None:
    lines = {each.line for each in mutations_of(SAMPLE)}
    text = SAMPLE.splitlines()
    for left_alone in ('"""Text."""', "__slots__", "assert a", 'return "Thing"', '"""What it'):
        (number,) = [at for at, line in enumerate(text, 1) if left_alone in line]
        assert number not in lines
    # The message of an exception neither, nor the types of a signature.
    assert not any("None = " in after or "a - 1" in after for _, after in changes("arithmetic"))
    assert {each.operator for each in mutations_of(SAMPLE) if "def grown" in each.shown(SAMPLE)[0]}
    assert all("int |" in after for before, after in changes("constant") if "def" in before)


def test_a_mutation_knows_the_function_it_is_in() -> None:
    within = {each.shown(SAMPLE)[0]: each.within for each in mutations_of(SAMPLE)}
    assert within["LIMIT: Final = 8"] == ""
    assert within["return max(a * 2, by)"] == "Thing.grown"


def test_what_cannot_be_parsed_or_says_the_same_is_no_change() -> None:
    def at(start: int, end: int, new: str) -> Mutation:
        return Mutation(operator="o", within="", line=1, start=start, end=end, new=new)

    assert is_a_change("a = 1\n", at(4, 5, "2"))
    assert not is_a_change("a = 1\n", at(4, 5, "0x1"))
    assert not is_a_change("a = 1\n", at(4, 5, "("))
    assert not is_a_change("a = 1  # pragma: no cover\n", at(4, 5, "2"))


def test_every_mutation_of_a_real_source_is_of_the_text_that_it_names() -> None:
    drawn = draw(7, 40)
    assert len(drawn) == 40
    assert len({sampled.key for sampled, _ in drawn}) == 40
    assert [sampled.key for sampled, _ in drawn] == [sampled.key for sampled, _ in draw(7, 40)]
    assert {sampled.file for sampled, _ in drawn} <= set(sources())


def test_the_tests_beside_a_source_are_those_named_like_it_and_those_that_import_it() -> None:
    beside = beside_of("core/graph.py")
    assert beside[0] == "core/test_graph.py"
    assert "core/pack/test_index.py" in beside
    assert "core/crdt/text/test_text_document.py" in beside_of("core/crdt/text/walker.py")


def test_every_survivor_has_one_reason_of_a_known_kind() -> None:
    reasons = read_reasons()
    for key, entry in reasons.items():
        assert entry["before"] != entry["after"], key
        assert entry["kind"] != "open", f"a test is missing: {key}"
    assert len(reasons) == REASONS.read_text(encoding="utf-8").count("[[survivor]]")


def test_the_sample_text_is_a_program() -> None:
    ast.parse(SAMPLE)
