"""Interleaved measurement: every side of a comparison runs once a round, each in its own process.

A bench module defines SIDES (name -> function that measures one run and returns its figures) and
calls `main`. Run without arguments it measures every side ROUNDS times, in an order that rotates
from round to round, and writes `bench/results/<bench>.json`. Run with `--side NAME` it measures one
side once and prints the figures as one JSON line. A side whose name ends in `, pure` runs the same
sources uncompiled.
"""

from __future__ import annotations

import argparse
import gc
import json
import os
import resource
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from bench.machine import machine

ROOT = Path(__file__).parents[1]
RESULTS = Path(__file__).parent / "results"
PURE = ", pure"
ROUNDS = 5
LONGEST_RUN_SECONDS = 300

Figures = dict[str, float]
Samples = dict[str, list[Figures]]


class Claim:
    """A ratio (with `minus` a difference) between two sides of a round, and what it should be.

    `numerator` and `denominator` are (side, figure); the ratio is taken round by round, so that
    what the machine does at the moment falls on both sides.
    """

    def __init__(
        self,
        text: str,
        numerator: tuple[str, str],
        denominator: tuple[str, str] | None,
        *,
        minus: bool = False,
        at_least: float | None = None,
        at_most: float | None = None,
    ) -> None:
        self.minus = minus
        self.text = text
        self.numerator = numerator
        self.denominator = denominator
        self.at_least = at_least
        self.at_most = at_most

    def evaluate(self, samples: Samples) -> dict[str, Any]:
        """Median and spread of the ratio, and whether the median meets the target."""
        side, figure = self.numerator
        ratios = [sample[figure] for sample in samples[side]]
        if self.denominator is not None:
            side, figure = self.denominator
            below = [sample[figure] for sample in samples[side]]
            ratios = [
                above - under if self.minus else above / under
                for above, under in zip(ratios, below, strict=True)
            ]
        median = statistics.median(ratios)
        met = (self.at_least is None or median >= self.at_least) and (
            self.at_most is None or median <= self.at_most
        )
        return {
            "text": self.text,
            "median": median,
            "least": min(ratios),
            "greatest": max(ratios),
            "at_least": self.at_least,
            "at_most": self.at_most,
            "met": met,
        }


class Stopwatch:
    """Times a block, with the garbage of the preparation out of the collector's sight."""

    def __init__(self) -> None:
        self.seconds = 0.0
        self.cpu_seconds = 0.0

    def __enter__(self) -> Stopwatch:
        gc.collect()
        gc.freeze()
        self._cpu = time.process_time()
        self._start = time.perf_counter()
        return self

    def __exit__(self, *exception: object) -> None:
        self.seconds = time.perf_counter() - self._start
        self.cpu_seconds = time.process_time() - self._cpu


def resident_bytes() -> int:
    """Resident memory of this process now."""
    with open("/proc/self/statm", encoding="ascii") as file:
        return int(file.read().split()[1]) * resource.getpagesize()


def is_compiled() -> bool:
    """Whether the imported engine is the compiled one."""
    from roomlog.core import node

    return not (node.__file__ or "").endswith(".py")


def require_build(side: str) -> None:
    """Ends the program when the side's name promises another build than the imported one."""
    wanted = not side.endswith(PURE)
    if is_compiled() != wanted:
        found = "compiled" if is_compiled() else "pure"
        sys.exit(f"side {side!r} would measure the {found} build; run bench/setup")


def run_side(bench: str, side: str) -> Figures:
    """One run of one side in a process of its own."""
    environment = dict(os.environ)
    environment.pop("PYTHONPATH", None)
    if side.endswith(PURE):
        environment["PYTHONPATH"] = str(ROOT / "src")
    finished = subprocess.run(
        [sys.executable, "-m", f"bench.{bench}", "--side", side],
        cwd=ROOT,
        env=environment,
        stdout=subprocess.PIPE,
        text=True,
        timeout=LONGEST_RUN_SECONDS,
        check=False,
    )
    if finished.returncode != 0:
        sys.exit(f"bench {bench}, side {side!r}: exit {finished.returncode}")
    figures: Figures = json.loads(finished.stdout.splitlines()[-1])
    return figures


def run_rounds(bench: str, sides: Sequence[str], rounds: int) -> Samples:
    samples: Samples = {side: [] for side in sides}
    for number in range(rounds):
        shift = number % len(sides)
        for side in [*sides[shift:], *sides[:shift]]:
            figures = run_side(bench, side)
            samples[side].append(figures)
            shown = "  ".join(f"{name} {value:,.4g}" for name, value in figures.items())
            print(f"{bench} {number + 1}/{rounds} {side}: {shown}", file=sys.stderr, flush=True)
    return samples


def main(
    bench: str,
    title: str,
    sides: Mapping[str, Callable[[], Figures]],
    claims: Sequence[Claim],
    facts: Callable[[], dict[str, str]] = dict,
) -> None:
    """The command line of a bench module. Exits 0 also when a claim is not met: it says so."""
    parser = argparse.ArgumentParser(prog=f"python -m bench.{bench}", description=title)
    parser.add_argument("--side", choices=list(sides))
    parser.add_argument("--only", nargs="+", choices=list(sides), help="measure only these sides")
    parser.add_argument("--rounds", type=int, default=ROUNDS)
    chosen = parser.parse_args()
    if chosen.side:
        if "roomlog" in chosen.side:
            require_build(chosen.side)
        print(json.dumps(sides[chosen.side]()))
        return
    names = [name for name in sides if not chosen.only or name in chosen.only]
    samples = run_rounds(bench, names, chosen.rounds)
    usable = [
        claim
        for claim in claims
        if claim.numerator[0] in samples
        and (claim.denominator is None or claim.denominator[0] in samples)
    ]
    evaluated = [claim.evaluate(samples) for claim in usable]
    for each in evaluated:
        has_target = each["at_least"] is not None or each["at_most"] is not None
        verdict = ("met" if each["met"] else "NOT MET") if has_target else "figure"
        print(f"{verdict}: {each['text']}: {each['median']:.3g}")
    if chosen.only:
        return
    RESULTS.mkdir(exist_ok=True)
    result = {
        "bench": bench,
        "title": title,
        "rounds": chosen.rounds,
        "samples": samples,
        "claims": evaluated,
        "facts": facts(),
        "machine": machine(),
    }
    (RESULTS / f"{bench}.json").write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
