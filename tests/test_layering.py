"""Imports point down only, and the pure packages touch no clock, no file, no socket, no randomness.

Read from the sources by syntax tree, so that an import inside a function counts as well.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

SOURCE = Path(__file__).parent.parent / "src" / "roomlog"

# What each package may import of ours, beside itself. `roomlog` is the top: its own modules are the
# public face and hold what lies outside the packages (identity, sync).
MAY_IMPORT = {
    "core": set(),
    "protocol": {"core"},
    "store": {"core"},
    "control": {"protocol", "core"},
    "client": {"control", "protocol", "core"},
    "server": {"control", "protocol", "core", "store"},
    "upgrade": {"server", "client", "control", "protocol", "core", "store"},
    "cli": {"upgrade", "server", "client", "control", "protocol", "core", "store"},
}
# Modules directly under roomlog/, and the packages each may import.
TOP_MODULES = {
    "__init__": {"client", "core"},
    "file_lock": set(),
    "identity": {"core"},
    "sync": {"client", "core", "protocol"},
    "__main__": {"cli"},
}
# Which top modules a package may import: these lie outside the pure packages.
TOP_MODULES_OF = {
    "store": {"file_lock", "identity"},
    "client": {"file_lock", "identity"},
    "server": {"identity"},
    "upgrade": {"identity", "sync"},
    "cli": {"file_lock", "identity", "sync"},
}
PURE = ("core", "protocol")
IMPURE_MODULES = frozenset(
    {
        "_thread",
        "aiohttp",
        "apsw",
        "asyncio",
        "concurrent",
        "ctypes",
        "datetime",
        "fcntl",
        "glob",
        "http",
        "io",
        "logging",
        "mmap",
        "multiprocessing",
        "nacl.utils",
        "os",
        "pathlib",
        "random",
        "sched",
        "secrets",
        "select",
        "selectors",
        "shutil",
        "signal",
        "socket",
        "socketserver",
        "sqlite3",
        "ssl",
        "structlog",
        "subprocess",
        "tempfile",
        "threading",
        "time",
        "urllib",
        "uuid",
        "uvloop",
        "warnings",
    }
)
IMPURE_CALLS = frozenset({"open", "input", "print", "exec", "eval", "__import__"})


def imports_of(path: Path) -> Iterator[tuple[int, str]]:
    """(line, absolute dotted name) of every import; `from a import b` gives `a.b`."""
    package = ("roomlog", *path.relative_to(SOURCE).parts[:-1])
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield node.lineno, alias.name
        elif isinstance(node, ast.ImportFrom):
            anchor = package[: len(package) - node.level + 1] if node.level else ()
            base = ".".join((*anchor, *([node.module] if node.module else [])))
            for alias in node.names:
                yield node.lineno, f"{base}.{alias.name}"


def sources(package: str) -> list[Path]:
    return sorted((SOURCE / package).rglob("*.py"))


def outside_the_layers(path: Path, own: str, packages: set[str], modules: set[str]) -> list[str]:
    faults = []
    for line, name in imports_of(path):
        parts = name.split(".")
        if parts[0] != "roomlog" or len(parts) == 1:
            continue
        target = parts[1]
        is_module = (SOURCE / f"{target}.py").exists()
        is_package = (SOURCE / target).is_dir()
        if not is_module and not is_package:
            # a name of roomlog/__init__.py itself: the public face, the top of everything
            allowed = own in ("cli", "upgrade") or target == "__version__"
        else:
            allowed = target == own or target in (packages if is_package else modules)
        if not allowed:
            where = path.relative_to(SOURCE.parent.parent)
            faults.append(f"{where}:{line} imports {name}; {own} may not")
    return faults


@pytest.mark.parametrize("package", sorted(MAY_IMPORT))
def test_imports_point_down_only(package: str) -> None:
    faults = []
    for path in sources(package):
        modules = TOP_MODULES_OF.get(package, set())
        faults += outside_the_layers(path, package, MAY_IMPORT[package], modules)
    assert not faults, "\n".join(faults)


def test_every_package_and_top_module_has_its_place_in_the_layers() -> None:
    packages = {path.name for path in SOURCE.iterdir() if (path / "__init__.py").exists()}
    modules = {path.stem for path in SOURCE.glob("*.py")}
    assert packages <= set(MAY_IMPORT), packages - set(MAY_IMPORT)
    assert modules <= set(TOP_MODULES), modules - set(TOP_MODULES)


@pytest.mark.parametrize("module", sorted(TOP_MODULES))
def test_top_modules_import_only_what_is_named_for_them(module: str) -> None:
    path = SOURCE / f"{module}.py"
    faults = outside_the_layers(path, "roomlog", TOP_MODULES[module], set(TOP_MODULES))
    assert not faults, "\n".join(faults)


@pytest.mark.parametrize("package", PURE)
def test_pure_packages_import_nothing_that_does_io_or_tells_time(package: str) -> None:
    faults = []
    for path in sources(package):
        where = path.relative_to(SOURCE.parent.parent)
        for line, name in imports_of(path):
            parts = name.split(".")
            prefixes = {".".join(parts[:count]) for count in range(1, len(parts) + 1)}
            if prefixes & IMPURE_MODULES:
                faults.append(f"{where}:{line} imports {name}")
    assert not faults, "\n".join(faults)


@pytest.mark.parametrize("package", PURE)
def test_pure_packages_call_no_builtin_that_does_io(package: str) -> None:
    faults = []
    for path in sources(package):
        where = path.relative_to(SOURCE.parent.parent)
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if (
                isinstance(node, ast.Call)
                and isinstance(node.func, ast.Name)
                and node.func.id in IMPURE_CALLS
            ):
                faults.append(f"{where}:{node.lineno} calls {node.func.id}")
    assert not faults, "\n".join(faults)


def test_the_layering_check_sees_imports_inside_functions_and_relative_ones(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("core", "server", "core/crdt"):
        (tmp_path / "src" / "roomlog" / name).mkdir(parents=True, exist_ok=True)
    monkeypatch.setitem(globals(), "SOURCE", tmp_path / "src" / "roomlog")
    path = SOURCE / "core" / "crdt" / "bad.py"
    path.write_text("def f():\n    from ...server import rooms\n    import os.path\n")
    assert list(imports_of(path)) == [(2, "roomlog.server.rooms"), (3, "os.path")]
    faults = outside_the_layers(path, "core", set(), set())
    assert faults == ["src/roomlog/core/crdt/bad.py:2 imports roomlog.server.rooms; core may not"]
