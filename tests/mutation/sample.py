"""A random sample of small changes to core/ and protocol/, and what the tests make of each.

`python -m tests.mutation.sample --seed S --count N` draws N mutants, runs the tests beside each one
against it, and against those that survive every test of the pure packages that reaches the changed
function. What was found is kept in
`build/mutation/`, so a run that was stopped goes on where it was. `--page` writes it down in
docs/design/mutation.md, with the reason in `survivors.toml` for each one that survived.
"""

from __future__ import annotations

import argparse
import json
import random
import sys
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from functools import cache
from pathlib import Path

from tests.mutation.operators import Mutation, is_a_change, mutations_of
from tests.mutation.reached_functions import PACKAGES, ReachedFunctions
from tests.mutation.run import in_parallel
from tests.mutation.runner import Outcome, Runner
from tests.mutation.trees import ROOT, Base

SOURCE = ROOT / "src" / "roomlog"
TESTS = ROOT / "tests"
RESULTS = ROOT / "build" / "mutation"
BESIDE_TIMEOUT_S = 900.0
ALL_TIMEOUT_S = 1_200.0
NOBODY_RUNS_IT = Outcome(code=0, failed=[], passed=1, seconds=0.0, output="")


@dataclass(frozen=True, kw_only=True)
class Sampled:
    """One mutant of the sample. What names it stays the same while its line does."""

    file: str
    within: str
    operator: str
    before: str
    after: str
    line: int

    @property
    def key(self) -> tuple[str, str, str, str, str]:
        """What names it in files."""
        return (self.file, self.within, self.operator, self.before, self.after)


def sources(source: Path = SOURCE) -> list[str]:
    """The files of the pure packages, below src/roomlog."""
    return [
        path.relative_to(source).as_posix()
        for package in PACKAGES
        for path in sorted((source / package).rglob("*.py"))
    ]


def draw(seed: int, count: int, source: Path = SOURCE) -> list[tuple[Sampled, Mutation]]:
    """`count` mutants, the same for the same sources and seed; each place is as likely."""
    texts = {file: (source / file).read_text(encoding="utf-8") for file in sources(source)}
    everything = [(file, each) for file, text in texts.items() for each in mutations_of(text)]
    random.Random(seed).shuffle(everything)
    drawn: dict[tuple[str, ...], tuple[Sampled, Mutation]] = {}
    for file, mutation in everything:
        if len(drawn) == count:
            break
        if not is_a_change(texts[file], mutation):
            continue
        before, after = mutation.shown(texts[file])
        sampled = Sampled(
            file=file,
            within=mutation.within,
            operator=mutation.operator,
            before=before,
            after=after,
            line=mutation.line,
        )
        drawn.setdefault(sampled.key, (sampled, mutation))
    return list(drawn.values())


@cache
def beside_of(file: str) -> tuple[str, ...]:
    """The test files that are named like a source or import it, of the pure packages."""
    module = "roomlog." + file.removesuffix(".py").removesuffix("/__init__").replace("/", ".")
    package, _, rest = file.partition("/")
    mirrored = TESTS / package / Path(rest).parent / f"test_{Path(rest).stem}.py"
    beside = [mirrored] if mirrored.is_file() else []
    parent, first_word = Path(rest).parent, Path(rest).stem.split("_")[0]
    if parent != Path("."):
        beside += [TESTS / package / f"test_{parent.name}.py"]
        beside += sorted((TESTS / package / parent).glob("test_*.py"))
    elif not beside:
        beside += sorted((TESTS / package).glob(f"test_{first_word}*.py"))
    beside = [path for path in dict.fromkeys(beside) if path.is_file()]
    for path in _test_files():
        names = f"from {module} import", f"import {module}\n"
        if path not in beside and any(name in path.read_text(encoding="utf-8") for name in names):
            beside.append(path)
    return tuple(path.relative_to(TESTS).as_posix() for path in beside)


@cache
def _test_files() -> tuple[Path, ...]:
    return tuple(path for each in PACKAGES for path in sorted((TESTS / each).rglob("test_*.py")))


