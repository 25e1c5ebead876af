"""The examples as a reader runs them: as programs, against a real server."""

from __future__ import annotations

import json
import os
import pty
import re
import select
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.client.generated_trace import generated_trace
from tests.client.server_process import ServerProcess

EXAMPLES = Path(__file__).parent.parent.parent / "examples"
LIMIT_S = 120
RENDITION = re.compile(rb"\x1b\[[0-9]*[mK]")


@pytest.fixture(scope="module")
def server() -> Iterator[ServerProcess]:
    process = ServerProcess("")
    process.start()
    yield process
    process.stop()


def run(
    name: str, *arguments: str, home: Path, stdin: str = "", code: int = 0
) -> subprocess.CompletedProcess[str]:
    done = subprocess.run(
        [sys.executable, str(EXAMPLES / name), *arguments],
        env={**os.environ, "HOME": str(home)},
        input=stdin,
        capture_output=True,
        text=True,
        timeout=LIMIT_S,
        check=False,
    )
    assert done.returncode == code, done.stdout + done.stderr
    return done


def replayed(trace: dict[str, object], directory: Path, *arguments: str) -> dict[str, object]:
    path = directory / "trace.json"
    path.write_text(json.dumps(trace))
    done = run("replay_trace.py", "--trace", str(path), "--json", *arguments, home=directory)
    summary = json.loads(done.stdout)
    assert summary["hashes_equal"]
    assert summary["server"]["text_equal"]
    assert summary["acknowledged_lost"] == 0
    assert isinstance(summary, dict)
    return summary


def test_a_trace_of_forking_agents_is_replayed_through_kills(tmp_path: Path) -> None:
    trace = generated_trace(3, 60, seed=1)
    summary = replayed(trace, tmp_path, "--kill-server-every", "20")
    assert summary["agents"] == 3
    assert summary["server_kills"] != 0
    assert summary["verified"] is True


@pytest.mark.parametrize("codec", ["msgpack", "json"])
def test_a_trace_comes_out_though_connections_break_and_the_server_is_killed(
    codec: str, tmp_path: Path
) -> None:
    trace = generated_trace(3, 90, seed=2)
    kept = tmp_path / "kept"
    options = ["--codec", codec, "--keep", str(kept), "--seed", "7"]
    summary = replayed(
        trace, tmp_path, "--disconnect-every", "20", "--kill-server-every", "40", *options
    )
    assert summary["disconnects"] != 0
    assert summary["server_kills"] != 0
    assert summary["verified"] is True


def test_a_sequential_trace_keeps_its_start_and_reads_as_it_did(tmp_path: Path) -> None:
    text = "start "
    transactions = []
    for index in range(45):
        patches = [[len(text), 0, f"{index} "], [0, 1, "S"]]
        text = "S" + text[1:] + f"{index} "
        transactions.append({"patches": patches if index % 7 else []})
        if index % 7 == 0:
            text = text.removesuffix(f"{index} ")
            text = ("s" if index == 0 else "S") + text[1:]
    trace = {"startContent": "start ", "endContent": text, "txns": transactions}
    summary = replayed(
        trace, tmp_path, "--edits-per-node", "5", "--agents", "2", "--keep", str(tmp_path / "kept")
    )
    assert summary["nodes"] == 10
    points = summary["points"]
    assert isinstance(points, list)
    assert len(points) == 3
    assert (tmp_path / "kept" / "agent-1.sqlite3").exists()


def test_a_trace_that_does_not_come_out_is_told_apart(tmp_path: Path) -> None:
    trace = {"endContent": "x", "txns": [{"patches": [[0, 0, "y"]]}]}
    path = tmp_path / "trace.json"
    path.write_text(json.dumps(trace))
    done = run("replay_trace.py", "--trace", str(path), "--json", home=tmp_path, code=1)
    assert not json.loads(done.stdout)["server"]["text_equal"]
    path.write_text("[]")
    run("replay_trace.py", "--trace", str(path), home=tmp_path, code=1)


