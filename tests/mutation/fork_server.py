"""Runs pytest in a copy of the project, again and again, without paying for the imports each time.

What the tests need besides roomlog is imported once; each run is a fork that puts its copy first on
the path. Requests and answers are lines of JSON. Started by `runner.Runner`, never by hand.
"""

from __future__ import annotations

import contextlib
import json
import os
import select
import signal
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, final

if TYPE_CHECKING:
    import pytest

ROOT = Path(__file__).parent.parent.parent
# What the tests import besides roomlog. A missing one costs time and nothing else.
SHARED_MODULES = (
    "pytest",
    "_pytest.assertion.rewrite",
    "pytest_asyncio.plugin",
    "hypothesis.strategies",
    "hypothesis.stateful",
    "aiohttp.web",
    "apsw",
    "blake3",
    "msgspec",
    "nacl.bindings",
    "prometheus_client",
    "rich.console",
    "sqlite3",
    "structlog",
    "typer",
    "uvloop",
    "xml.dom.minidom",
)
OUTPUT_CHARACTERS = 4_000
NO_REPORT = 70
"""The code of a run that died: a pytest that ends by itself never gives it."""


@final
class InCopy:
    """A pytest plugin: the copy is what is tested, deterministically, and what failed is noted."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self.failed: list[tuple[str, float]] = []
        self.passed = 0
        self._seconds: dict[str, float] = {}

    def pytest_configure(self) -> None:
        from hypothesis import HealthCheck, Phase, settings

        # The first counterexample is enough, and the same one every time.
        settings.register_profile(
            "mutants",
            deadline=None,
            derandomize=True,
            database=None,
            phases=[Phase.explicit, Phase.generate],
            suppress_health_check=list(HealthCheck),
        )
        settings.load_profile("mutants")

    def pytest_sessionstart(self) -> None:
        import roomlog

        imported = Path(roomlog.__file__)
        assert imported.is_relative_to(self._root / "src"), f"not the copy: {imported}"

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        name = report.nodeid
        self._seconds[name] = self._seconds.get(name, 0.0) + report.duration
        if report.failed:
            self.failed.append((name, round(self._seconds[name], 2)))
        elif report.when == "call" and report.passed:
            self.passed += 1


def serve() -> None:
    """Answer requests until there are no more."""
    for name in SHARED_MODULES:
        with contextlib.suppress(ImportError):
            __import__(name)
    assert "roomlog" not in sys.modules
    # Requests come on what was standard input; tests must not read them.
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    for line in sys.stdin:
        answers.write(json.dumps(_run(json.loads(line))) + "\n")
        answers.flush()


def _run(request: dict[str, Any]) -> dict[str, Any]:
    root = Path(request["root"])
    report, output = root / "report.json", root / "output.txt"
    report.unlink(missing_ok=True)
    started = time.monotonic()
    ended, ends = os.pipe()
    child = os.fork()
    if child == 0:
        code = NO_REPORT
        try:
            _be_impatient(request["patience_s"])
            code = _test(root, request["arguments"], report, output)
        finally:
            os.write(ends, b"!")
            os._exit(code)
    os.close(ends)
    # Nothing more is asked during a run: what comes is the end of whoever asks.
    ready, _, _ = select.select([ended, 0], [], [], request["timeout_s"])
    is_ended = ended in ready
    os.close(ended)
    # Whatever the tests left behind goes with them.
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(child, signal.SIGKILL)
    os.waitpid(child, 0)
    if 0 in ready and not is_ended:
        raise SystemExit(1)
    answer: dict[str, Any] = {"code": NO_REPORT if is_ended else None, "failed": [], "passed": 0}
    if is_ended and report.exists():
        answer |= json.loads(report.read_text(encoding="utf-8"))
    answer["seconds"] = round(time.monotonic() - started, 2)
    text = output.read_text(encoding="utf-8", errors="replace") if output.exists() else ""
    answer["output"] = text[-OUTPUT_CHARACTERS:]
    return answer


def _be_impatient(patience_s: float | None) -> None:
    """Let nothing wait for longer than this: with a bug in it, what is waited for never comes."""
    if patience_s is None:
        return
    import asyncio

    timeout = asyncio.timeout

    def shorter(delay: float | None) -> asyncio.Timeout:
        return timeout(None if delay is None else min(delay, patience_s))

    asyncio.timeout = shorter


def _test(root: Path, arguments: list[str], report: Path, output: Path) -> int:
    os.setsid()
    descriptor = os.open(output, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    nothing = os.open(os.devnull, os.O_RDONLY)
    for target, source in ((0, nothing), (1, descriptor), (2, descriptor)):
        os.dup2(source, target)
    os.chdir(root)
    # Ahead of the editable install, here and in whatever the tests start.
    checkout = (str(ROOT), str(ROOT / "src"), "")
    sys.path[:] = [str(root / "src"), str(root), *(p for p in sys.path if p not in checkout)]
    os.environ["PYTHONPATH"] = f"{root / 'src'}{os.pathsep}{root}"
    for name in [each for each in sys.modules if each.partition(".")[0] == "tests"]:
        del sys.modules[name]
    import pytest

    plugin = InCopy(root)
    code = int(pytest.main(arguments, plugins=[plugin]))
    sys.stdout.flush()
    answer = {"code": code, "failed": plugin.failed, "passed": plugin.passed}
    report.write_text(json.dumps(answer), encoding="utf-8")
    return code


if __name__ == "__main__":
    serve()
