"""Node stores: the interface, the in-memory store and the SQLite store with its migrations."""
