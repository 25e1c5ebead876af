"""A client in a process of its own with a local store, killed and started again."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import roomlog
from roomlog.client.backoff import Backoff
from roomlog.client.document import Document
from tests.client import killed_client

MODES = ("whole", "recent", "partial")
ACKED = "acked "


class KilledWriter:
    """What it prints goes to a file: what it had called durable is known whenever it dies."""

    def __init__(self, number: int, mode: str, url: str, directory: Path) -> None:
        self.name = f"k{number}"
        self.mode = mode
        self.kills = 0
        self.store = directory / f"{self.name}.sqlite3"
        self._seed = 100 + number
        self._url = url
        self._told = directory / f"{self.name}.txt"
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def public_key(self) -> bytes:
        return self._identity.public_key

    @property
    def _identity(self) -> roomlog.Identity:
        return roomlog.Identity.from_seed(bytes([self._seed]) * 32)

    def start(self) -> None:
        arguments = [self._url, str(self.store), self.name, str(self._seed), self.mode]
        with self._told.open("ab") as told, self._errors.open("ab") as errors:
            self._process = subprocess.Popen(
                [sys.executable, str(killed_client.__file__), *arguments],
                stdin=subprocess.DEVNULL,
                stdout=told,
                stderr=errors,
                start_new_session=True,
            )

    @property
    def _errors(self) -> Path:
        return self._told.with_suffix(".err")

    def signal(self, number: int) -> None:
        assert self._process is not None
        os.kill(self._process.pid, number)

    def end(self) -> None:
        """Gone, whatever state it is in."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None

    def kill(self) -> None:
        """kill -9. What it did not survive by itself is an error."""
        process, self._process = self._process, None
        if process is None:
            return
        ended_by_itself = process.poll()
        process.kill()
        process.wait()
        # A line that was cut short is not a line: of a key it would be another, shorter one.
        told = self._told.read_bytes()
        with self._told.open("r+b") as file:
            file.truncate(told.rfind(b"\n") + 1)
        self.kills += 1
        assert ended_by_itself in (None, -signal.SIGKILL), (
            f"{self.name} ended by itself: {self._errors.read_text()[-2_000:]}"
        )

    def told(self) -> tuple[set[str], set[bytes]]:
        """The keys that were durable with it, and the ids that the server had acknowledged."""
        keys: set[str] = set()
        ids: set[bytes] = set()
        if self._told.exists():
            for line in self._told.read_text().split("\n")[:-1]:
                if line.startswith(ACKED):
                    ids.add(bytes.fromhex(line.removeprefix(ACKED)))
                elif line != "open":
                    keys.add(line)
        return keys, ids

    async def open(self) -> Document:
        """Its local store, opened in this process now that it is dead."""
        doc = roomlog.connect(self._url, room="demo", identity=self._identity, store=self.store)
        doc._backoff = Backoff(lambda: 0.5, first_s=0.01, longest_s=0.1)
        return await doc.__aenter__()