def judge(
    runner: Runner, reached: ReachedFunctions, sampled: Sampled, mutation: Mutation
) -> Outcome:
    """What the tests make of one mutant: those beside it, then all that run what was changed."""

    def change(source: Path) -> None:
        path = source / sampled.file
        text = path.read_text(encoding="utf-8")
        path.unlink()
        path.write_text(mutation.applied_to(text), encoding="utf-8")

    beside = beside_of(sampled.file)
    if beside:
        outcome = runner.run(beside, change, timeout_s=BESIDE_TIMEOUT_S)
        if not outcome.is_passed:
            return outcome
    text = (runner.base.path / "src" / "roomlog" / sampled.file).read_text(encoding="utf-8")
    tests = reached.tests_of(sampled.file, text, sampled.line)
    if tests is None:
        # What belongs to a module itself is seen by whoever imports it.
        tests = reached.all_tests()
    others = [test for test in tests if test.partition("::")[0] not in beside]
    if not others:
        return outcome if beside else NOBODY_RUNS_IT
    return runner.run(others, change, timeout_s=ALL_TIMEOUT_S)


def is_killed(word: str) -> bool:
    """A mutant that cannot even be imported is seen by every test."""
    return word != "SURVIVED"


def kept(path: Path) -> Iterator[tuple[Sampled, dict[str, object]]]:
    """What was found before."""
    if path.is_file():
        for line in path.read_text(encoding="utf-8").splitlines():
            found = json.loads(line)
            yield Sampled(**found.pop("mutant")), found


def run(seed: int, count: int, jobs: int) -> int:
    """Judge what is not judged yet; how many survived."""
    path = RESULTS / f"sample-{seed}.jsonl"
    path.parent.mkdir(parents=True, exist_ok=True)
    known = {sampled.key: found["word"] for sampled, found in kept(path)}
    base = Base()
    source = base.path / "src" / "roomlog"
    drawn = draw(seed, count, source)
    waiting = [pair for pair in drawn if pair[0].key not in known]
    print(f"{len(drawn)} mutants, {len(drawn) - len(waiting)} of them judged before.", flush=True)
    runners = [Runner(base) for _ in range(jobs)]
    reached = ReachedFunctions.learned_by(runners[0], RESULTS / "reached.json")
    done = 0

    def report(pair: tuple[Sampled, Mutation], outcome: Outcome) -> None:
        nonlocal done
        done += 1
        sampled, _ = pair
        failed = outcome.failed[0][0] if outcome.failed else ""
        known[sampled.key] = outcome.word
        with path.open("a", encoding="utf-8") as file:
            found = {"word": outcome.word, "seconds": outcome.seconds, "test": failed}
            file.write(json.dumps({"mutant": asdict(sampled), **found}) + "\n")
        place = f"[{done}/{len(waiting)}] {outcome.word:9} {outcome.seconds:6.1f} s"
        print(f"{place} {sampled.file}:{sampled.line} {sampled.operator}", flush=True)
        if not is_killed(outcome.word):
            print(f"    - {sampled.before}\n    + {sampled.after}", flush=True)

    try:
        in_parallel(runners, waiting, lambda runner, pair: judge(runner, reached, *pair), report)
    finally:
        for runner in runners:
            runner.close()
        base.close()
    survivors = sum(not is_killed(str(known[sampled.key])) for sampled, _ in drawn)
    print(f"{len(drawn) - survivors} of {len(drawn)} were killed.")
    return survivors


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.mutation.sample", description=__doc__)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--count", type=int, default=200)
    parser.add_argument("--jobs", type=int, default=1)
    parser.add_argument("--page", action="store_true", help="write docs/design/mutation.md")
    chosen = parser.parse_args(arguments)
    if chosen.page:
        from tests.mutation.page import write_page

        return write_page(chosen.seed)
    run(chosen.seed, chosen.count, max(1, chosen.jobs))
    return 0


if __name__ == "__main__":
    sys.exit(main())
