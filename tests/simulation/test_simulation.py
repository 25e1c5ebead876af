"""Seeds, plans that failed once, and whether a broken server would be found."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

import pytest

from roomlog.client.local_store import LocalStore
from roomlog.client.store_writes import StoreWrite
from roomlog.store.committer import Committer
from roomlog.store.interface import Append, AppendOutcome, AppendStatus
from tests.simulation.director import run_plan
from tests.simulation.generator import generate
from tests.simulation.plan import ClientSpec, Plan, ServerSpec, Step
from tests.simulation.shrink import breaks, shrink

HERE = Path(__file__).parent
SEEDS = int(os.environ.get("ROOMLOG_SIMULATION_SEEDS", "200"))
FIRST_SEED = int(os.environ.get("ROOMLOG_SIMULATION_START", "0"))
CHUNK_SEEDS = 20
PLANS = sorted((HERE / "plans").glob("*.json"))
NOT_MENDED: dict[str, str] = {}
"""Plans that still break a promise, and why."""


def simulate(arguments: Iterable[str], *, hash_seed: str = "0") -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "tests.simulation.run", *arguments],
        cwd=HERE.parent.parent,
        env={**os.environ, "PYTHONHASHSEED": hash_seed},
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
    )


@pytest.mark.parametrize("start", range(FIRST_SEED, FIRST_SEED + SEEDS, CHUNK_SEEDS))
def test_every_seed_keeps_every_promise(start: int) -> None:
    count = min(CHUNK_SEEDS, FIRST_SEED + SEEDS - start)
    done = simulate(["--seeds", str(count), "--seed-start", str(start), "--no-shrink"])
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.fixture(scope="module")
def verdicts() -> dict[str, str]:
    """What each plan came to, by its name."""
    done = simulate(["--plan", *map(str, PLANS)])
    lines = [line.partition(".json: ") for line in done.stdout.splitlines()]
    assert len(lines) == len(PLANS), done.stdout + done.stderr
    return {Path(path).name: verdict for path, _, verdict in lines}


@pytest.mark.parametrize(
    "name",
    [
        pytest.param(
            path.stem,
            marks=[pytest.mark.xfail(reason=NOT_MENDED[path.stem], strict=True)]
            if path.stem in NOT_MENDED
            else [],
        )
        for path in PLANS
    ],
)
def test_a_plan_that_failed_once_keeps_every_promise(name: str, verdicts: dict[str, str]) -> None:
    assert verdicts[name].startswith("every promise kept"), verdicts[name]


def test_two_processes_do_the_same_for_the_same_seeds() -> None:
    hashes = [
        simulate(["--seeds", "8", "--hashes", *more], hash_seed=hash_seed).stdout.splitlines()[:8]
        for more, hash_seed in (([], "1"), (["--jobs", "2"], "random"))
    ]
    assert len(hashes[0]) == 8
    assert hashes[0] == hashes[1]


def test_a_seed_after_others_does_what_it_does_alone() -> None:
    run_plan(generate(1))
    again = run_plan(generate(2)).journal
    assert again == run_plan(generate(2)).journal


def a_small_plan() -> Plan:
    steps = [Step(at_ms=0, do="start", who=f"c{number}") for number in range(3)]
    for at in range(30):
        edits = [{"do": "map set", "prefix": "m", "key": "k", "value": at}]
        steps.append(Step(at_ms=500 + at * 50, do="edit", who=f"c{at % 3}", how={"edits": edits}))
    steps.append(Step(at_ms=1_500, do="kill", who="north", how={"power_loss": False}))
    return Plan(
        seed=7,
        servers=[ServerSpec(name="north")],
        clients=[ClientSpec(name=f"c{number}") for number in range(3)],
        steps=steps,
    )


@pytest.fixture
def acknowledging_too_early(monkeypatch: pytest.MonkeyPatch) -> None:
    """A server that says that it has what it is only about to write."""

    def answer_first(self: Committer, batch: list[Append]) -> None:
        self._store.commit(vars(self).get("late", []))
        vars(self)["late"] = batch
        self._on_outcomes([(each, AppendOutcome(AppendStatus.COMMITTED)) for each in batch])

    monkeypatch.setattr(Committer, "_commit", answer_first)


@pytest.mark.usefixtures("acknowledging_too_early")
def test_an_acknowledgment_before_the_commit_is_found_and_made_small() -> None:
    result = run_plan(a_small_plan())
    assert result.violation == "acknowledged_is_lost"
    smaller = shrink(a_small_plan(), breaks(result.violation))
    assert len(smaller.steps) <= 4
    assert run_plan(smaller).violation == "acknowledged_is_lost"


def test_a_plan_without_faults_keeps_every_promise() -> None:
    result = run_plan(a_small_plan())
    assert (result.violation, result.text) == ("", "")
    assert result.seen["server kill"] == 1


@pytest.mark.usefixtures("acknowledging_too_early")
def test_random_seeds_find_an_acknowledgment_before_the_commit() -> None:
    found = {run_plan(generate(seed)).violation for seed in range(12)}
    assert "acknowledged_is_lost" in found


def test_a_flush_that_returns_before_the_disk_has_it_is_found(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    write = LocalStore.write

    def call_first(
        self: LocalStore,
        writes: Sequence[StoreWrite],
        on_durable: Callable[[], None] | None = None,
    ) -> None:
        write(self, writes)
        if on_durable is not None:
            self._on_batch([on_durable])

    monkeypatch.setattr(LocalStore, "write", call_first)
    steps = [
        Step(at_ms=0, do="start", who="c0"),
        Step(at_ms=500, do="way", who="c0", how={"is_partitioned": True}),
    ]
    for number in range(20):
        at_ms = 600 + number * 50
        steps += [
            Step(at_ms=at_ms, do="write once", who="c0", how={"number": number}),
            Step(at_ms=at_ms, do="flush", who="c0"),
            Step(at_ms=at_ms + 1, do="kill", who="c0", how={"power_loss": True}),
            Step(at_ms=at_ms + 1, do="start", who="c0"),
        ]
    plan = Plan(
        seed=0,
        servers=[ServerSpec(name="north")],
        clients=[ClientSpec(name="c0")],
        steps=steps,
    )
    assert run_plan(plan).violation == "kept_write_is_lost"
    monkeypatch.undo()
    assert run_plan(plan).violation == ""