def test_a_todo_list_is_kept_by_two_people(server: ServerProcess, tmp_path: Path) -> None:
    def todo(name: str, *arguments: str, url: str = server.url) -> str:
        return run("todo_list.py", "--url", url, "--name", name, *arguments, home=tmp_path).stdout

    todo("ada", "add", "buy milk")
    todo("bob", "add", "call ada")
    todo("bob", "done", "1")
    todo("ada", "move", "2", "1")
    assert todo("ada", "show") == "  1. [ ] call ada\n  2. [x] buy milk\n"
    offline = todo("ada", "add", "offline", url="ws://127.0.0.1:1")
    assert offline.startswith("(offline)\n")
    assert "3. [ ] offline" in offline
    todo("ada", "remove", "1")
    assert todo("bob", "show") == "  1. [x] buy milk\n  2. [ ] offline\n"
    run("todo_list.py", "--url", server.url, "done", "9", home=tmp_path, code=1)
    run("todo_list.py", "--url", server.url, "remove", "0", home=tmp_path, code=2)


class Terminal:
    """A program in a terminal of its own."""

    def __init__(self, *command: str, home: Path) -> None:
        self.pid, self.descriptor = pty.fork()
        if self.pid == 0:
            os.environ["HOME"] = str(home)
            os.execv(sys.executable, [sys.executable, *command])
        self.seen = b""

    def type(self, keys: str) -> None:
        os.write(self.descriptor, keys.encode())

    def until(self, shown: str) -> None:
        """Wait for this text, wherever the carets of others are in it."""
        self.read_until(lambda seen: shown.encode() in RENDITION.sub(b"", seen))

    def until_marked(self, character: str) -> None:
        """Wait for somebody else's caret before this character."""
        self.read_until(lambda seen: f"\x1b[7m{character}\x1b[0m".encode() in seen)

    def read_until(self, is_shown: Callable[[bytes], bool]) -> None:
        deadline = time.monotonic() + LIMIT_S
        while not is_shown(self.seen):
            ready, _, _ = select.select([self.descriptor], [], [], 1)
            assert time.monotonic() < deadline, self.seen[-2000:]
            if ready:
                self.seen += os.read(self.descriptor, 65536)

    def leave(self) -> None:
        self.type("\x04")
        try:
            while os.read(self.descriptor, 65536):
                pass
        except OSError:
            pass
        assert os.waitstatus_to_exitcode(os.waitpid(self.pid, 0)[1]) == 0
        os.close(self.descriptor)


def test_two_terminals_type_into_one_note(server: ServerProcess, tmp_path: Path) -> None:
    script = str(EXAMPLES / "shared_notes.py")
    ada = Terminal(script, "--url", server.url, "--name", "ada", home=tmp_path)
    bob = Terminal(script, "--url", server.url, "--name", "bob", home=tmp_path)
    ada.until("as ada - live")
    bob.until("as bob - live")
    ada.type("hello wrld\x1b[D\x1b[D\x1b[Do")
    ada.until("hello world")
    bob.until("hello world")
    bob.type("\x1b[Fé\r\x1b[3~second\x1b[A\x1b[H\x7f>")
    bob.until(">hello worldé")
    ada.until(">hello worldé")
    ada.until("second")
    ada.until("with bob")
    bob.until("with ada")
    ada.until_marked("h")
    ada.type("\x1b[1~\x1b[A\x1b[H!")
    bob.until("!>hello worldé")
    bob.until_marked(">")
    ada.seen = bob.seen = b""
    ada.type("\x1a\x1a")  # one step or two, as fast as she typed
    bob.until("\r\n>é")
    ada.seen = bob.seen = b""
    ada.type("\x19\x19")
    bob.until("!>hello worldé")
    ada.leave()
    bob.leave()
    piped = run(
        "shared_notes.py", "--url", server.url, "--name", "eve", home=tmp_path, stdin="third\n"
    )
    assert piped.stdout == "!>hello worldé\nsecondthird\n"
