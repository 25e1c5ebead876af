"""A server of this installation as a process of its own, for a scenario: started, seen, ended."""

from __future__ import annotations

import asyncio
import contextlib
import os
import resource
import signal
import socket
import sys
import urllib.request
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Final, final

from roomlog.cli.failure import Failure
from roomlog.cli.load.link import Link

START_S: Final = 20.0
STOP_S: Final = 30.0
_WATCH_S: Final = 0.1


@final
class OwnServer:
    """`async with OwnServer(directory, links) as server`: `roomlog serve` on a free port.

    `links` lead to it; their addresses are origins of the server. `settings` are configuration
    values by key. Raises `Failure` when it does not start.
    """

    def __init__(
        self,
        directory: Path,
        links: Sequence[Link] = (),
        settings: Mapping[str, object] | None = None,
    ) -> None:
        self.port = _free_port()
        self.peak_bytes = 0
        """The greatest resident memory seen, 0 where the system does not tell."""
        self._store = directory / "store"
        self._links = links
        self._settings = dict(settings or {})
        self._process: asyncio.subprocess.Process | None = None
        self._tasks: list[asyncio.Task[None]] = []
        self._last_lines: list[str] = []

    @property
    def url(self) -> str:
        """What clients dial."""
        return f"ws://127.0.0.1:{self.port}"

    async def __aenter__(self) -> OwnServer:
        await self.start()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self.stop(signal.SIGTERM)

    async def start(self) -> None:
        """Start the process, on the store and port of before if there were some."""
        origins = [self.url, *(link.url for link in self._links)]
        settings = {"public_origins": ",".join(origins), "log_format": "json", **self._settings}
        inherited = {k: v for k, v in os.environ.items() if not k.startswith("ROOMLOG_")}
        chosen = {f"ROOMLOG_{name.upper()}": str(value) for name, value in settings.items()}
        self._process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            "roomlog",
            "serve",
            "--store",
            str(self._store),
            "--bind",
            f"127.0.0.1:{self.port}",
            env={**inherited, **chosen},
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
        )
        ready = asyncio.Event()
        self._tasks = [
            asyncio.ensure_future(self._read_log(ready)),
            asyncio.ensure_future(self._watch_memory()),
        ]
        ended = asyncio.ensure_future(self._process.wait())
        is_ready = asyncio.ensure_future(ready.wait())
        try:
            await asyncio.wait(
                (ended, is_ready), timeout=START_S, return_when=asyncio.FIRST_COMPLETED
            )
        finally:
            ended.cancel()
            is_ready.cancel()
        if not ready.is_set():
            await self.stop(signal.SIGKILL)
            raise Failure("the server did not start:\n" + "\n".join(self._last_lines))
        for link in self._links:
            link.target_port = self.port

    async def stop(self, number: int) -> int:
        """Send a signal, wait for the end; the exit code."""
        process = self._process
        if process is None:
            return 0
        self._process = None
        if process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                process.send_signal(number)
        try:
            async with asyncio.timeout(STOP_S):
                await process.wait()
        except TimeoutError:
            process.kill()
            await process.wait()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        assert process.returncode is not None
        return process.returncode

    async def metric(self, name: str, **labels: str) -> float:
        """The sum of a metric's samples that have these labels; 0 without any."""
        url = f"http://127.0.0.1:{self.port}/metrics"
        text = await asyncio.to_thread(_fetched, url)
        wanted = [f'{label}="{value}"' for label, value in labels.items()]
        total = 0.0
        for sample in text.splitlines():
            head, _, value = sample.rpartition(" ")
            if head.partition("{")[0] == name and all(each in head for each in wanted):
                total += float(value)
        return total

    def resident_bytes(self) -> int:
        """Resident memory now, 0 where the system does not tell."""
        if self._process is None:
            return 0
        try:
            fields = Path(f"/proc/{self._process.pid}/statm").read_text(encoding="ascii").split()
        except OSError:
            return 0
        return int(fields[1]) * resource.getpagesize()

    async def _watch_memory(self) -> None:
        while True:
            self.peak_bytes = max(self.peak_bytes, self.resident_bytes())
            await asyncio.sleep(_WATCH_S)

    async def _read_log(self, ready: asyncio.Event) -> None:
        assert self._process is not None
        assert self._process.stdout is not None
        async for raw in self._process.stdout:
            text = raw.decode(errors="replace").rstrip()
            self._last_lines = [*self._last_lines[-9:], text]
            if "listens on" in text:
                ready.set()


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def _fetched(url: str) -> str:
    with urllib.request.urlopen(url, timeout=10) as answer:  # noqa: S310 - http to this machine
        return bytes(answer.read()).decode()
