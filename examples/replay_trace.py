"""Replay an editing trace through a real server: one process per agent, every edit signed.

    python examples/replay_trace.py --trace friendsforever.json.gz
    python examples/replay_trace.py --trace friendsforever.json.gz --kill-server-every 2000
    python examples/replay_trace.py --trace friendsforever.json.gz --disconnect-every 500

Starts `roomlog serve` on a store of its own, lets each agent of the trace write its part of the
history on exactly the versions it was written on, and compares what the server and all agents hold
in the end: hashes with each other, the text with the trace's `endContent`. Exit code 1 if anything
differs. With `--kill-server-every N` the server is killed (SIGKILL) after every N acknowledged
nodes and started again. With `--disconnect-every N` each agent's connection breaks at random, on
average once in N edits that it wrote or read, now and then also while it is coming back. Either
way every acknowledged node must be in the store in the end, and `roomlog verify` must pass.
"""

from __future__ import annotations

import argparse
import contextlib
import hashlib
import json
import multiprocessing
import shutil
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from trace_agent import TEXT_KEY, Assignment, run_agent
from trace_history import History, load_history

from roomlog.core.node import NodeHasher
from roomlog.core.pack import decode_pack
from roomlog.core.replica import Replica
from roomlog.protocol.codec import Codec
from roomlog.store.sqlite import SqliteStore

ROOM = "trace"
CODECS = {"msgpack": Codec.MSGPACK, "json": Codec.JSON}
START_TIMEOUT_S = 30.0
STALL_TIMEOUT_S = 180.0
STORE_PAGE_NODES = 4096
PRELOADED = ["roomlog", "roomlog.store.sqlite", "rich.console", "rich.progress"]


class Failure(Exception):
    """The replay cannot go on: what to tell."""


class Server:
    """`roomlog serve` as a child process that can be killed and started again."""

    def __init__(self, store: Path, log: Path) -> None:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port: int = probe.getsockname()[1]
        self.store = store
        self.log = log
        self.kills = 0
        self.process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        return f"ws://127.0.0.1:{self.port}"

    def start(self) -> None:
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                [*roomlog_command(), "serve", "--store", str(self.store), "--bind",
                 f"127.0.0.1:{self.port}"],
                stdin=subprocess.DEVNULL, stdout=log, stderr=log,
            )  # fmt: skip
        deadline = time.monotonic() + START_TIMEOUT_S
        while time.monotonic() < deadline:
            if self.process.poll() is not None:
                break
            if is_ready(f"http://127.0.0.1:{self.port}/readyz"):
                return
            time.sleep(0.02)
        raise Failure(f"the server did not start:\n{self.log.read_text()[-2000:]}")

    def kill(self) -> None:
        assert self.process is not None
        self.process.kill()
        self.process.wait()
        self.kills += 1

    def stop(self) -> None:
        if self.process is not None and self.process.poll() is None:
            self.process.terminate()
            try:
                self.process.wait(timeout=30)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()


def is_ready(url: str) -> bool:
    try:
        with urllib.request.urlopen(url, timeout=1) as answer:
            return bool(answer.status == 200)
    except (OSError, urllib.error.URLError):
        return False


def roomlog_command() -> list[str]:
    """The command beside this interpreter, so that both are of one installation."""
    beside = Path(sys.executable).with_name("roomlog")
    found = str(beside) if beside.exists() else shutil.which("roomlog")
    if found is None:
        raise Failure("there is no roomlog command: install the project first")
    return [found]


