"""A real server in a process of its own, to be killed and started again."""

from __future__ import annotations

import itertools
import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path

_PROGRAM = """
import json
import sys
from roomlog.server.config import load_config
from roomlog.server.service import run
flags = {"store": sys.argv[1], "bind": sys.argv[2], "log_level": "error"}
flags.update(json.loads(sys.argv[3]))
sys.exit(run(load_config(flags, {}, None), lambda service: print("ready", flush=True)))
"""


FIRST_PORT = 20_000
PORTS_A_WORKER = 1_000
_NUMBERS = itertools.count()


_KEPT: list[socket.socket] = []


def free_port() -> int:
    """A port for a server that is started later: from a range of this test worker's own.

    Below the ports that the system gives away by itself, which somebody may get in between. Other
    runs on this machine have the same range. So the port is kept by a socket that does not listen:
    whoever looks for a free one finds it taken, and a server, which reuses addresses, gets it.
    """
    worker = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw"))
    for number in itertools.islice(_NUMBERS, PORTS_A_WORKER):
        port = FIRST_PORT + worker * PORTS_A_WORKER + number % PORTS_A_WORKER
        keeper = socket.socket()
        try:
            keeper.bind(("127.0.0.1", port))
        except OSError:
            keeper.close()
            continue
        keeper.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        _KEPT.append(keeper)
        return port
    raise AssertionError("no port is free")


class ServerProcess:
    def __init__(
        self,
        store: Path | str,
        port: int | None = None,
        *,
        flags: Mapping[str, object] | None = None,
    ) -> None:
        self.store = str(store)
        self._flags = json.dumps(dict(flags or {}))
        self.port = free_port() if port is None else port
        self.url = f"ws://127.0.0.1:{self.port}"
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-c", _PROGRAM, self.store, f"127.0.0.1:{self.port}", self._flags],
            stdout=subprocess.PIPE,
        )
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        assert line == b"ready\n", "the server did not start"

    def kill(self) -> None:
        assert self._process is not None
        self._process.kill()
        self._wait()

    def stop(self) -> None:
        if self._process is not None and self._process.poll() is None:
            self._process.terminate()
            deadline = time.monotonic() + 15
            while self._process.poll() is None and time.monotonic() < deadline:
                time.sleep(0.01)
            self._process.kill()
            self._wait()

    def _wait(self) -> None:
        assert self._process is not None
        self._process.wait(timeout=15)
        assert self._process.stdout is not None
        self._process.stdout.close()
