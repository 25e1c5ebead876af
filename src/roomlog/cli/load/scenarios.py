"""The table of scenarios, and how one is run and shown."""

from __future__ import annotations

import asyncio
import tempfile
import time
from pathlib import Path
from typing import Any, Final

from roomlog.cli.load import (
    flood,
    many_rooms,
    mixed_versions,
    never_quiet,
    offline_day,
    reconnect_storm,
    slow_reader,
)
from roomlog.cli.load.scenario import Outcome, Scenario
from roomlog.cli.output import line, remark, table

SCENARIOS: Final = {
    scenario.name: scenario
    for scenario in (
        Scenario("slow-reader", slow_reader.__doc__ or "", 10.0, slow_reader.run),
        Scenario("offline-day", offline_day.__doc__ or "", 20.0, offline_day.run),
        Scenario("reconnect-storm", reconnect_storm.__doc__ or "", 16.0, reconnect_storm.run),
        Scenario("flood", flood.__doc__ or "", 8.0, flood.run),
        Scenario("many-rooms", many_rooms.__doc__ or "", 10.0, many_rooms.run),
        Scenario("mixed-versions", mixed_versions.__doc__ or "", 9.0, mixed_versions.run),
        Scenario("never-quiet", never_quiet.__doc__ or "", 18.0, never_quiet.run),
    )
}


def run_scenario(name: str, seconds: float | None) -> dict[str, Any]:
    """Run one with a server of its own; its figures, checks and verdict.

    Raises `Failure` when it cannot be run.
    """
    scenario = SCENARIOS[name]
    load_s = scenario.seconds if seconds is None else seconds
    remark(f"{name}: {scenario.meaning} About {load_s:g} s of load, then up to a minute to settle.")
    started_s = time.perf_counter()
    with tempfile.TemporaryDirectory(prefix="roomlog-load-") as directory:
        outcome = asyncio.run(scenario.run(Path(directory), load_s))
    return {
        "scenario": name,
        "meaning": scenario.meaning,
        "seconds": round(time.perf_counter() - started_s, 1),
        "figures": outcome.figures,
        "checks": [
            {"check": each.name, "found": each.found, "limit": each.limit, "passed": each.passed}
            for each in outcome.checks
        ],
        "passed": all(each.passed for each in outcome.checks) and bool(outcome.checks),
    }


def print_scenario(result: dict[str, Any]) -> None:
    """What was measured, then each limit with its verdict."""
    table(("FIGURE", "VALUE"), [(name, str(value)) for name, value in result["figures"].items()])
    line("")
    rows = [
        ("pass" if each["passed"] else "FAIL", each["check"], each["found"], each["limit"])
        for each in result["checks"]
    ]
    table(("", "CHECK", "FOUND", "LIMIT"), rows)
    verdict = "passed" if result["passed"] else "FAILED"
    line(f"{result['scenario']}: {verdict} in {result['seconds']:g} s")


__all__ = ["SCENARIOS", "Outcome", "print_scenario", "run_scenario"]
