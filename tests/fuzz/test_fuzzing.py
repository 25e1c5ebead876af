"""A minute of fuzzing in every run of the tests, over all targets together."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.fuzz.target import NAMES, PLANTED, load

pytest.importorskip("atheris", reason="the fuzzer has no build for this machine")

from tests.fuzz.fuzz_run import fuzz
from tests.fuzz.run import table

SECONDS_IN_ALL = int(os.environ.get("ROOMLOG_FUZZ_SECONDS", "60"))
SEED = int(os.environ.get("ROOMLOG_FUZZ_SEED", "1"))
"""The same each time, so that a change is not held up by what was there before it; 0 is chance."""


@pytest.mark.parametrize("name", NAMES)
def test_nothing_that_is_read_breaks_its_reader(name: str, tmp_path: Path) -> None:
    result = fuzz(name, max(1, SECONDS_IN_ALL // len(NAMES)), work=tmp_path, seed=SEED)
    output = result.output.read_text(encoding="utf-8", errors="replace")
    assert result.crash is None, f"{output[-4000:]}\n{table([result])}"
    assert result.exit_code == 0, output[-4000:]
    assert result.executions > 0
    assert result.edges > 0, "nothing of roomlog is watched"


def test_a_planted_bug_is_found_and_its_input_kept(tmp_path: Path) -> None:
    crashes = tmp_path / "crashes"
    result = fuzz(PLANTED, 60, work=tmp_path / "work", crashes=crashes)
    assert result.failed
    assert result.crash is not None
    assert result.crash.parent == crashes / PLANTED
    assert "the planted bug" in result.output.read_text(encoding="utf-8", errors="replace")
    with pytest.raises(AssertionError, match="the planted bug"):
        load(PLANTED).check(result.crash.read_bytes())
