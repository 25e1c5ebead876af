"""Commands that talk to a server, against a real one."""

from __future__ import annotations

import asyncio
import json
import signal
from pathlib import Path

import pytest

import roomlog
from roomlog.identity import Identity
from tests.cli.running import ran, running, serving


async def write(url: str, room: str, number: int) -> None:
    async with roomlog.connect(url, room=room, identity=Identity.from_seed(bytes(32))) as doc:
        doc.map("users")["ada"] = number
        await doc.synced(30)


def test_serve_says_where_it_listens_and_what_to_do_next_and_drains_on_sigterm(
    tmp_path: Path,
) -> None:
    with serving(tmp_path / "store") as (server, url):
        assert url.startswith("ws://127.0.0.1:")
        assert url in server.line_with("watch a room:")
        assert url in server.line_with("roomlog.connect(")
        asyncio.run(write(url, "demo", 1))
        assert server.end(signal.SIGTERM) == 0


def test_t20_what_was_acknowledged_is_there_after_kill_9_and_restart(
    capfd: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    for number in (1, 2):
        with serving(tmp_path / "store") as (server, url):
            asyncio.run(write(url, "demo", number))
            server.end(signal.SIGKILL)
        result = ran(capfd, "replay", tmp_path / "store", "--json").json
        assert result["state"]["maps"] == {"users/ada": number}
        assert ran(capfd, "verify", "--store", tmp_path / "store").code == 0


def test_a_second_server_on_the_same_store_is_refused_naming_the_first(
    capfd: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    with serving(tmp_path / "store") as (server, _):
        result = ran(capfd, "serve", "--store", tmp_path / "store", "--bind", "127.0.0.1:0")
    assert result.code == 1
    assert str(server.process.pid) in result.err


def test_tail_prints_what_is_there_and_what_changes(tmp_path: Path) -> None:
    with serving(tmp_path / "store") as (_, url):
        asyncio.run(write(url, "demo", 1))
        with running("tail", "demo", "--url", url, "--json", "--count", "1") as tail:
            first = json.loads(tail.line_with('"event":"state"'))
            assert (first["kind"], first["key"], first["value"]) == ("map", "users/ada", 1)
            asyncio.run(write(url, "demo", 2))
            change = json.loads(tail.line_with('"event":"change"'))
            assert change["value"] == 2
            assert change["authors"] == [Identity.from_seed(bytes(32)).public_key.hex()]
            assert tail.process.wait(30) == 0


def test_tail_waits_for_a_room_that_does_not_exist_yet_and_prints_for_people(
    tmp_path: Path,
) -> None:
    with serving(tmp_path / "store") as (_, url), running("tail", "demo", "--url", url) as tail:
        tail.line_with("waiting for its first writer")
        asyncio.run(write(url, "demo", 5))
        assert tail.line_with("map users/ada").startswith("map users/ada = 5")
        assert tail.end(signal.SIGINT) == 130


def test_tail_goes_on_when_the_server_comes_back(tmp_path: Path) -> None:
    with serving(tmp_path / "store") as (server, url):
        asyncio.run(write(url, "demo", 1))
        with running("tail", "demo", "--url", url) as tail:
            tail.line_with("map users/ada = 1")
            server.end(signal.SIGKILL)
            tail.line_with("cannot be reached")
            bind = url.removeprefix("ws://")
            with running("serve", "--store", tmp_path / "store", "--bind", bind) as again:
                again.line_with("roomlog listens on")
                asyncio.run(write(url, "demo", 2))
                tail.line_with("map users/ada = 2")


def test_loadtest_measures_and_passes_or_fails_by_its_limits(
    capfd: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    with serving(tmp_path / "store") as (_, url):
        short = ("loadtest", "--url", url, "--seconds", "0.3", "--readers", "3", "--writers", "2")
        result = ran(capfd, *short, "--json", "--min-acks", "1", "--min-deliveries", "1")
        assert result.code == 0, result.out
        figures = result.json
        assert figures["passed"] is True
        assert figures["acks"]["count"] > 0
        assert figures["deliveries"]["count"] == 3 * figures["acks"]["count"]
        assert figures["missing_deliveries"] == 0
        failing = ran(capfd, *short, "--room", "other", "--max-p99-ms", "0.000001")
        assert failing.code == 1
        assert "FAIL  p99 at most" in failing.out
        unpaced = ran(capfd, *short, "--room", "third", "--rate", "0", "--json")
        assert unpaced.code == 0, unpaced.out
    assert ran(capfd, "verify", "--store", tmp_path / "store").code == 0
