"""Fan-out: one writer, a hundred readers of one room, small edits, loopback.

First as fast as it goes with 32 edits under way (sent and not yet confirmed to the writer), counted
until every reader has every edit; then at a paced 100 edits a second, where latency is from
sending to each reader's arrival. Server, writer and readers are processes of their own; the readers
are the same for both servers. roomlog verifies a signature for every edit and syncs its store to
disk before it relays; y-websocket keeps the document in memory.
"""

from __future__ import annotations

import array
import contextlib
import json
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import IO

from bench.measure import ROOT, Claim, Figures, main
from bench.processes import cpu_seconds, free_port, roomlog_command, server, store_directory

READERS = 100
WINDOW = 32
BURST_SECONDS = 4.0
PACE_PER_SECOND = 100.0
PACED_SECONDS = 5.0
# One writer at full speed is far beyond the live rate that a server grants by default.
RAISED_LIMITS = {
    "ROOMLOG_LIVE_NODES_PER_SECOND": "1000000",
    "ROOMLOG_LIVE_BYTES_PER_SECOND": str(1 << 30),
}
NODE_SERVER = Path(__file__).parent / "node_modules" / "y-websocket" / "bin" / "server.cjs"


@contextlib.contextmanager
def y_websocket() -> Iterator[tuple[int, str]]:
    node = shutil.which("node")
    if node is None or not NODE_SERVER.exists():
        sys.exit("y-websocket is not installed: it needs Node.js, and then bench/setup")
    port = free_port()
    environment = {"HOST": "127.0.0.1", "PORT": str(port), "NODE_ENV": "production"}
    with server([node, str(NODE_SERVER)], environment, port) as pid:
        yield pid, f"ws://127.0.0.1:{port}/bench"


@contextlib.contextmanager
def roomlog() -> Iterator[tuple[int, str]]:
    with store_directory() as store:
        port = free_port()
        with server(roomlog_command(store, port), RAISED_LIMITS, port) as pid:
            yield pid, f"ws://127.0.0.1:{port}/ws/bench"


TEN = "roomlog, ten edits a node"
KINDS = {"y-websocket": y_websocket, "roomlog": roomlog, TEN: roomlog}


def client_process(part: str, kind: str, url: str, *options: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "bench.fanout_clients", part, kind, url, *options],
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )


def line_of(process: subprocess.Popen[str]) -> str:
    """The next line a client process prints; ends the program when it ended instead."""
    out: IO[str] | None = process.stdout
    assert out is not None
    line = out.readline()
    if not line:
        sys.exit(f"{process.args} ended with {process.wait(10)}")
    return line


def run_phase(kind: str, arrivals: Path | None, *options: str) -> tuple[dict, dict, float]:
    """(what the writer says, what the readers say, CPU seconds of the server meanwhile)."""
    recorded = ["--arrivals", str(arrivals)] if arrivals else []
    with KINDS[kind]() as (pid, url):
        readers = client_process("readers", kind, url, f"--readers={READERS}", *recorded)
        writer = None
        try:
            if line_of(readers) != "ready\n":
                sys.exit("the readers could not join")
            before = cpu_seconds(pid)
            writer = client_process("writer", kind, url, *options)
            written = json.loads(line_of(writer))
            assert readers.stdin is not None
            readers.stdin.write(f"expect {written['sent']}\n")
            readers.stdin.flush()
            seen = json.loads(line_of(readers))
            spent = cpu_seconds(pid) - before
        finally:
            for process in (readers, writer):
                if process is not None:
                    with contextlib.suppress(subprocess.TimeoutExpired):
                        process.wait(5)
                    process.kill()
                    process.wait()
    return written, seen, spent


def measure(kind: str) -> Figures:
    # The trace has not enough edits to go on longer at ten a node.
    burst_seconds = BURST_SECONDS / 2 if kind == TEN else BURST_SECONDS
    written, seen, spent = run_phase(kind, None, f"--window={WINDOW}", f"--seconds={burst_seconds}")
    seconds = seen["last_arrival"] - written["begun"]
    figures = {
        "edits_per_second": written["sent"] / seconds,
        "deliveries_per_second": written["sent"] * READERS / seconds,
        "edits_per_frame": written["sent"] * READERS / seen["frames"],
        "burst_server_cpu_share": spent / seconds,
    }
    if kind == TEN:
        return figures
    with tempfile.TemporaryDirectory() as directory:
        arrivals = Path(directory) / "arrivals"
        written, seen, spent = run_phase(
            kind, arrivals, f"--pace={PACE_PER_SECOND}", f"--seconds={PACED_SECONDS}"
        )
        moments = written["moments"]
        reached = array.array("d", arrivals.read_bytes())
    delays = sorted(
        arrival - moments[position % len(moments)] for position, arrival in enumerate(reached)
    )
    figures["paced_p50_ms"] = delays[len(delays) // 2] * 1000
    figures["paced_p99_ms"] = delays[len(delays) * 99 // 100] * 1000
    figures["paced_server_cpu_share"] = spent / (seen["last_arrival"] - written["begun"])
    return figures


def facts() -> dict[str, str]:
    node = subprocess.run(["node", "--version"], capture_output=True, text=True, check=False)
    return {
        "readers": str(READERS),
        "edits under way": str(WINDOW),
        "limits raised for roomlog": " ".join(f"{k}={v}" for k, v in RAISED_LIMITS.items()),
        "Node.js": node.stdout.strip(),
    }


SIDES = {kind: lambda kind=kind: measure(kind) for kind in KINDS}
CLAIMS = [
    Claim(
        f"deliveries a second to {READERS} readers: times y-websocket's",
        ("roomlog", "deliveries_per_second"),
        ("y-websocket", "deliveries_per_second"),
        at_least=6.0,
    ),
    Claim(
        f"edits delivered a second to {READERS} readers, ten a node: times y-websocket's",
        (TEN, "deliveries_per_second"),
        ("y-websocket", "deliveries_per_second"),
        at_least=10.0,
    ),
    Claim(
        "p99 latency at a paced 100 edits a second: times y-websocket's",
        ("roomlog", "paced_p99_ms"),
        ("y-websocket", "paced_p99_ms"),
        at_most=1.0,
    ),
]

if __name__ == "__main__":
    main("fanout", "Fan-out to a hundred readers", SIDES, CLAIMS, facts)
