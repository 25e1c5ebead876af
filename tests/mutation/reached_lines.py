"""Which tests of the pure packages run which lines: no other test could see a change of them."""

from __future__ import annotations

import ast
import hashlib
import json
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import final

import coverage

from tests.mutation.runner import Runner
from tests.mutation.trees import ROOT

SOURCE = ROOT / "src" / "roomlog"
TESTS = (
    *("core", "protocol"),
    *("test_vectors.py", "test_merge_vectors.py", "test_subscription_vectors.py"),
)
TIMEOUT_S = 3_600.0


@final
class ReachedLines:
    """The tests, as node ids below tests/, that ran each line of each file below src/roomlog."""

    def __init__(self, lines: dict[str, dict[int, list[str]]]) -> None:
        self._lines = lines

    @classmethod
    def learned_by(cls, runner: Runner, path: Path) -> ReachedLines:
        """What is kept at `path`, or was learned by running all tests once if it is out of date."""
        digest = _digest()
        if path.is_file():
            kept = json.loads(path.read_text(encoding="utf-8"))
            if kept["digest"] == digest:
                return cls._of(kept["lines"])
        lines: dict[str, dict[int, list[str]]] = {}

        def keep(tree: Path) -> None:
            data = coverage.CoverageData(str(tree / ".coverage"))
            data.read()
            source = tree / "src" / "roomlog"
            for measured in data.measured_files():
                if Path(measured).is_relative_to(source):
                    of_file = data.contexts_by_lineno(measured)
                    name = Path(measured).relative_to(source).as_posix()
                    lines[name] = {line: _functions(names) for line, names in of_file.items()}

        print("Learning which tests run which lines ...", flush=True)
        arguments = ["-p", "pytest_cov.plugin", "--cov=roomlog", "--cov-context=test"]
        outcome = runner.run(
            TESTS, timeout_s=TIMEOUT_S, arguments=[*arguments, "--cov-report="], keep=keep
        )
        if not outcome.is_passed:
            raise RuntimeError(f"the tests fail without a mutant:\n{outcome.output}")
        path.write_text(json.dumps({"digest": digest, "lines": lines}), encoding="utf-8")
        return cls._of(json.loads(json.dumps(lines)))

    @classmethod
    def _of(cls, lines: dict[str, dict[str, list[str]]]) -> ReachedLines:
        return cls(
            {file: {int(line): tests for line, tests in of.items()} for file, of in lines.items()}
        )

    def tests_of(self, file: str, line: int) -> list[str]:
        """The tests that ran any of the function that `line` is in; of the module, outside of one.

        Ascending, so that those of one file are together.
        """
        first, last = _function_around((SOURCE / file).read_text(encoding="utf-8"), line)
        found: set[str] = set()
        for number, tests in self._lines.get(file, {}).items():
            if first <= number <= last:
                found.update(tests)
        return sorted(found)


def _functions(contexts: Sequence[str]) -> list[str]:
    """The test functions of contexts such as `tests/a.py::test_b[c]|run`."""
    names = {name.partition("|")[0].split("[")[0] for name in contexts if name}
    return sorted(name.removeprefix("tests/") for name in names)


def _function_around(text: str, line: int) -> tuple[int, int]:
    """First and last line of the body of the outermost function around a line."""
    for node in _outermost_functions(ast.parse(text)):
        if node.lineno <= line <= (node.end_lineno or node.lineno):
            # The head of it is run by whoever imports it.
            return node.body[0].lineno, node.end_lineno or node.lineno
    return 1, text.count("\n") + 1


def _outermost_functions(tree: ast.AST) -> list[ast.FunctionDef | ast.AsyncFunctionDef]:
    found: list[ast.FunctionDef | ast.AsyncFunctionDef] = []
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
            found.append(node)
        else:
            found += _outermost_functions(node)
    return found


def _digest() -> str:
    """Of all sources: what was learned of others says nothing."""
    digest: defaultdict[str, str] = defaultdict(str)
    for path in sorted(SOURCE.rglob("*.py")):
        digest[path.as_posix()] = hashlib.sha256(path.read_bytes()).hexdigest()
    return hashlib.sha256(json.dumps(digest).encode()).hexdigest()
