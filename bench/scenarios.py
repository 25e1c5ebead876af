"""Every scenario of `roomlog loadtest`, each against the limits it states itself."""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

from bench.machine import machine
from bench.measure import RESULTS, ROOT, require_build

LONGEST_SECONDS = 300


def run(name: str) -> dict[str, Any]:
    """One scenario in a process of its own; its result as the command gives it."""
    program = Path(sys.executable).parent / "roomlog"
    finished = subprocess.run(
        [str(program), "loadtest", "--scenario", name, "--json"],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        text=True,
        timeout=LONGEST_SECONDS,
        check=False,
    )
    if finished.returncode not in (0, 1) or not finished.stdout:
        sys.exit(f"scenario {name}: exit {finished.returncode}")
    result: dict[str, Any] = json.loads(finished.stdout)
    return result


def rows_of(result: dict[str, Any]) -> list[list[str]]:
    """A row for each limit, then one for each figure without one."""
    rows = [
        [
            each["check"],
            f"{each['found']:g}",
            each["limit"],
            "yes" if each["passed"] else "**no**",
        ]
        for each in result["checks"]
    ]
    return rows + [[name, str(value), "-", "-"] for name, value in result["figures"].items()]


def main() -> None:
    from roomlog.cli.loadtest import SCENARIO_NAMES

    parser = argparse.ArgumentParser(prog="python -m bench.scenarios", description=__doc__)
    parser.add_argument("--rounds", type=int, help="each is run once")
    parser.parse_args()
    require_build("roomlog")
    tables = []
    for name in SCENARIO_NAMES:
        result = run(name)
        verdict = "passed" if result["passed"] else "FAILED"
        print(f"{name}: {verdict} in {result['seconds']:g} s", file=sys.stderr, flush=True)
        tables.append(
            {
                "title": f"{name}: {verdict} in {result['seconds']:g} s",
                "text": result["meaning"],
                "header": ["check or figure", "found", "limit", "held"],
                "rows": rows_of(result),
            }
        )
    page = {
        "bench": "scenarios",
        "title": "Scenarios of roomlog loadtest",
        "rounds": 1,
        "samples": {},
        "claims": [],
        "tables": tables,
        "facts": {},
        "machine": machine(),
    }
    RESULTS.mkdir(exist_ok=True)
    path = RESULTS / "scenarios.json"
    path.write_text(json.dumps(page, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
