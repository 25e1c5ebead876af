"""Plans made by hand: each keeps every promise, and together they produce all there is."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from roomlog.core.reject import RejectClass
from tests.simulation.coverage import CLASSES_LEFT_OUT, CODES_LEFT_OUT, MUST_BE_SEEN
from tests.simulation.directed.every import SCENARIOS
from tests.simulation.directed.hostility import TRAPS
from tests.simulation.director import run_plan
from tests.simulation.hostile.every import ATTACKS, LIES

BUGS: dict[str, tuple[str, Any, str]] = {
    "t2 t10 t54 forged nodes, json": (
        "roomlog.server.admission.check_signature",
        lambda node: None,
        "honest_blamed",
    ),
    "t1 t55 stolen proofs, msgpack": (
        "roomlog.protocol.greeting.check_hello_proof",
        lambda key, handshake, proof: True,
        "hostile_client_succeeded",
    ),
    "t1 overheard hellos, msgpack": (
        "roomlog.protocol.greeting.check_hello_proof",
        lambda key, handshake, proof: True,
        "hostile_client_succeeded",
    ),
    "t63 claims of a lost log, msgpack": (
        "roomlog.protocol.greeting.check_checkpoint",
        lambda key, checkpoint: True,
        "hostile_client_succeeded",
    ),
    "t28 t58 deaf reader, msgpack": (
        "roomlog.server.connection.Connection._check_progress",
        lambda connection, now, stall_seconds: None,
        "hostile_client_succeeded",
    ),
    "t30 flood of words, msgpack": (
        "roomlog.protocol.message_rate.MessageRate.take",
        lambda rate, cost, now_ms: None,
        "hostile_client_succeeded",
    ),
    "t55 a look-alike passes everything on": (
        "roomlog.protocol.greeting.Greeting.judge",
        lambda greeting, hello: greeting._transcript(hello, greeting._origins[0]),
        "proof_was_relayed",
    ),
}
"""Bugs that a server may have, and what an attack then comes to."""
ROOT = Path(__file__).parent.parent.parent


@pytest.fixture(scope="module")
def lines() -> dict[str, str]:
    """What was said of each scenario, and of what was never seen; each run in one process."""
    done = subprocess.run(
        [sys.executable, "-m", "tests.simulation.directed"],
        cwd=ROOT,
        env={**os.environ, "PYTHONHASHSEED": "0"},
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
    )
    said = [line.split(" | ", 1) for line in done.stdout.splitlines() if " | " in line]
    assert len(said) >= len(SCENARIOS), done.stdout + done.stderr
    return {f"{name} {what}" if name == "never seen" else name: what for name, what in said}


@pytest.mark.parametrize(
    "name", [pytest.param(name, id=name.replace(" ", "_")) for name in SCENARIOS]
)
def test_a_directed_scenario_keeps_every_promise(name: str, lines: dict[str, str]) -> None:
    assert lines[name] == "good"


def test_all_scenarios_together_miss_nothing(lines: dict[str, str]) -> None:
    assert [line for line in lines if line.startswith("never seen")] == []


@pytest.mark.parametrize("name", [pytest.param(name, id=name.replace(" ", "_")) for name in BUGS])
def test_an_attack_that_succeeds_is_found(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    target, bug, violation = BUGS[name]
    monkeypatch.setattr(target, bug)
    assert run_plan(SCENARIOS[name]()).violation == violation


def test_what_is_left_out_is_no_more_than_what_cannot_be() -> None:
    assert set(CLASSES_LEFT_OUT) == {RejectClass.WRITE_FORBIDDEN, RejectClass.ROOM_ID_INVALID}
    assert {code.code for code in CODES_LEFT_OUT} == {1000, 1001}
    names = [name for names in MUST_BE_SEEN.values() for name in names]
    assert len(set(names)) == len(names)
    assert set(TRAPS) <= set(ATTACKS) | set(LIES)
