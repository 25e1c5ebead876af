"""Fuzz the decoders: `python -m tests.fuzz.run [--seconds-each N] [--target NAME ...] [--jobs K]`.

Ends with a table, and with 1 when an input crashed. It is kept below `crashes/`; the table gives
the command that repeats it. What was found to be new lies below `build/fuzz/`, where the next run
goes on; `python -m tests.fuzz.keep` takes what adds coverage into `corpus/`.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path

from tests.fuzz.fuzz_run import ROOT, FuzzResult, fuzz
from tests.fuzz.target import NAMES, load

HEADINGS = ("target", "seconds", "executions", "per s", "edges", "features", "new", "crash")


def main() -> int:
    """Run the targets that were asked for."""
    arguments = _parser().parse_args()
    if arguments.repeat is not None:
        return repeat(arguments.repeat)
    names = arguments.target or NAMES
    with ThreadPoolExecutor(arguments.jobs) as pool:
        results = list(
            pool.map(lambda name: _run(name, arguments.seconds_each, arguments.log), names)
        )
    print(table(results))
    for result in results:
        if result.failed:
            print(f"\n{result.name} ended with {result.exit_code}; its output: {result.output}")
        if result.crash is not None:
            print(f"repeat: {sys.executable} -m tests.fuzz.run --repeat {shown(result.crash)}")
    return 1 if any(result.failed for result in results) else 0


def repeat(path: Path) -> int:
    """Check one input again, without the fuzzer; its exception shows. 0 when it passes."""
    load(path.resolve().parent.name).check(path.read_bytes())
    print("passes")
    return 0


def table(results: list[FuzzResult]) -> str:
    """The results, one line a target."""
    rows = [HEADINGS, *(_row(result) for result in results)]
    widths = [max(len(row[column]) for row in rows) for column in range(len(HEADINGS))]
    return "\n".join(
        "  ".join(
            cell.ljust(width) if column in (0, len(HEADINGS) - 1) else cell.rjust(width)
            for column, (cell, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in rows
    )


def shown(path: Path) -> str:
    """A path as it is typed from the top of the checkout."""
    return str(path.relative_to(ROOT)) if path.is_relative_to(ROOT) else str(path)


def _row(result: FuzzResult) -> tuple[str, ...]:
    return (
        result.name,
        f"{result.seconds:.0f}",
        f"{result.executions:,}",
        f"{result.executions / max(result.seconds, 0.001):,.0f}",
        f"{result.edges:,}",
        f"{result.features:,}",
        f"{result.new_inputs:,}",
        "-" if result.crash is None else shown(result.crash),
    )


def _run(name: str, seconds: int, log: Path | None) -> FuzzResult:
    start, commit = datetime.now(UTC), _commit()
    result = fuzz(name, seconds)
    if log is not None:
        log.mkdir(parents=True, exist_ok=True)
        line = (
            f"start {start:%Y-%m-%dT%H:%M:%SZ}, end {datetime.now(UTC):%Y-%m-%dT%H:%M:%SZ}, commit "
            f"{commit}: {result.executions} executions in {result.seconds:.0f} s, "
            f"{result.edges} edges, {result.features} features, {result.new_inputs} new inputs, "
            f"{_ending(result)}\n"
        )
        with (log / f"{name}.txt").open("a", encoding="utf-8") as file:
            file.write(line)
    return result


def _ending(result: FuzzResult) -> str:
    if not result.failed:
        return "no crash"
    return f"ended with {result.exit_code}" if result.crash is None else shown(result.crash)


def _commit() -> str:
    ended = subprocess.run(
        ["git", "rev-parse", "--short=12", "HEAD"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    return ended.stdout.strip() or "unknown"


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--seconds-each", type=int, default=60, metavar="N")
    parser.add_argument("--target", action="append", choices=NAMES, metavar="NAME")
    parser.add_argument("--jobs", type=int, default=1, metavar="K", help="targets at a time")
    parser.add_argument("--log", type=Path, metavar="DIRECTORY", help="add a line for each target")
    parser.add_argument("--repeat", type=Path, metavar="FILE", help="check one input again")
    return parser


if __name__ == "__main__":
    sys.exit(main())
