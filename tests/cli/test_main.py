"""How commands end: exit codes, one line of error, no tracebacks for what users do."""

from __future__ import annotations

import os
import shlex
import signal
import subprocess
from pathlib import Path

import pytest

from roomlog.cli import main as main_module
from tests.cli.running import SECONDS, command, ran, running
from tests.cli.stores import make_store


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        (["serv"], "serv"),
        (["verify"], "--store"),
        (["verify", "--stor", "x"], "--stor"),
        (["tail"], "ROOM"),
        (["room"], "command"),
        (["serve", "--tick-ms", "soon"], "--tick-ms"),
        (["serve", "--bind", "nowhere"], "--bind"),
        (["serve", "--bind", "0.0.0.0:1"], "public_origins"),
        (["loadtest", "--seconds", "0"], "--seconds"),
        (["replay", "ws://127.0.0.1:1"], "--room"),
    ],
)
def test_what_is_asked_wrongly_is_one_line_that_names_it_and_exit_2(
    capfd: pytest.CaptureFixture[str], arguments: list[str], named: str
) -> None:
    result = ran(capfd, *arguments)
    assert result.code == 2
    assert result.out == ""
    assert result.err.startswith("roomlog: ")
    assert result.err.count("\n") == 1
    assert named in result.err


@pytest.mark.parametrize(
    "arguments",
    [
        ["verify", "--store", "absent"],
        ["room", "list", "--store", "absent"],
        ["migrate", "status", "--store", "absent"],
        ["replay", "absent"],
        ["key", "show", "absent"],
        ["tail", "demo", "--url", "ftp://example.org"],
        ["loadtest", "--url", "ws://127.0.0.1:1", "--seconds", "0.1"],
    ],
)
def test_what_cannot_be_done_is_one_line_and_exit_1(
    capfd: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    arguments: list[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    result = ran(capfd, *arguments)
    assert result.code == 1
    assert result.err.startswith("roomlog: ")
    assert result.err.count("\n") == 1
    assert "Traceback" not in result.err


def test_without_a_command_the_help_is_shown(capfd: pytest.CaptureFixture[str]) -> None:
    result = ran(capfd)
    assert result.code == 0
    for name in ("serve", "tail", "replay", "verify", "room", "key", "migrate", "loadtest"):
        assert f"\n  {name} " in result.out


@pytest.mark.parametrize(
    "name", ["serve", "tail", "replay", "verify", "loadtest", "version", "room list", "key new"]
)
def test_every_command_has_help(capfd: pytest.CaptureFixture[str], name: str) -> None:
    result = ran(capfd, *name.split(), "--help")
    assert result.code == 0
    assert result.out.startswith(f"Usage: roomlog {name}")


def test_a_defect_of_ours_is_not_hidden(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken() -> None:
        raise ZeroDivisionError

    monkeypatch.setattr(main_module, "make_app", broken)
    with pytest.raises(ZeroDivisionError):
        main_module.run(["version"])


def test_ctrl_c_ends_quietly_with_130() -> None:
    with running("tail", "demo", "--url", "ws://127.0.0.1:1") as process:
        process.line_with("cannot be reached")
        assert process.end(signal.SIGINT) == 130
        process.process.wait(SECONDS)


def test_a_reader_of_the_output_that_leaves_early_gets_no_traceback(tmp_path: Path) -> None:
    make_store(tmp_path / "store", "demo")
    read_end, write_end = os.pipe()
    os.close(read_end)
    ended = subprocess.run(
        command("replay", tmp_path / "store", "--json"),
        stdout=write_end,
        stderr=subprocess.PIPE,
        timeout=SECONDS,
        check=False,
    )
    os.close(write_end)
    assert ended.returncode == 1
    assert ended.stderr == b""


@pytest.mark.parametrize("closed", ["<&- >&-", "2>&-", "<&- >&- 2>&-"])
def test_closed_standard_streams_are_nobody_and_never_a_store(tmp_path: Path, closed: str) -> None:
    make_store(tmp_path / "store")
    before = (tmp_path / "store" / "roomlog.sqlite3").read_bytes()
    line = shlex.join(command("verify", "--store", tmp_path / "store"))
    ended = subprocess.run(
        ["sh", "-c", f"{line} {closed}"],
        capture_output=True,
        text=True,
        timeout=SECONDS,
        check=False,
    )
    assert (ended.returncode, ended.stderr) == (0, "")
    assert (tmp_path / "store" / "roomlog.sqlite3").read_bytes() == before
