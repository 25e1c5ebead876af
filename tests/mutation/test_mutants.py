"""Every listed bug is seen by the tests that are named for its trap."""

from __future__ import annotations

import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.mutation.listed import LISTED
from tests.mutation.mutant import Mutant, MutantOutdated
from tests.mutation.named import files_by_trap, traps_of
from tests.mutation.run import PROBE_TIMEOUT_S, by_name
from tests.mutation.runner import Runner
from tests.mutation.trees import ROOT
from tests.test_house import TRAPS

SOURCE = ROOT / "src" / "roomlog"
BY_FILE = sorted({test.partition("::")[0] for mutant in LISTED for test in mutant.tests})


@pytest.fixture(scope="session")
def runner() -> Iterator[Runner]:
    runner = Runner()
    yield runner
    runner.close()


def test_there_is_a_mutant_for_every_trap_whose_feature_exists() -> None:
    traps = {trap for mutant in LISTED for trap in mutant.traps}
    assert set(TRAPS) <= traps
    assert set(files_by_trap()) <= traps, "a trap with tests of its own has a feature"


def test_every_mutant_has_its_own_name_and_a_test_named_for_one_of_its_traps() -> None:
    names = Counter(mutant.name for mutant in LISTED)
    assert set(names.values()) == {1}
    for mutant in LISTED:
        assert mutant.tests, mutant.name
        for test in mutant.tests:
            assert traps_of(test) & set(mutant.traps), f"{mutant.name}: {test}"


@pytest.mark.parametrize("mutant", LISTED, ids=lambda mutant: mutant.name.replace(" ", "-"))
def test_the_text_that_a_mutant_replaces_is_in_the_source_once(mutant: Mutant) -> None:
    mutant.applied_to((SOURCE / mutant.file).read_text(encoding="utf-8"))


def test_a_mutant_whose_text_is_gone_or_that_changes_nothing_is_refused() -> None:
    mutant = Mutant(name="m", traps=(1,), file="a.py", old="a = 1\n", new="a = 2\n")
    assert mutant.applied_to("a = 1\nb = a\n") == "a = 2\nb = a\n"
    for text in ("b = 1\n", "a = 1\na = 1\n"):
        with pytest.raises(MutantOutdated):
            mutant.applied_to(text)
    remark = Mutant(name="m", traps=(1,), file="a.py", old="a = 1\n", new="a = 1  # one\n")
    with pytest.raises(MutantOutdated):
        remark.applied_to("a = 1\n")


def test_a_mutant_is_what_the_tests_import_here_and_in_processes_of_their_own(
    runner: Runner,
) -> None:
    def break_it(source: Path) -> None:
        path = source / "__init__.py"
        text = path.read_text(encoding="utf-8")
        path.unlink()
        path.write_text(f"import roomlog_that_is_nowhere\n{text}", encoding="utf-8")

    tests = ["client/test_public_face.py", "cli/test_greeting.py"]
    assert runner.run(tests).is_passed
    broken = runner.run(tests, break_it)
    assert "roomlog_that_is_nowhere" in broken.output
    # A run that cannot even import what it tests is no evidence of anything.
    assert not broken.is_passed
    assert not broken.is_caught
    assert runner.run(tests).is_passed, "a mutant must not outlive its tree"


def test_a_process_that_the_tests_start_runs_the_mutant(runner: Runner) -> None:
    mutant = Mutant(
        name="the worker process ends at once",
        traps=(38,),
        file="server/worker_process.py",
        old="def main() -> None:\n",
        new="def main() -> None:\n    raise SystemExit(3)\n\n\ndef unused() -> None:\n",
    )
    test = ["server/test_workers.py"]
    assert runner.run(test).is_passed
    assert runner.run(test, mutant.write_into).is_caught


def test_tests_that_do_not_end_are_ended_and_count_as_caught(runner: Runner) -> None:
    mutant = Mutant(
        name="the clock stands",
        traps=(51,),
        file="core/clock.py",
        old="    clock = greatest_parent_clock + 1\n",
        new="    while True:\n        clock = greatest_parent_clock + 1\n",
    )
    outcome = runner.run(["core/test_clock.py"], mutant.write_into, timeout_s=3)
    assert outcome.is_timeout
    assert outcome.is_caught


def test_the_checkout_is_not_touched(runner: Runner) -> None:
    path = SOURCE / "core" / "stamp.py"
    before = (path.read_bytes(), path.stat().st_mtime_ns)
    (mutant,) = [each for each in LISTED if each.name.startswith("the order of arrival decides")]
    assert by_name(runner, mutant).is_caught
    assert (path.read_bytes(), path.stat().st_mtime_ns) == before
    imported = [sys.executable, "-c", "import roomlog; print(roomlog.__file__)"]
    done = subprocess.run(imported, capture_output=True, text=True, timeout=60, check=True)
    assert Path(done.stdout.strip()).is_relative_to(SOURCE)


@pytest.mark.parametrize("file", BY_FILE)
def test_the_named_tests_pass_without_a_mutant(runner: Runner, file: str) -> None:
    tests = dict.fromkeys(
        test for mutant in LISTED for test in mutant.tests if test.partition("::")[0] == file
    )
    outcome = runner.run(list(tests), timeout_s=PROBE_TIMEOUT_S)
    assert outcome.is_passed, outcome.output


@pytest.mark.parametrize("mutant", LISTED, ids=lambda mutant: mutant.name.replace(" ", "-"))
def test_a_mutant_is_caught_by_the_tests_named_for_its_trap(runner: Runner, mutant: Mutant) -> None:
    outcome = by_name(runner, mutant)
    assert outcome.is_caught, f"{outcome.word}: {mutant.file}\n{outcome.output}"
