"""The house rules that a program can check: names, sizes, paths, a test for every known trap."""

from __future__ import annotations

import ast
import re
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
SOURCE = ROOT / "src" / "roomlog"
TESTS = ROOT / "tests"

LONGEST_SOURCE_LINES = 500
# Sources that may be longer, each with the length it must not pass.
LONGER_SOURCES: dict[str, int] = {}
EMPTY_NAMES = {"util", "utils", "helper", "helpers", "manager", "managers", "misc", "common"}
# Directories of the machines this is built on; a path below them means nothing to a reader.
MACHINE_PATH = re.compile(r"(?:^|[^\w.-])/(?:" + "|".join(("work", "farm", "root")) + r")/", re.M)
# The ways in which systems of this kind are known to fail, and which must have a test here.
TRAPS = (
    *(1, 2, 3, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 20, 21, 22, 23, 27, 28, 29, 30, 31, 32),
    *(34, 35, 36, 37, 38, 43, 44, 47, 49, 51, 52, 53, 54, 55, 56, 57, 58, 59, 62, 63),
)
TRAP_IN_NAME = re.compile(r"(?:^|_)t(\d+)(?=_|$)")


def tracked_files() -> list[Path]:
    try:
        listed = subprocess.run(
            ["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, check=True, timeout=30
        )
    except (OSError, subprocess.CalledProcessError):
        pytest.skip("not a git checkout: which files belong to the project is unknown")
    names = listed.stdout.decode().split("\0")
    return [ROOT / name for name in names if name and (ROOT / name).is_file()]


def test_no_tracked_file_names_a_path_of_the_machine_it_was_made_on() -> None:
    faults = []
    for path in tracked_files():
        try:
            text = path.read_text(encoding="utf-8")
        except UnicodeDecodeError:
            continue
        for found in MACHINE_PATH.finditer(text):
            line = text.count("\n", 0, found.end()) + 1
            faults.append(f"{path.relative_to(ROOT)}:{line} {found.group().strip()}")
    assert not faults, "\n".join(faults)


def test_no_source_file_is_longer_than_one_idea_needs() -> None:
    lengths = {
        str(path.relative_to(SOURCE)): len(path.read_text(encoding="utf-8").splitlines())
        for path in sorted(SOURCE.rglob("*.py"))
    }
    too_long = {
        name: length
        for name, length in lengths.items()
        if length > LONGER_SOURCES.get(name, LONGEST_SOURCE_LINES)
    }
    assert not too_long, too_long
    needless = {name for name in LONGER_SOURCES if lengths.get(name, 0) <= LONGEST_SOURCE_LINES}
    assert not needless, f"no exception is needed for {needless}"


def test_no_module_has_a_name_that_says_nothing() -> None:
    sources = [*SOURCE.rglob("*.py"), *TESTS.rglob("*.py")]
    empty = [str(path.relative_to(ROOT)) for path in sources if path.stem in EMPTY_NAMES]
    assert not empty, empty


def traps_with_a_test() -> set[int]:
    covered = set()
    for path in TESTS.rglob("test_*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)) and node.name.startswith(
                "test_"
            ):
                covered.update(int(number) for number in TRAP_IN_NAME.findall(node.name))
    return covered


def test_every_known_trap_has_a_test_that_carries_its_number() -> None:
    missing = sorted(set(TRAPS) - traps_with_a_test())
    assert not missing, "no test is named for " + ", ".join(f"T{number}" for number in missing)
