"""What the pages for applications show does what they say."""

from __future__ import annotations

import asyncio
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import roomlog
from tests.client.server_process import ServerProcess
from tests.client.test_tutorial import ROOT, run


@pytest.fixture(scope="module")
def server() -> Iterator[ServerProcess]:
    process = ServerProcess("")
    process.start()
    yield process
    process.stop()


def scripts_of(page: str) -> list[str]:
    text = (ROOT / "docs" / "how-to" / f"{page}.md").read_text()
    return re.findall(r"```python\n(.*?)```", text, re.S)


def script_of(page: str) -> str:
    (script,) = scripts_of(page)
    return script


def test_every_script_on_a_page_is_run_here() -> None:
    pages = (ROOT / "docs" / "how-to").glob("*.md")
    written = {page.stem for page in pages if scripts_of(page.stem)}
    assert written == set(re.findall(r'scripts?_of\("(.*?)"\)', Path(__file__).read_text()))


def test_places_of_a_text_are_followed_and_its_writers_named(
    server: ServerProcess, tmp_path: Path
) -> None:
    shown = run(script_of("follow-places-in-a-text"), tmp_path, server).splitlines()
    assert shown[:2] == ["quick", "True"]
    runs = [line.split() for line in shown[2:]]
    assert [(run[0], run[1]) for run in runs] == [("0", "16")]


def test_an_undo_leaves_what_others_wrote(server: ServerProcess, tmp_path: Path) -> None:
    assert run(script_of("undo"), tmp_path, server).splitlines() == [
        "', dear' {}",
        "'hello, dear world' {'size': 12}",
    ]


def test_a_named_version_is_opened_and_deleted(server: ServerProcess, tmp_path: Path) -> None:
    assert run(script_of("name-versions"), tmp_path, server).splitlines() == [
        "[('draft 1', 'before the meeting')]",
        "first idea",
        "no version is named 'draft 1'",
    ]


def test_a_branch_is_written_on_the_old_version_and_merged(
    server: ServerProcess, tmp_path: Path
) -> None:
    assert run(script_of("branch-and-look-back"), tmp_path, server).splitlines() == [
        "It was a dark night. ",
        "It was a dark night. A shot rang out. ",
        "True",
    ]


def test_presence_and_a_signal_reach_whom_they_are_for(
    server: ServerProcess, tmp_path: Path
) -> None:
    assert run(script_of("see-who-is-there"), tmp_path, server).splitlines() == [
        "Bob {'cursor': 17}",
        "['Bob']",
        "Ada {'offer': 1}",
        "Bob is gone: left",
    ]


def test_a_script_without_async_writes_and_sees_who_is_there(
    server: ServerProcess, tmp_path: Path
) -> None:
    script = script_of("use-it-from-scripts")
    assert run(script, tmp_path, server).splitlines() == ["1 {'run': 'ok'}", "[] {}"]
    assert run(script, tmp_path, server).splitlines() == ["2 {'run': 'ok'}", "[] {}"]


def test_a_diary_is_written_with_and_without_a_server(tmp_path: Path) -> None:
    script = script_of("work-offline").replace("timeout_s=5", "timeout_s=2")
    server = ServerProcess("")
    assert run(script, tmp_path, server) == "1 kept for later: 1\n"
    assert run(script, tmp_path, server) == "2 kept for later: 2\n"
    server.start()
    try:
        script = script.replace("timeout_s=2", "timeout_s=30")
        assert run(script, tmp_path, server) == "3 on the server's disk\n"
    finally:
        server.stop()


def test_a_part_of_the_keys_and_of_the_history_is_held_until_more_is_asked_for(
    tmp_path: Path,
) -> None:
    keys, history = scripts_of("hold-part-of-a-room")
    server = ServerProcess(tmp_path / "store")
    server.start()
    try:
        assert run(keys, tmp_path, server).splitlines() == [
            "{'notes/1': 'buy milk'}",
            "key 'tasks/2' is not subscribed to",
            "{'notes/1': 'buy milk', 'tasks/1': 'call Bob'}",
        ]
        asyncio.run(count_days(server.url, 1_100))
        server.stop()
        taken = [sys.executable, "-m", "roomlog", "room", "snapshot", "archive"]
        subprocess.run([*taken, "--store", server.store], check=True, timeout=60)
        server.start()
        assert run(history, tmp_path, server).splitlines() == ["1100 snapshot True", "1100 True"]
    finally:
        server.stop()


async def count_days(url: str, days: int) -> None:
    async with roomlog.connect(url, room="archive", identity=roomlog.Identity.generate()) as doc:
        for _ in range(days):
            doc.counter("days").add(1)
            await doc.flush()
        await doc.synced(60)
