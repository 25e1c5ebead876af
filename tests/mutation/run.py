"""Runs the listed mutants: `python -m tests.mutation.run [--quick | --whole | --probe] [WORDS]`.

First the named tests pass without any bug. Then each bug is put into a copy of its own, and the
tests that its entry names must fail there: `--quick`, the default. `--whole` also runs all tests
against those that survived. `--probe` runs every test that is named for a trap of the mutant, and
says which of them fail and how soon: for writing an entry. Ends with 1 when a mutant survives.
"""

from __future__ import annotations

import argparse
import queue
import sys
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Sequence
from typing import TypeVar

from tests.mutation.listed import LISTED
from tests.mutation.mutant import Mutant, MutantOutdated
from tests.mutation.named import files_by_trap
from tests.mutation.runner import Outcome, Runner
from tests.mutation.trees import ROOT, Base

Item = TypeVar("Item")
WHOLE_TIMEOUT_S = 1_800.0
PROBE_TIMEOUT_S = 300.0
PATIENCE_S = 4.0
"""Named tests take well below a second without a bug, waiting included."""
# The harness would put bugs into bugs.
NOT_WHOLE = ("mutation",)


def by_name(runner: Runner, mutant: Mutant) -> Outcome:
    """What the named tests make of a mutant, each alone until one lets it through."""
    outcome = None
    for test in mutant.tests:
        outcome = runner.run([test], mutant.write_into, patience_s=PATIENCE_S)
        if not outcome.is_caught:
            break
    if outcome is None:
        raise MutantOutdated(f"{mutant.name}: names no test")
    return outcome


def by_the_whole_suite(runner: Runner, mutant: Mutant) -> Outcome:
    """What all tests make of a mutant."""
    ignored = [f"--ignore=tests/{name}" for name in NOT_WHOLE]
    return runner.run(
        [""],
        mutant.write_into,
        timeout_s=WHOLE_TIMEOUT_S,
        arguments=["-m", "not long", *ignored],
    )


def by_its_traps(runner: Runner, mutant: Mutant) -> Outcome:
    """What every test that is named for one of its traps makes of a mutant."""
    files = dict.fromkeys(file for trap in mutant.traps for file in files_by_trap()[trap])
    words = " or ".join(f"test_t{trap}_" for trap in mutant.traps)
    return runner.run(
        list(files),
        mutant.write_into,
        timeout_s=PROBE_TIMEOUT_S,
        until_first=False,
        arguments=["-k", words],
    )


def failing_unmutated(runners: Sequence[Runner], mutants: Sequence[Mutant]) -> dict[str, str]:
    """The files of named tests that do not pass without a bug, each with what was printed."""
    by_file: defaultdict[str, dict[str, None]] = defaultdict(dict)
    for mutant in mutants:
        for test in mutant.tests:
            by_file[_file_of(test)][test] = None
    failing: dict[str, str] = {}

    def work(runner: Runner, file: str) -> Outcome:
        return runner.run([*by_file[file]], timeout_s=PROBE_TIMEOUT_S)

    def report(file: str, outcome: Outcome) -> None:
        if not outcome.is_passed:
            failing[file] = outcome.output

    in_parallel(runners, list(by_file), work, report)
    return failing


def _file_of(test: str) -> str:
    return test.partition("::")[0]


