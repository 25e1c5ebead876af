"""Checks that the installed roomlog is the compiled one: every listed module is an extension.

Run it with the interpreter of the compiled environment, from the project's root. Exits 1 and names
what is missing, or a listed module that defines msgspec.Struct classes (mypyc drops their options).
"""

from __future__ import annotations

import ast
import importlib
import sys
import tomllib
from pathlib import Path

ROOT = Path(__file__).parent.parent


def listed_sources() -> list[Path]:
    """The files that pyproject.toml lists for mypyc; a pattern that matches nothing is an error."""
    with (ROOT / "pyproject.toml").open("rb") as file:
        tool = tomllib.load(file)["tool"]
    patterns = tool["hatch"]["build"]["targets"]["wheel"]["hooks"]["mypyc"]["include"]
    sources: list[Path] = []
    for pattern in patterns:
        matched = sorted(ROOT.glob(pattern))
        if not matched:
            sys.exit(f"pyproject.toml lists {pattern} for mypyc, and there is no such file")
        sources += matched
    return sources


def defines_structs(source: Path) -> bool:
    tree = ast.parse(source.read_text(encoding="utf-8"))
    classes = (node for node in ast.walk(tree) if isinstance(node, ast.ClassDef))
    return any(ast.unparse(base).endswith("Struct") for each in classes for base in each.bases)


def module_name(source: Path) -> str:
    parts = source.relative_to(ROOT / "src").with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def main() -> int:
    faults = []
    sources = listed_sources()
    for source in sources:
        if defines_structs(source):
            faults.append(f"{source.relative_to(ROOT)} defines msgspec.Struct classes")
        loaded = importlib.import_module(module_name(source)).__file__ or ""
        if not loaded.endswith((".so", ".pyd")):
            faults.append(f"{module_name(source)} is not compiled: {loaded}")
    for fault in faults:
        print(fault)
    if not faults:
        print(f"{len(sources)} modules are compiled")
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())
