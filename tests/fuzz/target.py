"""What a fuzz target is: a check that takes any bytes, and the inputs to begin with.

A check returns for good and for refused bytes alike. Whatever it raises is a bug: an exception that
is not the documented one, or an assertion about what was read.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Iterable
from pathlib import Path
from random import Random
from typing import Final, NamedTuple

HERE: Final = Path(__file__).parent
CORPUS: Final = HERE / "corpus"
CRASHES: Final = HERE / "crashes"

NAMES: Final = (
    "values",
    "packs",
    "histories",
    "snapshots",
    "messages",
    "server_sessions",
    "client_sessions",
    "documents",
    "sockets",
    "texts",
    "stores",
    "doctors",
)
"""Every target; each is the module of this name below `targets`."""

PLANTED: Final = "planted"
"""One with a bug, to see that bugs are found."""

Mutate = Callable[[bytes, int, Random], "bytes | None"]
"""Another input made from one of at most so many bytes; None when there is nothing to change."""


class Target(NamedTuple):
    """One family of decoders.

    `mutate` knows the format: it changes what is inside of checksums, lengths and signatures. Every
    other input comes from the fuzzer's own mutations.
    """

    check: Callable[[bytes], None]
    seeds: Callable[[], Iterable[bytes]]
    most_bytes: int = 4096
    mutate: Mutate | None = None


def load(name: str) -> Target:
    """The target of that name. Raises ValueError when there is none."""
    if name not in (*NAMES, PLANTED):
        raise ValueError(f"{name!r} is none of {', '.join(NAMES)}")
    target = importlib.import_module(f"tests.fuzz.targets.{name}").TARGET
    assert isinstance(target, Target)
    return target


def kept_inputs(directory: Path, name: str) -> list[Path]:
    """The inputs of a target that are kept in `directory`, by name."""
    return sorted(path for path in (directory / name).glob("*") if path.is_file())
