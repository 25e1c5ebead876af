"""`python -m tests.crash.run --rounds N --seed M`: kill and starve a real server, over and over.

Round number i has the seed M + i and goes through the fault at that place of the table, with others
beside it. A seed that failed is printed with the command that repeats it; the exit code is then 1.
With `--log FILE` each round is a line of JSON there, and what passed is not run again.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import shlex
import shutil
import signal
import sys
import tempfile
import time
import traceback
from collections import Counter
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any

from tests.crash.faults import FAULTS, Fault, faults_of
from tests.crash.round import Round
from tests.crash.starvation import OWN_MOUNTS, NotHere

ROUND_S = 300.0


async def play(seed: int, directory: Path, faults: list[Fault]) -> dict[str, Any]:
    """One round; what it was. Raises whatever is wrong, `NotHere` when it cannot be here."""
    here = Round(seed, directory)
    first = faults[0]
    place: AbstractContextManager[None] = nullcontext()
    if first.place is not None:
        place = first.place(here)
    with place:
        async with asyncio.timeout(ROUND_S), here.living(is_founded=not first.is_before):
            if first.is_before:
                await first.befall(here)
            await here.begin(*first.killed_modes(here))
            for fault in faults:
                if not fault.is_before:
                    await fault.befall(here)
            await here.pause(0.1, 0.3)
            await here.finish()
    return {"trail": here.trail, **here.facts}


def played(seed: int, faults: list[Fault], keep: Path | None) -> dict[str, Any]:
    """A round as a line of the log."""
    line: dict[str, Any] = {"seed": seed, "faults": [fault.name for fault in faults]}
    started = time.monotonic()
    directory = Path(tempfile.mkdtemp(prefix=f"roomlog-crash-{seed}-"))
    try:
        line |= {"outcome": "passed", **asyncio.run(play(seed, directory, faults))}
    except NotHere as reason:
        line |= {"outcome": "left out", "reason": str(reason)}
    except Exception:
        line |= {"outcome": "failed", "error": traceback.format_exc()}
        if keep is not None:
            shutil.copytree(directory, keep / str(seed), dirs_exist_ok=True)
    finally:
        shutil.rmtree(directory, ignore_errors=True)
    line["seconds"] = round(time.monotonic() - started, 2)
    return line


def table(lines: list[dict[str, Any]], seconds: float) -> str:
    """What a run was, by fault."""
    rows = [("fault", "rounds", "kills", "acknowledged", "seconds")]
    for name in FAULTS:
        of_fault = [line for line in lines if name in line["faults"]]
        if of_fault:
            rows.append(
                (
                    name,
                    str(len(of_fault)),
                    str(sum(line.get("kills", 0) for line in of_fault)),
                    str(sum(line.get("acknowledged", 0) for line in of_fault)),
                    f"{sum(line['seconds'] for line in of_fault):.0f}",
                )
            )
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    shown = [
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True))
        for row in rows
    ]
    outcomes = Counter(line["outcome"] for line in lines)
    facts: Counter[str] = Counter()
    for line in lines:
        facts.update({name: value for name, value in line.items() if isinstance(value, int)})
    del facts["seed"]
    shown.append(", ".join(f"{count} {name}" for name, count in sorted(facts.items())))
    shown.append(f"{dict(outcomes)} in {seconds:.0f} s")
    return "\n".join(line.rstrip() for line in shown)


def logged(path: Path | None) -> dict[tuple[int | str, ...], dict[str, Any]]:
    """Rounds that passed already, by seed and faults."""
    if path is None or not path.exists():
        return {}
    lines = [json.loads(line) for line in path.read_text().splitlines() if line]
    return {(line["seed"], *line["faults"]): line for line in lines if line["outcome"] == "passed"}


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.crash.run", description=__doc__)
    parser.add_argument("--rounds", type=int, default=20)
    parser.add_argument("--seed", type=int, default=0, help="of the first round")
    parser.add_argument("--fault", action="append", choices=list(FAULTS), help="these instead")
    parser.add_argument("--log", type=Path)
    parser.add_argument("--keep", type=Path, help="where the files of failed rounds are left")
    asked = parser.parse_args(arguments)
    own_namespaces_if_possible(arguments)
    # Whoever ends this, ends what it started.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    done = logged(asked.log)
    lines = []
    started = time.monotonic()
    for seed in range(asked.seed, asked.seed + asked.rounds):
        faults = [FAULTS[name] for name in asked.fault] if asked.fault else faults_of(seed)
        if before := done.get((seed, *(fault.name for fault in faults))):
            lines.append(before)
            continue
        line = played(seed, faults, asked.keep)
        lines.append(line)
        if asked.log is not None:
            with asked.log.open("a") as log:
                log.write(json.dumps(line) + "\n")
        print(f"seed {seed}: {line['outcome']} in {line['seconds']} s: {', '.join(line['faults'])}")
        if line["outcome"] == "left out":
            print(f"  {line['reason']}")
        if line["outcome"] == "failed":
            print(line["error"])
            chosen = "".join(f" --fault {shlex.quote(name)}" for name in asked.fault or ())
            print(f"again: python -m tests.crash.run --rounds 1 --seed {seed}{chosen}")
        sys.stdout.flush()
    print(table(lines, time.monotonic() - started))
    return int(any(line["outcome"] == "failed" for line in lines))


def own_namespaces_if_possible(arguments: list[str]) -> None:
    """Go on in namespaces of our own: no mount and no process is left behind, however this ends."""
    unshare = shutil.which("unshare")
    if OWN_MOUNTS in os.environ or os.geteuid() != 0 or unshare is None:
        return
    own = [unshare, "--mount", "--propagation", "private"]
    own += ["--pid", "--fork", "--kill-child", "--mount-proc"]
    if os.spawnv(os.P_WAIT, unshare, [*own, "true"]) == 0:
        os.environ[OWN_MOUNTS] = "1"
        sys.stdout.flush()
        os.execv(unshare, [*own, sys.executable, "-m", "tests.crash.run", *arguments])


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
