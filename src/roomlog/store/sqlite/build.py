"""This build: the migrations in this source and the levels in `levels.py`."""

from __future__ import annotations

from typing import Final

from roomlog import __version__
from roomlog.store.levels import (
    BUILD_COMPAT_VERSION,
    BUILD_FEATURE_LEVEL,
    BUILD_SCHEMA_VERSION,
)
from roomlog.store.sqlite.migration import Build
from roomlog.store.sqlite.migrations import MIGRATIONS

THIS_BUILD: Final = Build(
    __version__, BUILD_SCHEMA_VERSION, BUILD_COMPAT_VERSION, BUILD_FEATURE_LEVEL, MIGRATIONS
)
