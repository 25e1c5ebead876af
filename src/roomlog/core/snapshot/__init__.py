"""Snapshots: the state at a critical place of the log, signed. See docs/design/snapshots.md."""
