"""Running one target for a while, and what came of it."""

from __future__ import annotations

import hashlib
import os
import re
import subprocess
import sys
import time
from pathlib import Path
from typing import Final, NamedTuple

from tests.fuzz.target import CORPUS, CRASHES, kept_inputs, load

ROOT: Final = Path(__file__).parents[2]
WORK: Final = ROOT / "build" / "fuzz"
UNIT_LIMIT_S: Final = 120
"""No input takes a hundredth of this; what does never ends."""
MEMORY_LIMIT_MB: Final = 2048
END_GRACE_S: Final = 300

_PROGRESS: Final = re.compile(r"cov: (\d+) ft: (\d+)")
_EXECUTED: Final = re.compile(r"stat::number_of_executed_units:\s*(\d+)")
_LAST_SEEN: Final = re.compile(r"^#(\d+)\s", re.MULTILINE)
_WRITTEN: Final = re.compile(r"Test unit written to (.+)$", re.MULTILINE)


class FuzzResult(NamedTuple):
    """What one run of a target did. `edges` and `features` are libFuzzer's counts of coverage."""

    name: str
    seconds: float
    executions: int
    edges: int
    features: int
    new_inputs: int
    crash: Path | None
    exit_code: int
    output: Path

    @property
    def failed(self) -> bool:
        """Whether the run ended otherwise than by its time."""
        return self.exit_code != 0


def fuzz(
    name: str,
    seconds: int,
    *,
    work: Path = WORK,
    crashes: Path = CRASHES,
    nice: int = 0,
    seed: int = 0,
) -> FuzzResult:
    """Fuzz a target for so many seconds, from its seeds, the kept corpus and what `work` has.

    A crashing input is written into `crashes`. `seed` decides what is tried, 0 is another one each
    time. Raises ValueError for an unknown target.
    """
    found, seeds, kept = work / name / "found", work / name / "seeds", crashes / name
    for directory in (found, seeds, kept):
        directory.mkdir(parents=True, exist_ok=True)
    write_seeds(name, seeds)
    before = len(list(found.iterdir()))
    directories = [found, seeds, *([CORPUS / name] if (CORPUS / name).is_dir() else [])]
    command = [
        *([] if not nice else ["nice", "-n", str(nice)]),
        sys.executable,
        "-m",
        "tests.fuzz.fuzz_one",
        name,
        *map(str, directories),
        f"-max_total_time={seconds}",
        f"-seed={seed}",
        f"-artifact_prefix={kept}{os.sep}",
        f"-timeout={UNIT_LIMIT_S}",
        f"-rss_limit_mb={MEMORY_LIMIT_MB}",
        "-print_final_stats=1",
        "-verbosity=1",
    ]
    # What measures coverage of the tests would measure the fuzzer, at its expense.
    environment = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("COV_CORE", "COVERAGE_"))
    }
    output = work / name / "output.txt"
    started = time.monotonic()
    with output.open("wb") as stream:
        ended = subprocess.run(
            command,
            cwd=ROOT,
            env=environment,
            stdout=stream,
            stderr=subprocess.STDOUT,
            timeout=seconds + END_GRACE_S,
            check=False,
        )
    text = output.read_text(encoding="utf-8", errors="replace")
    return FuzzResult(
        name=name,
        seconds=time.monotonic() - started,
        executions=_executions(text),
        edges=_last_progress(text)[0],
        features=_last_progress(text)[1],
        new_inputs=len(list(found.iterdir())) - before,
        crash=_crash(text),
        exit_code=ended.returncode,
        output=output,
    )


def write_seeds(name: str, directory: Path) -> None:
    """The target's seeds and its past crashes as files, by the hash of their content."""
    known = {path.name for path in directory.iterdir()}
    crashes = [path.read_bytes() for path in kept_inputs(CRASHES, name)]
    for data in [*load(name).seeds(), *crashes]:
        file_name = hashlib.sha1(data, usedforsecurity=False).hexdigest()
        if file_name not in known:
            (directory / file_name).write_bytes(data)


def _executions(text: str) -> int:
    final = _EXECUTED.search(text)
    if final:
        return int(final[1])
    seen = _LAST_SEEN.findall(text)
    return int(seen[-1]) if seen else 0


def _last_progress(text: str) -> tuple[int, int]:
    seen = _PROGRESS.findall(text)
    return (int(seen[-1][0]), int(seen[-1][1])) if seen else (0, 0)


def _crash(text: str) -> Path | None:
    written = _WRITTEN.findall(text)
    return Path(written[-1].strip()) if written else None
