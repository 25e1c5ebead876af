"""The reference pages say what the code declares, and nothing else."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from scripts.generate_reference import REFERENCE, differing, generated, main

from roomlog.core.reject import RejectClass
from roomlog.protocol.messages import CLIENT_MESSAGES, SERVER_MESSAGES
from roomlog.server.config import CONFIG_KEYS


def test_t45_the_reference_is_what_the_declarations_generate() -> None:
    assert differing(REFERENCE) == [], "run: make docs"


def test_t45_a_page_that_was_edited_removed_or_added_is_found(tmp_path: Path) -> None:
    for name, text in generated().items():
        (tmp_path / name).write_text(text)
    assert differing(tmp_path) == []
    (tmp_path / "messages.md").write_text("edited")
    (tmp_path / "metrics.md").unlink()
    (tmp_path / "invented.md").write_text("")
    assert differing(tmp_path) == ["invented.md", "messages.md", "metrics.md"]


def test_t45_every_declared_name_is_on_its_page() -> None:
    pages = generated()
    for message in (*CLIENT_MESSAGES, *SERVER_MESSAGES):
        assert f"### {message.__struct_config__.tag}\n" in pages["messages.md"]
    for each in RejectClass:
        assert f"| `{each.wire}` | {each.kind.value} |" in pages["reject-classes.md"]
    for key in CONFIG_KEYS:
        for name in (key.name, key.flag, key.variable):
            assert f"`{name}`" in pages["configuration.md"]
    for name in ("serve", "tail", "replay", "verify", "room list", "migrate finalize", "loadtest"):
        assert f"## roomlog {name}\n" in pages["cli.md"]


@pytest.mark.parametrize("name", sorted(generated()))
def test_pages_have_no_empty_meaning_and_no_object_addresses(name: str) -> None:
    text = generated()[name]
    assert "0x" not in text
    assert not re.search(r"\| *None *\|", text)
    rows = [line for line in text.splitlines() if line.startswith("| ")]
    if name not in ("messages.md", "reject-classes.md", "store.md"):
        assert not [row for row in rows if row.endswith("|  |")]


def test_the_check_tells_what_to_do(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr("scripts.generate_reference.REFERENCE", tmp_path)
    assert main(["--check"]) == 1
    assert "make docs" in capsys.readouterr().err
    assert main([]) == 0
    assert main(["--check"]) == 0
    assert main(["--wrong"]) == 2
