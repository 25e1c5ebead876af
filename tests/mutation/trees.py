"""Copies of the project for bugs to be put into; the checkout itself is never touched.

A `Base` is a whole copy, made once. A tree for one mutant shares its files by hard links, compiled
ones too, so it costs milliseconds; whoever changes a file in it replaces the file.
"""

from __future__ import annotations

import itertools
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import final

ROOT = Path(__file__).parent.parent.parent
DIRECTORIES = ("src", "tests", "vectors", "docs", "examples", "scripts", "bench", "requirements")
FILES = ("pyproject.toml", "README.md", "CHANGELOG.md", "CONTRIBUTING.md", "Makefile")
_LEFT_OUT = shutil.ignore_patterns("*.so", "*.pyd", ".venv*", ".hypothesis", "node_modules")


@final
class Base:
    """A copy of the project as it stands, below a temporary directory of its own."""

    def __init__(self) -> None:
        self._directory = tempfile.TemporaryDirectory(prefix="mutants-", ignore_cleanup_errors=True)
        self.path = Path(self._directory.name) / "base"
        self._numbers = itertools.count(1)
        self.path.mkdir()
        for name in DIRECTORIES:
            if (ROOT / name).is_dir():
                # With the time of change, so that what is compiled stays valid.
                shutil.copytree(ROOT / name, self.path / name, ignore=_LEFT_OUT)
        for name in FILES:
            if (ROOT / name).is_file():
                shutil.copy2(ROOT / name, self.path / name)

    def close(self) -> None:
        """Remove the copy."""
        self._directory.cleanup()

    @contextmanager
    def tree(self) -> Iterator[Path]:
        """A tree to be changed, until the block ends."""
        path = Path(self._directory.name) / f"tree-{next(self._numbers)}"
        path.mkdir()
        try:
            shutil.copytree(self.path, path, copy_function=os.link, dirs_exist_ok=True)
            yield path
        finally:
            shutil.rmtree(path, ignore_errors=True)
