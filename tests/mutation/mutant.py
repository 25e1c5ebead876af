"""One bug put in on purpose: where, what instead of what, and the tests that must see it."""

from __future__ import annotations

import ast
from dataclasses import dataclass
from pathlib import Path


class MutantOutdated(Exception):
    """The text that a mutant replaces is not there exactly once: the source has moved on."""


@dataclass(frozen=True, kw_only=True)
class Mutant:
    """`old` becomes `new` in `file` (a path below src/roomlog).

    `traps` are the numbers of the known traps that the bug falls into. `tests` are pytest node ids
    below tests/, the fastest first; each of them alone must fail.
    """

    name: str
    traps: tuple[int, ...]
    file: str
    old: str
    new: str
    tests: tuple[str, ...] = ()

    def applied_to(self, text: str) -> str:
        """The source with the bug in it. Raises `MutantOutdated`, SyntaxError."""
        found = text.count(self.old)
        if found != 1:
            raise MutantOutdated(f"{self.name}: its text is in {self.file} {found} times, not once")
        mutated = text.replace(self.old, self.new)
        tree = ast.parse(mutated)
        if ast.dump(tree) == ast.dump(ast.parse(text)):
            raise MutantOutdated(f"{self.name}: changes nothing that is run")
        return mutated

    def write_into(self, source: Path) -> None:
        """Put the bug into the copy of src/roomlog at `source`."""
        path = source / self.file
        text = self.applied_to(path.read_text(encoding="utf-8"))
        # The copy shares its files with others: never write into one.
        path.unlink()
        path.write_text(text, encoding="utf-8")
