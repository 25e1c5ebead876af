"""Every migration of the SQLite store, in order. What was released is never edited."""

from __future__ import annotations

from roomlog.store.sqlite.migration import Migration
from roomlog.store.sqlite.migrations import m0001_initial, m0002_snapshots_and_windows

MIGRATIONS: tuple[Migration, ...] = (
    m0001_initial.MIGRATION,
    m0002_snapshots_and_windows.MIGRATION,
)
