"""A pytest plugin: the pure packages are covered to the last branch, or the run fails.

`make test` loads it with `-p tests.coverage_gate` beside pytest-cov, which measures. The limit
holds for the pure packages together; every other file is reported without one.
"""

from __future__ import annotations

import io
from collections.abc import Generator
from typing import TYPE_CHECKING

import coverage
import pytest

if TYPE_CHECKING:
    from _pytest.terminal import TerminalReporter

GATED = ["*/roomlog/core/*", "*/roomlog/protocol/*"]
REQUIRED_PERCENT = 100.0
REPORT_KEY = pytest.StashKey[list[str]]()


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_runtestloop(session: pytest.Session) -> Generator[None, object, object]:
    # Outermost, so that pytest-cov has already combined what the workers measured.
    outcome = yield
    is_worker = hasattr(session.config, "workerinput")
    if is_worker or not session.config.pluginmanager.hasplugin("_cov"):
        return outcome
    measured = coverage.Coverage()
    measured.load()
    pure, pure_percent = _report(measured, include=GATED, only_gaps=True)
    rest, _ = _report(measured, omit=GATED, only_gaps=False)
    lines = ["everything else", *rest.splitlines(), "", "core and protocol", *pure.splitlines()]
    if pure_percent < REQUIRED_PERCENT:
        lines.append(
            f"FAILED: core and protocol need 100% of lines and branches, {pure_percent:.2f}%"
        )
        session.testsfailed += 1
    session.config.stash[REPORT_KEY] = lines
    return outcome


def pytest_terminal_summary(terminalreporter: TerminalReporter) -> None:
    lines = terminalreporter.config.stash.get(REPORT_KEY, [])
    if lines:
        terminalreporter.section("coverage")
        for line in lines:
            terminalreporter.write_line(line)


def _report(
    measured: coverage.Coverage,
    *,
    include: list[str] | None = None,
    omit: list[str] | None = None,
    only_gaps: bool,
) -> tuple[str, float]:
    text = io.StringIO()
    try:
        percent = measured.report(
            file=text,
            include=include,
            omit=omit,
            show_missing=only_gaps,
            skip_covered=only_gaps,
            precision=2,
        )
    except coverage.exceptions.NoDataError:
        return "nothing measured", 0.0
    return text.getvalue().rstrip(), percent
