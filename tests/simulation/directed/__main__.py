"""`python -m tests.simulation.directed [WORDS]`: every scenario, or those whose names have a word.

A line each, then how much of everything they have seen. Exit code 1 when one breaks a promise, or
when all together miss something.
"""

from __future__ import annotations

import os
import sys
from collections import Counter

from tests.simulation import coverage
from tests.simulation.directed.every import SCENARIOS
from tests.simulation.director import run_plan

HASH_SEED = "0"


def main(words: list[str]) -> int:
    """The exit code."""
    seen: Counter[str] = Counter()
    is_good = True
    for name, make in SCENARIOS.items():
        if words and not any(word in name for word in words):
            continue
        result = run_plan(make())
        seen.update(result.seen)
        is_good = is_good and not result.violation
        verdict = f"{result.violation}: {result.text}" if result.violation else "good"
        print(f"{name} | {verdict}", flush=True)
    if words:
        return 0 if is_good else 1
    print(coverage.table(seen))
    for each in (lacking := coverage.missing(seen)):
        print(f"never seen | {each}")
    return 0 if is_good and not lacking else 1


if __name__ == "__main__":
    if os.environ.get("PYTHONHASHSEED") != HASH_SEED:
        module = [sys.executable, "-m", "tests.simulation.directed", *sys.argv[1:]]
        os.execve(sys.executable, module, {**os.environ, "PYTHONHASHSEED": HASH_SEED})
    sys.exit(main(sys.argv[1:]))
