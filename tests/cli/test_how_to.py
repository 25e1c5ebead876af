"""The operators' pages name only commands and options that exist."""

from __future__ import annotations

import re
import shlex
from pathlib import Path
from typing import Any

import pytest
import typer

from roomlog.cli.main import make_app
from roomlog.server.metrics import METRICS, PREFIX

ROOT = Path(__file__).parent.parent.parent
PAGES = [*sorted((ROOT / "docs" / "how-to").glob("*.md")), ROOT / "README.md"]
COMMAND_LINE = re.compile(r"^(?: {4,}|\.venv/bin/)(roomlog .*)$", re.MULTILINE)


def test_t45_the_pages_have_commands_to_check() -> None:
    assert sum(len(COMMAND_LINE.findall(page.read_text())) for page in PAGES) > 10


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_t45_every_command_on_a_page_exists_with_its_options(page: Path) -> None:
    for text in COMMAND_LINE.findall(page.read_text()):
        words = shlex.split(text)[1:]
        command: Any = typer.main.get_command(make_app())
        while hasattr(command, "commands") and words[0] != "--help":
            command = command.commands[words.pop(0)]
        options = {"--help", *(name for parameter in command.params for name in parameter.opts)}
        for word in words:
            assert not word.startswith("--") or word in options, text


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_t45_every_metric_on_a_page_is_declared(page: Path) -> None:
    declared = {PREFIX + row.name for row in METRICS}
    named = set(re.findall(r"`(roomlog_[a-z_]+)", page.read_text()))
    assert named <= declared
