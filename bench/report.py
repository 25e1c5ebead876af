"""Writes RESULTS.md from the measured figures under results/."""

from __future__ import annotations

import json
import statistics
from pathlib import Path
from typing import Any

from bench.measure import RESULTS

HERE = Path(__file__).parent
PAGE = HERE / "RESULTS.md"
ORDER = (
    "local_edits",
    "apply_packs",
    "concurrent_text",
    "fanout",
    "open_room",
    "idle",
    "reconnect",
    "snapshot_join",
    "loop_lag",
    "differences",
    "scenarios",
)


def number(value: float) -> str:
    """Three significant digits, with separators above a thousand."""
    if value == 0:
        return "0"
    if abs(value) >= 1000:
        return f"{value:,.0f}"
    return f"{value:.3g}"


def target(claim: dict[str, Any]) -> str:
    if claim["at_least"] is not None:
        return f"at least {claim['at_least']:g}"
    if claim["at_most"] is not None:
        return f"at most {claim['at_most']:g}"
    return "-"


def verdict(claim: dict[str, Any]) -> str:
    if claim["at_least"] is None and claim["at_most"] is None:
        return "-"
    return "yes" if claim["met"] else "**no**"


def claims_table(results: list[dict[str, Any]]) -> list[str]:
    lines = ["| what | median | least to greatest | target | met |", "|---|---|---|---|---|"]
    for result in results:
        for claim in result["claims"]:
            spread = f"{number(claim['least'])} to {number(claim['greatest'])}"
            row = (claim["text"], number(claim["median"]), spread, target(claim), verdict(claim))
            lines.append("| " + " | ".join(row) + " |")
    return lines


def figures_table(samples: dict[str, list[dict[str, float]]]) -> list[str]:
    names = list(dict.fromkeys(name for rows in samples.values() for row in rows for name in row))
    header = [name.replace("_", " ") for name in names]
    lines = ["| side | " + " | ".join(header) + " |", "|---" * (len(names) + 1) + "|"]
    for side, rows in samples.items():
        cells = [side]
        for name in names:
            values = [row[name] for row in rows if name in row]
            if not values:
                cells.append("")
                continue
            cell = number(statistics.median(values))
            if min(values) != max(values):
                cell += f" ({number(min(values))} to {number(max(values))})"
            cells.append(cell)
        lines.append("| " + " | ".join(cells) + " |")
    return lines


def plain_table(table: dict[str, Any]) -> list[str]:
    """A table as it is."""
    header = table["header"]
    lines = ["| " + " | ".join(header) + " |", "|---" * len(header) + "|"]
    return lines + ["| " + " | ".join(row) + " |" for row in table["rows"]]


def page(results: list[dict[str, Any]]) -> str:
    """The whole page. Every figure in it comes from `results`."""
    lines = [
        "# Measured",
        "",
        "Written by `make bench`; what to know about the figures is in [NOTES.md](NOTES.md).",
        "",
        "Ratios are taken between two sides of the same round; a median stands with the least and",
        "the greatest of its rounds. Sides run in turn, each in a process of its own.",
        "",
        "## Claims",
        "",
        *claims_table(results),
    ]
    for result in results:
        lines += [
            "",
            f"## {result['title']}",
            "",
            f"`python -m bench.{result['bench']}`, {result['rounds']} rounds on "
            f"{', '.join(result['machine'].values())}: median (least to greatest)",
            "",
            *(figures_table(result["samples"]) if result["samples"] else ()),
        ]
        for table in result.get("tables", ()):
            lines += [f"### {table['title']}", "", table["text"], "", *plain_table(table), ""]
        if result["facts"]:
            lines += ["", *(f"- {name}: {value}" for name, value in result["facts"].items())]
    return "\n".join(lines) + "\n"


def write() -> None:
    """Rewrites RESULTS.md from what lies under results/."""
    results = []
    for bench in ORDER:
        path = RESULTS / f"{bench}.json"
        if path.exists():
            results.append(json.loads(path.read_text(encoding="utf-8")))
    PAGE.write_text(page(results), encoding="utf-8")


if __name__ == "__main__":
    write()
