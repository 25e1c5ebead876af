"""docs/design/mutation.md: the score of the sample, and why each survivor survived."""

from __future__ import annotations

import tomllib
from collections import Counter
from collections.abc import Mapping
from typing import Final

from tests.mutation.sample import RESULTS, Sampled, is_killed, kept
from tests.mutation.trees import ROOT

PAGE: Final = ROOT / "docs" / "design" / "mutation.md"
REASONS: Final = ROOT / "tests" / "mutation" / "survivors.toml"
BEGIN: Final = "<!-- generated: python -m tests.mutation.sample --page -->"
END: Final = "<!-- end of what is generated -->"
# What a reason may say. `equivalent` ones count for nothing: no test could tell them apart.
KINDS: Final = {
    "equivalent": "nobody could tell the difference",
    "speed": "the same answers, sooner or later",
    "guard": "a second check behind another, or of what cannot be",
    "value": "a limit or default whose exact value nobody is promised",
    "hole": "a test was missing, and has been written",
    "open": "a test is missing",
}


def read_reasons() -> dict[tuple[str, str, str, str, str], Mapping[str, str]]:
    """The reasons by mutant. Raises ValueError for an entry that is none."""
    entries = tomllib.loads(REASONS.read_text(encoding="utf-8")).get("survivor", [])
    reasons = {}
    for entry in entries:
        if entry.get("kind") not in KINDS or not entry.get("reason"):
            raise ValueError(f"{REASONS.name}: no kind or reason: {entry}")
        key = tuple(entry[name] for name in ("file", "within", "operator", "before", "after"))
        reasons[key] = entry
    return reasons


def write_page(seed: int) -> int:
    """Put the generated part into the page; 1 when a survivor has no reason."""
    found = list(kept(RESULTS / f"sample-{seed}.jsonl"))
    reasons = read_reasons()
    survivors = [sampled for sampled, each in found if not is_killed(str(each["word"]))]
    unexplained = [sampled for sampled in survivors if sampled.key not in reasons]
    for sampled in unexplained:
        print(f"no reason yet: {sampled}")
    text = PAGE.read_text(encoding="utf-8")
    head, rest = text.split(BEGIN)
    _, tail = rest.split(END)
    generated = _generated(seed, [(s, str(each["word"])) for s, each in found], reasons)
    PAGE.write_text(f"{head}{BEGIN}\n\n{generated}\n{END}{tail}", encoding="utf-8")
    return 1 if unexplained else 0


def _generated(
    seed: int,
    found: list[tuple[Sampled, str]],
    reasons: Mapping[tuple[str, str, str, str, str], Mapping[str, str]],
) -> str:
    survivors = [sampled for sampled, word in found if not is_killed(word)]
    kinds = Counter(str(reasons.get(each.key, {}).get("kind", "open")) for each in survivors)
    equivalent = kinds["equivalent"]
    killed = len(found) - len(survivors)
    judged = len(found) - equivalent
    timeouts = sum(word == "timeout" for _, word in found)
    now = killed + kinds["hole"]
    lines = [
        f"Seed {seed}: {len(found)} mutants, {killed} killed ({timeouts} because the tests did not"
        f" end), {len(survivors)} survived. Without the {equivalent} that nobody could tell apart"
        f" the score was **{_percent(killed, judged)}**; with the tests that were written for what"
        f" survived it is **{_percent(now, judged)}**.",
        "",
        "| operator | mutants | killed |",
        "|---|---|---|",
    ]
    for operator in sorted({sampled.operator for sampled, _ in found}):
        of = [word for sampled, word in found if sampled.operator == operator]
        lines.append(f"| {operator} | {len(of)} | {sum(map(is_killed, of))} |")
    lines += ["", "| survivor | change | why |", "|---|---|---|"]
    for sampled in sorted(survivors, key=lambda each: each.key):
        entry = reasons.get(sampled.key, {"kind": "open", "reason": "not looked into yet"})
        place = f"{sampled.file} {sampled.within}"
        change = f"`{_cell(_shortened(sampled.before))}` → `{_cell(_shortened(sampled.after))}`"
        lines.append(f"| {place} | {change} | {entry['kind']}: {_cell(entry['reason'])} |")
    lines += ["", *(f"- **{kind}**: {meaning}" for kind, meaning in KINDS.items()), ""]
    return "\n".join(lines)


def _percent(part: int, whole: int) -> str:
    return f"{part / whole:.1%}" if whole else "nothing"


def _shortened(text: str) -> str:
    return text if len(text) <= 140 else text[:137] + "..."


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("`", "'")
