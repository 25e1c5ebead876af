"""`python -m tests.simulation.run --seeds N --seed-start M`: many seeds, or one plan from a file.

A failing seed is shrunk, its plan written to a file, and the command printed that replays it.
"""

from __future__ import annotations

import argparse
import concurrent.futures
import multiprocessing
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TextIO

import msgspec

from tests.simulation.coverage import table
from tests.simulation.director import run_plan
from tests.simulation.generator import generate
from tests.simulation.plan import Plan
from tests.simulation.shrink import breaks, shrink
from tests.simulation.sweep import Totals, sweep

HASH_SEED = "0"
CHUNK_SEEDS = 50
LOG_EVERY_SEEDS = 1_000
MOST_FAILURES = 5
"""After so many failing seeds no more are begun."""


def run_as_ever() -> None:
    """Start this process anew if sets of bytes would have another order in each process."""
    if os.environ.get("PYTHONHASHSEED") != HASH_SEED:
        environment = {**os.environ, "PYTHONHASHSEED": HASH_SEED}
        sys.stdout.flush()
        module = [sys.executable, "-m", "tests.simulation.run", *sys.argv[1:]]
        os.execve(sys.executable, module, environment)


def main(arguments: list[str] | None = None) -> int:
    """The exit code: 0 when every promise was kept, else 1."""
    parser = argparse.ArgumentParser(prog="python -m tests.simulation.run", description=__doc__)
    parser.add_argument("--seeds", type=int, default=200, help="how many seeds")
    parser.add_argument("--seed-start", type=int, default=0, help="the first seed")
    parser.add_argument("--jobs", type=int, default=1, help="how many processes")
    parser.add_argument("--plan", type=Path, nargs="+", help="run the plans in these files instead")
    parser.add_argument("--journal", action="store_true", help="with --plan: print what happened")
    parser.add_argument("--log", type=Path, help="append a line per thousand seeds to this file")
    parser.add_argument("--plans", type=Path, default=Path("build/simulation"), help="for failures")
    parser.add_argument("--hashes", action="store_true", help="print the journal hash of each seed")
    parser.add_argument("--no-shrink", action="store_true", help="leave failing plans as they are")
    options = parser.parse_args(arguments)
    if options.plan is not None:
        verdicts = [_run_file(path, with_journal=options.journal) for path in options.plan]
        return 0 if all(verdicts) else 1
    return _sweep(options)


def _run_file(path: Path, *, with_journal: bool) -> bool:
    """Run the plan in a file; whether every promise was kept."""
    result = run_plan(msgspec.json.decode(path.read_bytes(), type=Plan))
    if with_journal:
        print(*result.journal, sep="\n")
    verdict = f"{result.violation}: {result.text}" if result.violation else "every promise kept"
    figures = f"{result.steps} steps, {result.virtual_s:.1f} virtual s"
    print(f"{path}: {verdict} ({figures}, journal {result.journal_hash})", flush=True)
    return not result.violation


def _sweep(options: argparse.Namespace) -> int:
    began, totals, logged = time.monotonic(), Totals(), 0
    log: TextIO | None = options.log.open("a") if options.log is not None else None
    is_terminal = sys.stderr.isatty()
    for part in _parts(options):
        totals.add(part)
        seconds = time.monotonic() - began
        if options.hashes:
            for seed, digest in sorted(part.hashes.items()):
                print(f"{seed} {digest}")
        line = _line(totals, seconds)
        if is_terminal:
            print(f"\r{line}", end="", file=sys.stderr, flush=True)
        if log is not None and totals.seeds // LOG_EVERY_SEEDS > logged:
            logged = totals.seeds // LOG_EVERY_SEEDS
            print(line, file=log, flush=True)
        if len(totals.failures) >= MOST_FAILURES:
            break
    if is_terminal:
        print(file=sys.stderr)
    seconds = time.monotonic() - began
    if not options.hashes:
        print(table(totals.seen))
    last = f"{_line(totals, seconds)}, from seed {options.seed_start} on, {_revision()}"
    print(last)
    if log is not None:
        print(last, time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime()), sep=", ", file=log)
        log.close()
    for failure in totals.failures:
        _report(failure.seed, failure.violation, failure.text, options)
    return 1 if totals.failures else 0


def _parts(options: argparse.Namespace) -> Iterator[Totals]:
    first, last = options.seed_start, options.seed_start + options.seeds
    chunks = [
        range(start, min(start + CHUNK_SEEDS, last)) for start in range(first, last, CHUNK_SEEDS)
    ]
    if options.jobs <= 1:
        for chunk in chunks:
            yield sweep(chunk)
        return
    context = multiprocessing.get_context("spawn")
    with concurrent.futures.ProcessPoolExecutor(options.jobs, mp_context=context) as pool:
        parts = [pool.submit(sweep, chunk) for chunk in chunks]
        try:
            for part in concurrent.futures.as_completed(parts):
                yield part.result()
        finally:
            pool.shutdown(cancel_futures=True)


def _line(totals: Totals, seconds: float) -> str:
    return (
        f"{totals.seeds} seeds, {totals.steps} steps, {totals.virtual_s / 3600:.1f} virtual hours,"
        f" {seconds:.0f} s ({totals.seeds / max(seconds, 1e-9):.1f} seeds/s,"
        f" {totals.steps / max(seconds, 1e-9):.0f} steps/s), everybody agreed at most"
        f" {totals.longest_settling_s:.0f} s after the faults, {len(totals.failures)} violations"
    )


def _revision() -> str:
    described = subprocess.run(
        ["git", "describe", "--always", "--dirty"], capture_output=True, text=True, check=False
    )
    return described.stdout.strip() or "no revision"


def _report(seed: int, violation: str, text: str, options: argparse.Namespace) -> None:
    plan = generate(seed)
    print(f"\nseed {seed} breaks {violation}: {text}")
    command = "python -m tests.simulation.run"
    print(f"  replay: {command} --seeds 1 --seed-start {seed} --no-shrink")
    if not options.no_shrink:
        plan = shrink(plan, breaks(violation))
        options.plans.mkdir(parents=True, exist_ok=True)
        path = options.plans / f"{violation}-{seed}.json"
        path.write_bytes(msgspec.json.format(msgspec.json.encode(plan), indent=1) + b"\n")
        print(f"  shrunk to {len(plan.steps)} steps: {command} --plan {path} --journal")


if __name__ == "__main__":
    run_as_ever()
    sys.exit(main())
