"""A few rounds in every run of the tests: ROOMLOG_CRASH_ROUNDS says how many, 5 if nothing does.

`make crash` runs as many as one likes.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.crash.faults import FAULTS, LIGHT, faults_of

ROOT = Path(__file__).parent.parent.parent
ROUNDS = int(os.environ.get("ROOMLOG_CRASH_ROUNDS", "5"))
FIRST_SEED = int(os.environ.get("ROOMLOG_CRASH_SEED", "0"))
ROUND_S = 360


@pytest.mark.parametrize("seed", range(FIRST_SEED, FIRST_SEED + ROUNDS))
def test_t20_nothing_acknowledged_is_lost_by_a_server_that_is_killed_stopped_or_starved(
    seed: int, tmp_path: Path
) -> None:
    log = tmp_path / "log.jsonl"
    arguments = ["--rounds", "1", "--seed", str(seed), "--log", str(log)]
    done = subprocess.run(
        [sys.executable, "-m", "tests.crash.run", *arguments],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=ROUND_S,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    line = json.loads(log.read_text())
    if line["outcome"] == "left out":
        pytest.skip(f"{', '.join(line['faults'])}: {line['reason']}")
    assert line["outcome"] == "passed"
    assert line["acknowledged"] > 0


def test_consecutive_seeds_go_through_every_fault() -> None:
    first = {faults_of(seed)[0].name for seed in range(len(FAULTS))}
    assert first == set(FAULTS)
    assert set(LIGHT) <= set(FAULTS)