class Replay:
    """The coordinator: starts agents, passes on who wrote what, kills the server."""

    def __init__(self, history: History, server: Server, arguments: argparse.Namespace) -> None:
        self.history = history
        self.server = server
        self.kill_every: int = arguments.kill_server_every
        self.keep: Path | None = arguments.keep
        self.codec = CODECS[arguments.codec]
        edits_per_node = 1 if history.is_concurrent else arguments.edits_per_node
        self.nodes_between_cuts: float = arguments.disconnect_every / edits_per_node
        self.seed: int = arguments.seed
        self.readers = history.readers()
        self.pipes: dict[int, Connection] = {}
        self.processes: dict[int, BaseProcess] = {}
        self.written: dict[int, int] = {}
        self.acknowledged: set[bytes] = set()
        self.final: set[bytes] = set()
        self.done: set[int] = set()
        self.results: dict[int, dict[str, Any]] = {}
        self.next_kill = self.kill_every

    def start_agents(self) -> None:
        try:
            context: Any = multiprocessing.get_context("forkserver")
            # Imported once, so that hundreds of agents start quickly and share memory.
            context.set_forkserver_preload(PRELOADED)
        except ValueError:
            context = multiprocessing.get_context("spawn")
        heads = self.history.heads()
        for agent, steps in sorted(self.history.steps.items()):
            own = {step.index for step in steps}
            assignment = Assignment(
                agent=agent,
                url=self.server.url,
                room=ROOM,
                seed=hashlib.sha256(f"roomlog trace agent {agent}".encode()).digest(),
                store=None if self.keep is None else str(self.keep / f"agent-{agent}.sqlite3"),
                is_concurrent=self.history.is_concurrent,
                steps=steps,
                shared=own & set(self.readers),
                heads=own & heads,
                report_every_s=min(0.05, 0.002 * len(self.history.steps)),
                codec=self.codec,
                nodes_between_cuts=self.nodes_between_cuts,
                cut_seed=f"{self.seed} {agent}",
            )
            ours, theirs = context.Pipe()
            process = context.Process(target=run_agent, args=(assignment, theirs), daemon=True)
            process.start()
            theirs.close()
            self.pipes[agent] = ours
            self.processes[agent] = process

    def run(self) -> Iterator[None]:
        """Until every agent has given its result; yields whenever something has happened."""
        agents = {pipe: agent for agent, pipe in self.pipes.items()}
        last_message = time.monotonic()
        while len(self.results) < len(self.pipes):
            ready = wait(
                [pipe for pipe, agent in agents.items() if agent not in self.results], timeout=1.0
            )
            for pipe in ready:
                assert isinstance(pipe, Connection)
                agent = agents[pipe]
                try:
                    kind, value = pipe.recv()
                except (EOFError, OSError):
                    raise Failure(f"agent {agent} ended before its time") from None
                self._take(agent, kind, value)
                last_message = time.monotonic()
            if time.monotonic() - last_message > STALL_TIMEOUT_S:
                raise Failure(f"nothing happened for {STALL_TIMEOUT_S:.0f} s")
            yield

    def _take(self, agent: int, kind: str, value: Any) -> None:
        if kind == "written":
            count, versions = value
            self.written[agent] = count
            self._pass_on(versions)
        elif kind == "acknowledged":
            self.acknowledged.update(value[at : at + 32] for at in range(0, len(value), 32))
            if self.kill_every and len(self.acknowledged) >= self.next_kill:
                self.next_kill = len(self.acknowledged) + self.kill_every
                self.server.kill()
                self.server.start()
        elif kind == "done":
            self.done.add(agent)
            self.final.update(node_id for version in value for node_id in version)
            if len(self.done) == len(self.pipes):
                for pipe in self.pipes.values():
                    pipe.send(("final", sorted(self.final)))
        elif kind == "result":
            self.results[agent] = value
        elif kind == "failed":
            raise Failure(value)

    def _pass_on(self, versions: list[tuple[int, tuple[bytes, ...]]]) -> None:
        by_agent: dict[int, dict[int, tuple[bytes, ...]]] = {}
        for index, version in versions:
            for reader in self.readers.get(index, ()):
                by_agent.setdefault(reader, {})[index] = version
        for reader, known in by_agent.items():
            self.pipes[reader].send(("versions", known))

    def stop_agents(self) -> None:
        for pipe in self.pipes.values():
            pipe.close()
        for process in self.processes.values():
            process.join(timeout=10)
            if process.is_alive():
                process.kill()
                process.join()


def read_store(path: Path) -> tuple[Replica, set[bytes]]:
    """The room as the server stored it, replayed from its log with every signature checked."""
    store = SqliteStore.open_read_only(path)
    try:
        room = store.open_room(ROOM)
        if room is None:
            raise Failure("the server's store has no such room")
        replica = Replica(ROOM, None, room.lineage)
        hasher = NodeHasher(room.lineage)
        ids: set[bytes] = set()
        after = 0
        while after < room.head_seq:
            nodes = []
            for row in store.read_log(ROOM, after, STORE_PAGE_NODES):
                nodes += decode_pack(row.pack, hasher)
                after = row.to_seq
            ids.update(node.id for node in nodes)
            result = replica.add_nodes(nodes)
            if result.rejected or result.waiting:
                raise Failure(f"the server's store does not replay: {result}")
        return replica, ids
    finally:
        store.close()


def report(
    replay: Replay, server: Server, history: History, seconds: float
) -> tuple[dict[str, Any], bool]:
    """Compare what everyone holds; the figures, and whether all is well."""
    replica, ids = read_store(server.store)
    server_hash = str(replica.state_hash())
    server_text = str(replica.text(TEXT_KEY))
    lost = [node_id for node_id in replay.acknowledged if node_id not in ids]
    clients = {
        agent: {
            "hash": result["hash"],
            "text_equal": result["text"] == history.end_content,
            "nodes": result["nodes"],
        }
        for agent, result in sorted(replay.results.items())
    }
    verified: bool | None = None
    cuts = sum(result["cuts"] for result in replay.results.values())
    if server.kills or cuts:
        verify = subprocess.run(
            [*roomlog_command(), "verify", "--store", str(server.store)],
            capture_output=True, text=True, check=False, timeout=1800,
        )  # fmt: skip
        verified = verify.returncode == 0
        if not verified:
            print(verify.stdout, verify.stderr, file=sys.stderr)
    summary = {
        "edits": history.edit_count,
        "agents": len(clients),
        "nodes": len(replica),
        "seconds": round(seconds, 2),
        "server_kills": server.kills,
        "disconnects": cuts,
        "acknowledged": len(replay.acknowledged),
        "acknowledged_lost": len(lost),
        "verified": verified,
        "server": {"hash": server_hash, "text_equal": server_text == history.end_content},
        "clients": clients,
        "hashes_equal": all(each["hash"] == server_hash for each in clients.values()),
        "points": [
            {"frontier": node_id.hex(), "text_length": length}
            for result in replay.results.values()
            for node_id, length in result["points"]
        ],
    }
    is_well = (
        bool(summary["hashes_equal"])
        and server_text == history.end_content
        and all(each["text_equal"] for each in clients.values())
        and not lost
        and verified is not False
    )
    return summary, is_well


