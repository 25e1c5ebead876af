"""Pack files for what has no place in a log any more: one a room, written pack by pack."""

from __future__ import annotations

import os
from pathlib import Path
from typing import BinaryIO, final
from urllib.parse import quote

from roomlog.core.pack import write_pack_file
from roomlog.store.sqlite.directory import fsync_path

UNKNOWN_LINEAGE = bytes(32)


@final
class SavedPacks:
    """The pack files in one directory, which is made with the first of them."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._files: dict[str, BinaryIO] = {}

    def add(self, name: str, lineage: bytes, pack: bytes) -> None:
        """One pack for the file of that name; without a lineage the file has 32 zeros for it."""
        lineage = lineage or UNKNOWN_LINEAGE
        before = write_pack_file(lineage, [])
        file = self._files.get(name)
        if file is None:
            self._path.mkdir(mode=0o700, exist_ok=True)
            file = (self._path / f"{quote(name, safe='')}.pack").open("xb")
            self._files[name] = file
            file.write(before)
        file.write(write_pack_file(lineage, [pack])[len(before) :])

    def close(self) -> list[Path]:
        """Make them durable; their paths."""
        paths: list[Path] = []
        for file in self._files.values():
            file.flush()
            os.fsync(file.fileno())
            file.close()
            paths.append(Path(file.name))
        if paths:
            fsync_path(self._path)
            fsync_path(self._path.parent)
        self._files = {}
        return paths
