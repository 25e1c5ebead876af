"""The conformance vectors and the zoo of released stores, as inputs to begin with."""

from __future__ import annotations

import json
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any, Final

VECTORS: Final = Path(__file__).parents[2] / "vectors"
ZOO: Final = VECTORS / "zoo"


@cache
def topic(name: str) -> dict[str, Any]:
    """One file of vectors."""
    document: dict[str, Any] = json.loads((VECTORS / f"{name}.json").read_text(encoding="utf-8"))
    return document


def entries(name: str, *parts: str) -> Iterator[dict[str, Any]]:
    """All entries of these parts of a file."""
    for part in parts:
        yield from topic(name)[part]


def released() -> list[Path]:
    """The directories of the zoo, one a release."""
    return sorted(path for path in ZOO.iterdir() if path.is_dir())
