"""What the pages for applications show does what they say."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.client.server_process import ServerProcess
from tests.client.test_tutorial import ROOT, run


@pytest.fixture(scope="module")
def server() -> Iterator[ServerProcess]:
    process = ServerProcess("")
    process.start()
    yield process
    process.stop()


def script_of(page: str) -> str:
    text = (ROOT / "docs" / "how-to" / f"{page}.md").read_text()
    (script,) = re.findall(r"```python\n(.*?)```", text, re.S)
    assert isinstance(script, str)
    return script


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