def in_parallel(
    runners: Sequence[Runner],
    items: Sequence[Item],
    work: Callable[[Runner, Item], Outcome],
    on_done: Callable[[Item, Outcome], None],
) -> None:
    """Do `work` for every item, one at a time in each runner."""
    waiting: queue.SimpleQueue[Item] = queue.SimpleQueue()
    done: queue.SimpleQueue[tuple[Item, Outcome | BaseException]] = queue.SimpleQueue()
    for item in items:
        waiting.put(item)

    def take(runner: Runner) -> None:
        while True:
            try:
                item = waiting.get_nowait()
            except queue.Empty:
                return
            try:
                done.put((item, work(runner, item)))
            except BaseException as error:
                done.put((item, error))

    threads = [threading.Thread(target=take, args=(runner,), daemon=True) for runner in runners]
    for thread in threads:
        thread.start()
    for _ in items:
        item, outcome = done.get()
        if isinstance(outcome, BaseException):
            raise outcome
        on_done(item, outcome)
    for thread in threads:
        thread.join()


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.mutation.run", description=__doc__)
    how = parser.add_mutually_exclusive_group()
    how.add_argument("--quick", action="store_true", help="the named tests only (default)")
    how.add_argument("--whole", action="store_true", help="all tests for those that survive")
    how.add_argument("--probe", action="store_true", help="which tests of its traps fail")
    parser.add_argument("--jobs", type=int, default=2, help="how many at once")
    parser.add_argument("words", nargs="*", help="only mutants whose name, file or trap has one")
    chosen = parser.parse_args(arguments)
    mutants = [each for each in LISTED if not chosen.words or _has_word(each, chosen.words)]
    outdated = [fault for mutant in mutants if (fault := _outdated(mutant))]
    if outdated:
        print("\n".join(outdated))
        return 1
    base = Base()
    runners = [Runner(base) for _ in range(max(1, chosen.jobs))]
    try:
        return _probe(runners, mutants) if chosen.probe else _judge(runners, mutants, chosen.whole)
    finally:
        for runner in runners:
            runner.close()
        base.close()


def _outdated(mutant: Mutant) -> str:
    try:
        mutant.applied_to((ROOT / "src" / "roomlog" / mutant.file).read_text(encoding="utf-8"))
    except (MutantOutdated, SyntaxError) as fault:
        return str(fault)
    return ""


def _has_word(mutant: Mutant, words: Sequence[str]) -> bool:
    traps = {f"T{trap}" for trap in mutant.traps}
    return any(word in mutant.name or word in mutant.file or word in traps for word in words)


def _probe(runners: Sequence[Runner], mutants: Sequence[Mutant]) -> int:
    def report(mutant: Mutant, outcome: Outcome) -> None:
        print(f"{outcome.word:9} {outcome.seconds:6.2f} s  {_title(mutant)}", flush=True)
        for test, seconds in sorted(outcome.failed, key=lambda pair: pair[1]):
            print(f"    {seconds:6.2f} s  {test.removeprefix('tests/')}", flush=True)

    in_parallel(runners, mutants, by_its_traps, report)
    return 0


def _judge(runners: Sequence[Runner], mutants: Sequence[Mutant], is_whole: bool) -> int:
    started = time.monotonic()
    failing = failing_unmutated(runners, mutants)
    seconds = time.monotonic() - started
    print(f"The named tests ran without a mutant in {seconds:.0f} s.", flush=True)
    for file, output in failing.items():
        print(f"{file} FAILS WITHOUT ANY MUTANT:\n{output}", flush=True)
    unjudged = [m for m in mutants if any(_file_of(test) in failing for test in m.tests)]
    mutants = [mutant for mutant in mutants if mutant not in unjudged]
    outcomes: dict[str, Outcome] = {}

    def report(mutant: Mutant, outcome: Outcome) -> None:
        outcomes[mutant.name] = outcome
        place = f"[{len(outcomes)}/{len(mutants)}]"
        print(f"{place:>9} {outcome.word:9} {outcome.seconds:6.2f} s  {_title(mutant)}", flush=True)

    in_parallel(runners, mutants, by_name, report)
    survivors = [each for each in mutants if not outcomes[each.name].is_caught]
    if is_whole and survivors:
        print(f"{len(survivors)} survived the tests named for their trap; now all tests.")
        in_parallel(runners, survivors, by_the_whole_suite, report)
        survivors = [each for each in mutants if not outcomes[each.name].is_caught]
    timeouts = sum(outcome.is_timeout for outcome in outcomes.values())
    seconds = time.monotonic() - started
    print(
        f"{len(mutants) - len(survivors)} of {len(mutants)} mutants were caught, {timeouts} of them"
        f" because the tests did not end; {seconds:.0f} s with {len(runners)} at once."
    )
    for mutant in survivors:
        print(f"SURVIVOR: {_title(mutant)}\n{outcomes[mutant.name].output}")
    for mutant in unjudged:
        print(f"NOT JUDGED: {_title(mutant)}")
    return 1 if survivors or unjudged else 0


def _title(mutant: Mutant) -> str:
    traps = " ".join(f"T{trap}" for trap in mutant.traps)
    return f"{traps}: {mutant.name} ({mutant.file})"


if __name__ == "__main__":
    sys.exit(main())
