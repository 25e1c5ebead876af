"""What broke something once, what is kept for its coverage, and the seeds: none breaks anything."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.fuzz.target import CORPUS, CRASHES, NAMES, kept_inputs, load

OPEN: frozenset[str] = frozenset()
"""Crashes that still are."""
CORPUS_LIMIT_BYTES = 400 * 1024


def past_crashes() -> list[object]:
    parameters = []
    for name in NAMES:
        for path in kept_inputs(CRASHES, name):
            shown = f"{name}/{path.name}"
            marks = [pytest.mark.xfail(strict=True)] if shown in OPEN else []
            parameters.append(pytest.param(name, path, id=shown, marks=marks))
    return parameters


@pytest.mark.parametrize(("name", "path"), past_crashes())
def test_a_past_crash_stays_mended(name: str, path: Path) -> None:
    load(name).check(path.read_bytes())


def test_every_past_crash_is_told_of_in_the_table() -> None:
    table = (CRASHES / "README.md").read_text(encoding="utf-8")
    told = {line.split("`")[1] for line in table.splitlines() if line.startswith("| `")}
    kept = {f"{name}/{path.name}" for name in NAMES for path in kept_inputs(CRASHES, name)}
    assert told == kept
    assert kept >= OPEN


@pytest.mark.parametrize("name", NAMES)
def test_no_seed_and_no_kept_input_breaks_its_target(name: str) -> None:
    target = load(name)
    inputs = [*target.seeds(), *(path.read_bytes() for path in kept_inputs(CORPUS, name))]
    assert len(inputs) >= 10
    for data in inputs:
        target.check(data)


def test_the_kept_corpus_stays_small() -> None:
    sizes = [path.stat().st_size for name in NAMES for path in kept_inputs(CORPUS, name)]
    assert sum(sizes) <= CORPUS_LIMIT_BYTES
