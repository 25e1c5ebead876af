"""The embedded store on SQLite."""

from roomlog.store.sqlite.store import SqliteStore

__all__ = ["SqliteStore"]
