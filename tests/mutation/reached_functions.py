"""Which tests of the pure packages enter which functions: no other test could see a change there.

All tests run once in a copy in which every function notes that it was entered. As a pytest plugin
(`-p tests.mutation.reached_functions`) this collects the notes test by test.
"""

from __future__ import annotations

import ast
import builtins
import hashlib
import json
import os
from collections import Counter
from pathlib import Path
from typing import Final, final

import pytest

from tests.mutation.runner import Runner
from tests.mutation.trees import ROOT

SOURCE: Final = ROOT / "src" / "roomlog"
PACKAGES: Final = ("core", "protocol")
TESTS: Final = (
    *PACKAGES,
    *("test_vectors.py", "test_merge_vectors.py", "test_subscription_vectors.py"),
)
TIMEOUT_S: Final = 3_600.0
_NOTES: Final = "_functions_reached"
_KEPT: Final = "reached.json"

Function = ast.FunctionDef | ast.AsyncFunctionDef


@final
class ReachedFunctions:
    """The tests, as node ids below tests/, that entered the function at `file:line`."""

    def __init__(self, tests: dict[str, list[str]]) -> None:
        self._tests = tests
        self._reach = Counter(test for of_function in tests.values() for test in of_function)

    @classmethod
    def learned_by(cls, runner: Runner, path: Path) -> ReachedFunctions:
        """What is kept at `path`, or is learned by running all tests if it is of other sources."""
        source = runner.base.path / "src" / "roomlog"
        digest = _digest_of(source)
        if path.is_file():
            kept = json.loads(path.read_text(encoding="utf-8"))
            if kept["digest"] == digest:
                return cls(kept["tests"])
        tests: dict[str, list[str]] = {}

        def keep(tree: Path) -> None:
            tests.update(json.loads((tree / _KEPT).read_text(encoding="utf-8")))

        print("Learning which tests enter which functions ...", flush=True)
        plugin = ["-p", "tests.mutation.reached_functions"]
        outcome = runner.run(TESTS, _take_notes, timeout_s=TIMEOUT_S, arguments=plugin, keep=keep)
        if not outcome.is_passed:
            raise RuntimeError(f"the tests fail without a mutant:\n{outcome.output}")
        path.write_text(json.dumps({"digest": digest, "tests": tests}), encoding="utf-8")
        return cls(tests)

    def tests_of(self, file: str, text: str, line: int) -> list[str] | None:
        """The tests that enter the function of `text` that `line` is in; None outside of one.

        Those that enter the fewest functions come first: they are about it, and soon done.
        """
        for function in _outermost_functions(ast.parse(text)):
            if function.lineno <= line <= (function.end_lineno or function.lineno):
                tests = self._tests.get(f"{file}:{function.lineno}", [])
                return sorted(tests, key=lambda test: (self._reach[test], test))
        return None

    def all_tests(self) -> list[str]:
        """Every test that enters any function, in the same order."""
        return sorted(self._reach, key=lambda test: (self._reach[test], test))


def _outermost_functions(tree: ast.AST) -> list[Function]:
    found: list[Function] = []
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, Function):
            found.append(node)
        else:
            found += _outermost_functions(node)
    return found


def _take_notes(source: Path) -> None:
    """Let every function of the pure packages note that it was entered."""
    for package in PACKAGES:
        for path in (source / package).rglob("*.py"):
            file = path.relative_to(source).as_posix()
            tree = ast.parse(path.read_text(encoding="utf-8"))
            for function in _outermost_functions(tree):
                note = ast.parse(f"{_NOTES}.add('{file}:{function.lineno}')").body[0]
                function.body.insert(0, note)
            path.unlink()
            path.write_text(ast.unparse(ast.fix_missing_locations(tree)), encoding="utf-8")


def _digest_of(source: Path) -> str:
    digest = hashlib.sha256()
    for package in PACKAGES:
        for path in sorted((source / package).rglob("*.py")):
            digest.update(path.relative_to(source).as_posix().encode() + path.read_bytes())
    return digest.hexdigest()


# the plugin

_reached: set[str] = set()
_tests_of: dict[str, dict[str, None]] = {}


def pytest_configure() -> None:
    setattr(builtins, _NOTES, _reached)


def pytest_runtest_logstart(nodeid: str) -> None:
    # What a module does when it is imported is no test's.
    _reached.clear()


def pytest_runtest_logfinish(nodeid: str) -> None:
    test = nodeid.split("[", maxsplit=1)[0].removeprefix("tests/")
    for function in _reached:
        _tests_of.setdefault(function, {})[test] = None


def pytest_sessionfinish(session: pytest.Session) -> None:
    found = {function: sorted(tests) for function, tests in _tests_of.items()}
    Path(os.getcwd(), _KEPT).write_text(json.dumps(found), encoding="utf-8")
