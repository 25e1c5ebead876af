"""The tests that carry the number of a trap in their name."""

from __future__ import annotations

import ast
import re
from collections import defaultdict
from functools import cache

from tests.mutation.trees import ROOT

TESTS = ROOT / "tests"
TRAP_IN_NAME = re.compile(r"(?:^|_)t(\d+)(?=_|$)")
# A suite that every backend of the store passes is run by the tests of each backend.
RUN_BY = {
    "store/conformance.py": ("store/test_sqlite.py", "store/test_memory.py"),
    "store/snapshot_conformance.py": ("store/test_sqlite.py", "store/test_memory.py"),
}


@cache
def files_by_trap() -> dict[int, list[str]]:
    """The files below tests/ that have tests named for a trap, by its number."""
    found: defaultdict[int, dict[str, None]] = defaultdict(dict)
    for path in sorted(TESTS.rglob("*.py")):
        file = path.relative_to(TESTS).as_posix()
        if file.startswith("mutation/") or not (path.name.startswith("test_") or file in RUN_BY):
            continue
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
                for number in TRAP_IN_NAME.findall(node.name):
                    found[int(number)] |= dict.fromkeys(RUN_BY.get(file, (file,)))
    return {trap: list(files) for trap, files in found.items()}


def traps_of(test: str) -> set[int]:
    """The traps that a test, given as a node id, is named for."""
    return {int(number) for number in TRAP_IN_NAME.findall(test.rpartition("::")[2].split("[")[0])}
