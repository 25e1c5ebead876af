"""Keep of what was found only what adds coverage: `python -m tests.fuzz.keep [--target NAME ...]`.

Inputs below `build/fuzz/` are looked at from the shortest on; one that makes roomlog step from a
line to another as neither a seed nor a kept input does is copied into `corpus/`, up to a limit.
"""

from __future__ import annotations

import argparse
import hashlib
import sys
from collections.abc import Callable
from pathlib import Path
from types import CodeType, FrameType
from typing import Any, Final, final

import roomlog
from tests.fuzz.fuzz_run import WORK
from tests.fuzz.target import CORPUS, NAMES, kept_inputs, load

LIMIT_BYTES: Final = 32 * 1024
"""Of all inputs that are kept for a target."""
LONGEST_BYTES: Final = 1024
_SOURCE: Final = str(Path(roomlog.__file__).parent)

Steps = set[tuple[CodeType, int, int]]


@final
class StepRecorder:
    """Which lines of roomlog followed which, while something runs."""

    def __init__(self) -> None:
        self.steps: Steps = set()

    def run(self, check: Callable[[bytes], None], data: bytes) -> Steps:
        """The steps that one input takes. Raises what the check raises."""
        self.steps = set()
        sys.settrace(self._entered)
        try:
            check(data)
        finally:
            sys.settrace(None)
        return self.steps

    def _entered(self, frame: FrameType, event: str, argument: Any) -> Any:
        if not frame.f_code.co_filename.startswith(_SOURCE):
            return None
        code, steps, last = frame.f_code, self.steps, -1

        def stepped(frame: FrameType, event: str, argument: Any) -> Any:
            nonlocal last
            if event == "line":
                steps.add((code, last, frame.f_lineno))
                last = frame.f_lineno
            return stepped

        return stepped


def keep(name: str) -> tuple[int, int]:
    """Add to the corpus of a target; how many inputs were added, and how many it has."""
    target, recorder = load(name), StepRecorder()
    kept = kept_inputs(CORPUS, name)
    known: Steps = set()
    for data in [*target.seeds(), *(path.read_bytes() for path in kept)]:
        known |= recorder.run(target.check, data)
    size_bytes = sum(path.stat().st_size for path in kept)
    found = sorted(kept_inputs(WORK / name, "found"), key=lambda path: path.stat().st_size)
    added = 0
    for path in found:
        data = path.read_bytes()
        if len(data) > LONGEST_BYTES or size_bytes + len(data) > LIMIT_BYTES:
            break
        steps = recorder.run(target.check, data)
        if steps <= known:
            continue
        known |= steps
        size_bytes += len(data)
        added += 1
        (CORPUS / name).mkdir(parents=True, exist_ok=True)
        file_name = hashlib.sha1(data, usedforsecurity=False).hexdigest()
        (CORPUS / name / file_name).write_bytes(data)
    return added, len(kept) + added


def main() -> None:
    """Go through the targets."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--target", action="append", choices=NAMES, metavar="NAME")
    for name in parser.parse_args().target or NAMES:
        added, count = keep(name)
        print(f"{name}: {added} added, {count} kept")


if __name__ == "__main__":
    main()
