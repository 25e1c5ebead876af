"""The tutorial and the README's script do what they say."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.client.server_process import ServerProcess

ROOT = Path(__file__).parent.parent.parent
DEFAULT_URL = "ws://127.0.0.1:7878"


@pytest.fixture(scope="module")
def server() -> Iterator[ServerProcess]:
    process = ServerProcess("")
    process.start()
    yield process
    process.stop()


def run(script: str, directory: Path, server: ServerProcess) -> str:
    assert DEFAULT_URL in script
    done = subprocess.run(
        [sys.executable, "-c", script.replace(DEFAULT_URL, server.url)],
        cwd=directory,
        env={**os.environ, "PYTHONDONTWRITEBYTECODE": "1"},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def blocks() -> list[str]:
    text = (ROOT / "docs" / "tutorial" / "first-room.md").read_text()
    return re.findall(r"```python\n(.*?)```", text, re.S)


def test_the_tutorial_grows_one_list_and_survives_without_a_server(tmp_path: Path) -> None:
    first, synced, watch, stand_around, write, change_of_mind = blocks()
    server = ServerProcess(tmp_path / "store")
    server.start()
    try:
        assert run(first, tmp_path, server) == "['tea', 'milk']\n"
        grown = first.replace("        print(list", f"{synced}        print(list")
        shown = run(grown, tmp_path, server).splitlines()
        assert re.fullmatch(r"[0-9a-f]{64}", shown[0])
        assert len(shown[1].split(",")) == 4
        ended = watch.replace('shopping")))\n', 'shopping")))\n            break\n')
        assert ended != watch
        assert "shopping" in run(ended, tmp_path, server)
        assert run(stand_around, tmp_path, server) == "[] []\n" * 5
        assert run(change_of_mind, tmp_path, server) == "Boil water.  1\n'' 0\n"
    finally:
        server.stop()
    assert run(write, tmp_path, server) == "['bread'] 1 unsent\n"
    assert run(write, tmp_path, server) == "['bread', 'bread'] 2 unsent\n"
    server.start()
    try:
        run(write, tmp_path, server)
        assert run(write, tmp_path, server).count("bread") == 4
        shown = run(first, tmp_path, server).splitlines()
        assert shown[0].count("bread") == 4
    finally:
        server.stop()


def test_the_readme_script_prints_state_and_hash(server: ServerProcess, tmp_path: Path) -> None:
    text = (ROOT / "README.md").read_text()
    (script,) = re.findall(r"<<'END'\n(import asyncio, roomlog\n.*?)\nEND\n", text, re.S)
    shown = run(script, tmp_path, server).splitlines()
    assert "'users/ada': {'likes': 'tea'}" in shown[0]
    assert re.fullmatch(r"[0-9a-f]{64}", shown[-1])
