"""A real `roomlog serve` on a store directory: started, signalled, starved, ended."""

from __future__ import annotations

import asyncio
import os
import resource
import signal
import subprocess
import time
from collections.abc import Mapping
from pathlib import Path

from tests.cli.running import command
from tests.client.server_process import free_port

START_S = 60.0
END_S = 60.0
LOOK_S = 0.005
LISTENS = "roomlog listens on"


class NotStarted(Exception):
    """The server ended before it listened; `code` and what it wrote."""

    def __init__(self, code: int, text: str) -> None:
        super().__init__(f"the server ended with {code}:\n{text}")
        self.code = code
        self.text = text


class ServedStore:
    """One server process after the other on one store and one port.

    Everything they write goes to one file, so that nothing of it is lost with a killed process.
    """

    def __init__(self, store: Path, log: Path, settings: Mapping[str, object]) -> None:
        self.store = store
        self.log = log
        self.port = free_port()
        self.url = f"ws://127.0.0.1:{self.port}"
        self.kills = 0
        self.process: subprocess.Popen[bytes] | None = None
        inherited = {k: v for k, v in os.environ.items() if not k.startswith("ROOMLOG_")}
        chosen = {f"ROOMLOG_{name.upper()}": str(value) for name, value in settings.items()}
        self._environment = {**inherited, "ROOMLOG_LOG_FORMAT": "json", **chosen}

    @property
    def is_up(self) -> bool:
        return self.process is not None and self.process.poll() is None

    @property
    def pid(self) -> int:
        assert self.process is not None
        return self.process.pid

    def spawn(self) -> subprocess.Popen[bytes]:
        """Start a process and wait for nothing; `listening` does."""
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                command("serve", "--store", self.store, "--bind", f"127.0.0.1:{self.port}"),
                env=self._environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        return self.process

    async def start(self) -> None:
        """Start a process, return when it listens. Raises `NotStarted`."""
        before = self.log.stat().st_size if self.log.exists() else 0
        await self.listening(self.spawn(), before)

    async def listening(self, process: subprocess.Popen[bytes], log_from: int) -> None:
        """Wait for a process that logs from there on."""
        deadline = time.monotonic() + START_S
        while LISTENS not in (text := self.logged(log_from)):
            if process.poll() is not None:
                raise NotStarted(process.returncode, self.logged(log_from))
            if time.monotonic() > deadline:
                process.kill()
                process.wait()
                raise NotStarted(-signal.SIGKILL, f"it did not listen within {START_S} s: {text}")
            await asyncio.sleep(LOOK_S)

    async def refusal(self) -> str:
        """Start a process; "" when it listens, else the one line in which it says why not."""
        try:
            await self.start()
        except NotStarted as ended:
            text = ended.text.strip()
            if ended.code != 1 or "Traceback" in text or not text.startswith("roomlog: "):
                raise
            return text
        return ""

    async def start_when_free(self) -> int:
        """Start over and over until the store's lock was to be had; how often it was not."""
        refusals = 0
        while refusal := await self.refusal():
            assert "is in use by" in refusal, refusal
            refusals += 1
        return refusals

    def logged(self, log_from: int = 0) -> str:
        if not self.log.exists():
            return ""
        with self.log.open("rb") as file:
            file.seek(log_from)
            return file.read().decode(errors="replace")

    def signal(self, number: int) -> None:
        if self.is_up:
            os.kill(self.pid, number)

    async def ended(self) -> int:
        """Wait for the end of the process; its exit code."""
        assert self.process is not None
        deadline = time.monotonic() + END_S
        while self.process.poll() is None:
            assert time.monotonic() < deadline, "the server does not end"
            await asyncio.sleep(LOOK_S)
        return self.process.returncode

    async def kill(self) -> None:
        """kill -9, of the server and of the process that replays rooms for it."""
        if self.process is not None:
            if self.process.poll() is None:
                self.kills += 1
                self.process.kill()
            await self.ended()

    async def drain(self) -> None:
        """SIGTERM, and everything about it as it should be."""
        self.signal(signal.SIGTERM)
        code = await self.ended()
        assert code == 0, f"a drain ended with {code}"

    def limit_file_size(self, limit_bytes: int | None) -> None:
        """Let no file grow beyond this: writes fail as they do on a full disk, without one."""
        _, hard = resource.prlimit(self.pid, resource.RLIMIT_FSIZE)
        soft = hard if limit_bytes is None else limit_bytes
        resource.prlimit(self.pid, resource.RLIMIT_FSIZE, (soft, hard))
