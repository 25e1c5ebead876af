"""Asks a `fork_server` to run tests in a copy of the project, and says what became of a mutant."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, final

from tests.mutation.trees import ROOT, Base

DEFAULT_TIMEOUT_S = 60.0
PYTEST_ARGUMENTS = (
    *("-q", "--no-header", "--tb=short", "--color=no"),
    *("-o", "addopts=--import-mode=importlib"),
    *("-p", "no:cacheprovider"),
    *("-p", "pytest_asyncio.plugin"),
)
_TESTS_FAILED = 1


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """What a run of tests came to. `code` is pytest's, None when it took too long."""

    code: int | None
    failed: list[tuple[str, float]]
    passed: int
    seconds: float
    output: str

    @property
    def is_passed(self) -> bool:
        """Every test ran and none failed."""
        return self.code == 0 and self.passed > 0

    @property
    def is_timeout(self) -> bool:
        """The tests did not end: that counts as caught."""
        return self.code is None

    @property
    def is_caught(self) -> bool:
        """A test failed, or did not end. What cannot even be collected is no evidence."""
        return self.is_timeout or self.code == _TESTS_FAILED

    @property
    def word(self) -> str:
        """For tables."""
        if self.is_timeout:
            return "timeout"
        return {0: "SURVIVED", _TESTS_FAILED: "caught"}.get(self.code or 0, f"BROKEN ({self.code})")


@final
class Runner:
    """One fork server, and the copy of the project that its runs are made from.

    Runners that work side by side may share a `base`, which then is not theirs to close.
    """

    def __init__(self, base: Base | None = None) -> None:
        environment = {
            name: value
            for name, value in os.environ.items()
            # Nobody else's coverage, plugins or settings.
            if not name.startswith(("COV_", "COVERAGE_", "PYTEST_", "ROOMLOG_"))
        }
        environment |= {
            "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1",
            "PYTHONHASHSEED": "0",
            "PYTHONPATH": str(ROOT),
        }
        self._owns_base = base is None
        self.base = Base() if base is None else base
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.mutation.fork_server"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            cwd=ROOT,
            env=environment,
            text=True,
        )

    def close(self) -> None:
        """End the server and remove the copies."""
        _pipe(self._process.stdin).close()
        try:
            self._process.wait(10)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        _pipe(self._process.stdout).close()
        if self._owns_base:
            self.base.close()

    def run(
        self,
        tests: Sequence[str],
        change: Callable[[Path], None] | None = None,
        *,
        timeout_s: float = DEFAULT_TIMEOUT_S,
        patience_s: float | None = None,
        until_first: bool = True,
        arguments: Sequence[str] = (),
        keep: Callable[[Path], None] | None = None,
    ) -> Outcome:
        """Run `tests` (node ids below tests/) in a tree that `change` was made to.

        `change` gets the path of the copy of src/roomlog. With `patience_s` no test waits longer
        than that for one thing. `keep` gets that of the whole tree when
        the tests have run, before it is removed.
        """
        with self.base.tree() as tree:
            if change is not None:
                change(tree / "src" / "roomlog")
            request = {
                "root": str(tree),
                "timeout_s": timeout_s,
                "patience_s": patience_s,
                "arguments": [
                    *PYTEST_ARGUMENTS,
                    *(["-x"] if until_first else []),
                    f"--basetemp={tree / 'temporary'}",
                    *arguments,
                    *(f"tests/{test}" for test in tests),
                ],
            }
            stdin = _pipe(self._process.stdin)
            stdin.write(json.dumps(request) + "\n")
            stdin.flush()
            line = _pipe(self._process.stdout).readline()
            if keep is not None:
                keep(tree)
        if not line:
            raise RuntimeError("the fork server is gone")
        answer = json.loads(line)
        answer["failed"] = [(name, seconds) for name, seconds in answer["failed"]]
        return Outcome(**answer)


def _pipe(stream: IO[str] | None) -> IO[str]:
    assert stream is not None
    return stream
