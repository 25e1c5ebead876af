"""The three numbers that decide which build may open which store.

- `BUILD_SCHEMA_VERSION`: the newest migration this build knows.
- `BUILD_COMPAT_VERSION`: the oldest schema version of code that may open what this build writes.
- `BUILD_FEATURE_LEVEL`: the highest feature level this build can negotiate and write.

A new store starts at the build's feature level; an old one keeps its own until `finalize`.
"""

from __future__ import annotations

from typing import Final

BUILD_SCHEMA_VERSION: Final = 2
BUILD_COMPAT_VERSION: Final = 1
BUILD_FEATURE_LEVEL: Final = 1
