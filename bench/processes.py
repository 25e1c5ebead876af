"""Server processes under test."""

from __future__ import annotations

import contextlib
import os
import resource
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from bench.measure import ROOT

START_SECONDS = 20


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


@contextlib.contextmanager
def server(command: list[str], environment: dict[str, str], port: int) -> Iterator[int]:
    """A server process that answers on its port; ended by SIGTERM, its pid given."""
    # What the shell sets for roomlog would change what is measured.
    inherited = {k: v for k, v in os.environ.items() if not k.startswith("ROOMLOG_")}
    with tempfile.TemporaryFile() as log:
        process = subprocess.Popen(
            command, env={**inherited, **environment}, stdout=log, stderr=log, cwd=ROOT
        )
        try:
            deadline = time.monotonic() + START_SECONDS
            while True:
                with contextlib.suppress(OSError):
                    socket.create_connection(("127.0.0.1", port), 1).close()
                    break
                if process.poll() is not None or time.monotonic() > deadline:
                    log.seek(0)
                    sys.exit(f"{command[0]} did not start:\n{log.read().decode()}")
                time.sleep(0.02)
            yield process.pid
        finally:
            process.send_signal(signal.SIGTERM)
            try:
                process.wait(15)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def cpu_seconds(pid: int) -> float:
    """User and system time of a process, all threads."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def resident_bytes(pid: int) -> int:
    """Resident memory of a process now."""
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * resource.getpagesize()


def roomlog_command(store: str, port: int) -> list[str]:
    """`roomlog serve` of this environment."""
    program = Path(sys.executable).parent / "roomlog"
    return [str(program), "serve", "--store", store, "--bind", f"127.0.0.1:{port}"]


@contextlib.contextmanager
def store_directory() -> Iterator[str]:
    """A directory for a store on the disk of the checkout, removed at the end.

    A temporary directory may lie in memory, where syncing costs nothing.
    """
    parent = Path(__file__).parent / ".roomlog"
    parent.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory(dir=parent) as directory:
        yield directory
