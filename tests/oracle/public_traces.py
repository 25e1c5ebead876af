"""Where the public editing histories are: third-party data, not part of this repository."""

from __future__ import annotations

import gzip
import json
import os
from pathlib import Path
from typing import Any

import pytest

_BESIDE = Path(__file__).resolve().parents[2].parent / "shared" / "traces"


def trace_path(name: str) -> Path:
    """The path of a trace; skips the test when the file is not here."""
    places = [_BESIDE]
    if "ROOMLOG_TRACES" in os.environ:
        places.append(Path(os.environ["ROOMLOG_TRACES"]))
    for place in places:
        if (place / name).is_file():
            return place / name
    pytest.skip(f"{name} is neither in ../shared/traces nor in the directory of ROOMLOG_TRACES")


def load_trace(name: str) -> dict[str, Any]:
    loaded: dict[str, Any] = json.loads(gzip.decompress(trace_path(name).read_bytes()))
    return loaded
