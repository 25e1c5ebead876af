"""Commands as a user runs them: in this process with their output caught, or as a real process."""

from __future__ import annotations

import contextlib
import json
import os
import queue
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from roomlog.cli.main import run

SECONDS = 30


class Ran:
    """How a command ended, and what it printed."""

    def __init__(self, code: int, out: str, err: str) -> None:
        self.code = code
        self.out = out
        self.err = err

    @property
    def json(self) -> Any:
        return json.loads(self.out)


def ran(capfd: pytest.CaptureFixture[str], *arguments: object) -> Ran:
    """Run a command in this process."""
    capfd.readouterr()
    code = run([str(each) for each in arguments])
    sys.stdout.flush()
    captured = capfd.readouterr()
    return Ran(code, captured.out, captured.err)


def command(*arguments: object) -> list[str]:
    return [sys.executable, "-m", "roomlog", *map(str, arguments)]


class Process:
    """A command as a process whose lines on standard error and output can be waited for."""

    def __init__(self, *arguments: object) -> None:
        environment = {k: v for k, v in os.environ.items() if not k.startswith("ROOMLOG_")}
        self.process = subprocess.Popen(
            command(*arguments),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env=environment,
        )
        self._lines: queue.Queue[str] = queue.Queue()
        for stream in (self.process.stdout, self.process.stderr):
            threading.Thread(target=self._read, args=(stream,), daemon=True).start()

    def _read(self, stream: Any) -> None:
        for text in stream:
            self._lines.put(text.rstrip("\n"))

    def line_with(self, part: str) -> str:
        """The next line that contains the part."""
        seen = []
        with contextlib.suppress(queue.Empty):
            while True:
                seen.append(self._lines.get(timeout=SECONDS))
                if part in seen[-1]:
                    return seen[-1]
        raise AssertionError(f"no line with {part!r} in {seen}")

    def end(self, number: int = signal.SIGTERM) -> int:
        """Send a signal and wait for the end."""
        self.process.send_signal(number)
        return self.process.wait(SECONDS)


@contextlib.contextmanager
def running(*arguments: object) -> Iterator[Process]:
    process = Process(*arguments)
    try:
        yield process
    finally:
        if process.process.poll() is None:
            process.process.kill()
            process.process.wait(SECONDS)


@contextlib.contextmanager
def serving(store: Path, *arguments: object) -> Iterator[tuple[Process, str]]:
    """`roomlog serve` on a free port of this machine, and its URL."""
    with running("serve", "--store", store, "--bind", "127.0.0.1:0", *arguments) as server:
        shown = server.line_with("roomlog listens on ")
        yield server, shown.split()[3].rstrip(";")
