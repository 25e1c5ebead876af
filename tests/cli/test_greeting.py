"""What a server prints at its start can be pasted into a shell beside it."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from roomlog.cli.serve import from_here, greeting


def test_the_greeting_names_programs_that_a_shell_without_the_environment_finds(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(sys, "argv", [".venv/bin/roomlog", "serve"])
    monkeypatch.setattr(shutil, "which", lambda name: None)
    told = greeting("ws://127.0.0.1:1", "")
    assert "watch a room:  .venv/bin/roomlog tail demo --url ws://127.0.0.1:1\n" in told
    python = next(line for line in told.splitlines() if line.endswith('-c "')).split(" -c ")[0]
    done = subprocess.run(
        f'{python} -c "import roomlog"', shell=True, check=False, timeout=60, env={}
    )
    assert done.returncode == 0


def test_a_module_is_called_as_a_module(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "argv", ["src/roomlog/cli/__main__.py", "serve"])
    assert f"{from_here(sys.executable)} -m roomlog tail demo" in greeting("ws://a:1", "")


def test_an_installed_program_is_called_by_its_name(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "argv", ["/usr/bin/roomlog", "serve"])
    monkeypatch.setattr(shutil, "which", lambda name: f"/usr/bin/{name}")
    assert "  roomlog tail demo" in greeting("ws://127.0.0.1:1", "")


def test_a_path_is_shown_from_the_directory_one_is_in(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    here = Path.cwd()
    assert from_here(str(here / "bin" / "python")) == "bin/python"
    assert from_here(str(here / "a b" / "python")) == "'a b/python'"
    assert from_here("/usr/bin/python") == "/usr/bin/python"
    assert from_here(".venv/bin/roomlog") == ".venv/bin/roomlog"
