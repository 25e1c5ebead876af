"""The documents hold together: links lead somewhere, and every page can be found."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md"), *(ROOT / "bench").glob("*.md")])
LINK = re.compile(r"\]\(([^)#\s]+)(?:#[^)]*)?\)")


def links_of(page: Path) -> set[Path]:
    text = re.sub(r"```.*?```", "", page.read_text(encoding="utf-8"), flags=re.S)
    targets = [target for target in LINK.findall(text) if "://" not in target]
    return {(page.parent / target).resolve() for target in targets}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_of_a_page_lead_somewhere(page: Path) -> None:
    missing = sorted(str(target) for target in links_of(page) if not target.exists())
    assert not missing


def test_every_page_for_users_is_on_the_map() -> None:
    on_the_map = links_of(ROOT / "docs" / "README.md")
    for folder in ("tutorial", "how-to", "reference"):
        for page in (ROOT / "docs" / folder).glob("*.md"):
            assert page in on_the_map, page.name


def test_every_design_page_is_in_the_order_of_reading() -> None:
    design = ROOT / "docs" / "design"
    order = (design / "README.md").read_text(encoding="utf-8")
    for page in design.glob("*.md"):
        assert page.name == "README.md" or f"`{page.name}`" in order, page.name