def show(console: Console, summary: dict[str, Any], is_well: bool) -> None:
    console.print(
        f"{summary['edits']} edits, {summary['nodes']} nodes, {summary['agents']} agents,"
        f" {summary['seconds']} s, server killed {summary['server_kills']} times,"
        f" clients cut off {summary['disconnects']} times",
        soft_wrap=True,
    )
    places = [("server", summary["server"])]
    places += [(f"agent {agent}", each) for agent, each in summary["clients"].items()]
    for name, place in places:
        same = "text equal" if place["text_equal"] else "TEXT DIFFERS"
        console.print(f"{name:>10}  {place['hash']}  {same}", highlight=False, soft_wrap=True)
    for point in summary["points"]:
        console.print(
            f"  point  {point['frontier']}  {point['text_length']} characters, as it was then",
            highlight=False, soft_wrap=True,
        )  # fmt: skip
    console.print(
        f"acknowledged {summary['acknowledged']}, of these lost {summary['acknowledged_lost']}"
        + ("" if summary["verified"] is None else f", verify passed: {summary['verified']}")
    )
    console.print("[green]all equal[/]" if is_well else "[red]DIFFERENT[/]")


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--trace", type=Path, required=True, help="a .json or .json.gz trace")
    parser.add_argument(
        "--kill-server-every", type=int, default=0, metavar="N",
        help="kill and restart the server after every N acknowledged nodes",
    )  # fmt: skip
    parser.add_argument(
        "--disconnect-every", type=int, default=0, metavar="N",
        help="break each client's connection at random, once in N edits on average",
    )  # fmt: skip
    parser.add_argument(
        "--seed", type=int, default=1, metavar="N", help="which random disconnects (default 1)"
    )
    parser.add_argument("--codec", choices=sorted(CODECS), default="msgpack")
    parser.add_argument(
        "--edits-per-node", type=int, default=10, metavar="N",
        help="transactions of a sequential trace that share a node (default 10)",
    )  # fmt: skip
    parser.add_argument(
        "--agents", type=int, metavar="N",
        help="at least so many agents; those beyond the trace's own only read",
    )  # fmt: skip
    parser.add_argument(
        "--keep", type=Path, metavar="DIR", help="keep the server's store and the clients' there"
    )
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    arguments = parser.parse_args()
    if (
        arguments.edits_per_node < 1
        or arguments.kill_server_every < 0
        or arguments.disconnect_every < 0
    ):
        parser.error("--edits-per-node, --kill-server-every, --disconnect-every: positive numbers")
    console = Console(stderr=arguments.json)
    try:
        history = load_history(arguments.trace, arguments.edits_per_node, arguments.agents)
        summary, is_well = replay_trace(history, arguments, console)
    except (Failure, OSError, ValueError) as error:
        Console(stderr=True).print(f"[red]{error}[/]", highlight=False)
        return 1
    if arguments.json:
        print(json.dumps(summary, indent=2))
    else:
        show(console, summary, is_well)
    return 0 if is_well else 1


def replay_trace(
    history: History, arguments: argparse.Namespace, console: Console
) -> tuple[dict[str, Any], bool]:
    with contextlib.ExitStack() as stack:
        if arguments.keep is None:
            directory = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="roomlog-")))
        else:
            directory = arguments.keep
            directory.mkdir(parents=True, exist_ok=True)
        server = Server(directory / "server", directory / "server.log")
        replay = Replay(history, server, arguments)
        stack.callback(server.stop)
        server.start()
        started = time.monotonic()
        stack.callback(replay.stop_agents)
        replay.start_agents()
        progress = stack.enter_context(
            Progress(
                TextColumn("{task.description:>13}"), BarColumn(), MofNCompleteColumn(),
                TimeElapsedColumn(), console=console, transient=True,
            )
        )  # fmt: skip
        written = progress.add_task("written", total=history.step_count)
        acknowledged = progress.add_task("acknowledged", total=history.step_count)
        for _ in replay.run():
            progress.update(written, completed=sum(replay.written.values()))
            progress.update(acknowledged, completed=len(replay.acknowledged))
        seconds = time.monotonic() - started
        progress.stop()
        replay.stop_agents()
        server.stop()
        return report(replay, server, history, seconds)


if __name__ == "__main__":
    sys.exit(main())
