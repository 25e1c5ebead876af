"""The arithmetic of the benchmarks: ratios inside rounds, verdicts, and the page made of them."""

from __future__ import annotations

import pytest

from bench import report
from bench.measure import Claim
from bench.traces import agent_versions

SAMPLES = {
    "peer": [{"seconds": 10.0}, {"seconds": 30.0}, {"seconds": 12.0}],
    "ours": [{"seconds": 5.0}, {"seconds": 10.0}, {"seconds": 12.0}],
}


def test_a_ratio_is_taken_inside_each_round_and_its_median_decides() -> None:
    claim = Claim("faster", ("peer", "seconds"), ("ours", "seconds"), at_least=2.0)
    found = claim.evaluate(SAMPLES)
    assert (found["least"], found["median"], found["greatest"]) == (1.0, 2.0, 3.0)
    assert found["met"]
    stricter = Claim("faster", ("peer", "seconds"), ("ours", "seconds"), at_least=2.1)
    assert not stricter.evaluate(SAMPLES)["met"]


def test_a_claim_about_one_side_alone_takes_its_figure_as_it_is() -> None:
    claim = Claim("seconds", ("ours", "seconds"), None, at_most=9.0)
    found = claim.evaluate(SAMPLES)
    assert (found["least"], found["median"], found["greatest"]) == (5.0, 10.0, 12.0)
    assert not found["met"]


def test_sides_with_different_numbers_of_rounds_are_not_compared() -> None:
    uneven = {"peer": SAMPLES["peer"], "ours": SAMPLES["ours"][:2]}
    with pytest.raises(ValueError, match="zip"):
        Claim("faster", ("peer", "seconds"), ("ours", "seconds")).evaluate(uneven)


def test_the_page_shows_every_claim_with_its_verdict_and_every_side() -> None:
    claim = Claim("times faster", ("peer", "seconds"), ("ours", "seconds"), at_least=2.5)
    result = {
        "bench": "local_edits",
        "title": "Local edits",
        "rounds": 3,
        "samples": SAMPLES,
        "claims": [claim.evaluate(SAMPLES)],
        "facts": {"limit": "raised"},
        "machine": {"processor": "abacus"},
    }
    page = report.page([result])
    assert "| times faster | 2 | 1 to 3 | at least 2.5 | **no** |" in page
    assert "| peer | 12 (10 to 30) |" in page
    assert "| ours | 10 (5 to 12) |" in page
    assert "- limit: raised" in page
    assert "abacus" in page


def test_versions_count_what_the_parents_have_seen_of_each_agent() -> None:
    transactions = [
        {"parents": [], "agent": 0},
        {"parents": [], "agent": 1},
        {"parents": [0], "agent": 0},
        {"parents": [1, 2], "agent": 1},
    ]
    assert agent_versions(transactions) == [{}, {}, {0: 1}, {0: 2, 1: 1}]


def test_an_agent_that_forks_is_refused() -> None:
    transactions = [
        {"parents": [], "agent": 0},
        {"parents": [], "agent": 0},
    ]
    with pytest.raises(ValueError, match="forks"):
        agent_versions(transactions)
