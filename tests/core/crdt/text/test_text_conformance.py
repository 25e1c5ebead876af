from __future__ import annotations

import gzip
import json
from pathlib import Path

import pytest
from scripts.conformance import MODES, case_nodes, load_cases, main, merge

from roomlog.core.crdt.text import TextDocument, TextEdit
from tests.oracle.public_traces import load_trace, trace_path

HISTORIES = "egwalker-conformance-first500.json.gz"


@pytest.mark.parametrize("mode", MODES)
def test_the_public_ordering_histories_give_their_published_text(mode: str) -> None:
    cases = load_cases(trace_path(HISTORIES))
    collisions = 0
    for number, case in enumerate(cases):
        text, met = merge(*case_nodes(case), mode)
        collisions += met
        assert text == case["endContent"], f"case {number}"
    assert len(cases) == 500
    assert collisions > 1000


def two_authors(end: str) -> list[dict[str, object]]:
    """Two authors write at one place; a third continues in the middle of the first's run."""
    return [
        {
            "txns": [
                {
                    "span": [0, 3],
                    "parents": [],
                    "agent": "b",
                    "seqStart": 0,
                    "ops": [[0, 0, "xyz"]],
                },
                {"span": [3, 4], "parents": [], "agent": "a", "seqStart": 0, "ops": [[0, 0, "1"]]},
                {"span": [4, 5], "parents": [1], "agent": "c", "seqStart": 0, "ops": [[2, 0, "-"]]},
                {"span": [5, 7], "parents": [2], "agent": "a", "seqStart": 1, "ops": [[0, 2, ""]]},
                {"span": [7, 8], "parents": [5], "agent": "c", "seqStart": 1, "ops": [[2, 0, "+"]]},
            ],
            "endContent": end,
        }
    ]


@pytest.mark.parametrize("compressed", [False, True])
def test_the_script_counts_equal_texts_and_fails_on_a_mismatch(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], compressed: bool
) -> None:
    nodes, keys = case_nodes(two_authors("")[0])
    text, _ = merge(nodes, keys, MODES[0])
    for end, code, said in ((text, 0, "1 of 1 equal"), (text + "?", 1, "0 of 1 equal")):
        data = json.dumps(two_authors(end)).encode()
        path = tmp_path / "cases.json"
        path.write_bytes(gzip.compress(data) if compressed else data)
        assert main([str(path)]) == code
        assert said in capsys.readouterr().out


def test_a_parent_inside_a_transaction_cuts_it_into_nodes() -> None:
    nodes, _ = case_nodes(two_authors("")[0])
    edits = [
        (parents, [(e.position, e.delete_length, e.inserted) for e in edits])
        for _, parents, edits in nodes
    ]
    assert edits[:2] == [([], [(0, 0, "xy")]), ([0], [(2, 0, "z")])]
    assert ([1], [(0, 1, "")]) in edits


@pytest.mark.parametrize("content", [b"{", b"[1]", b"{}", b"\x1f\x8bbroken"])
def test_the_script_says_so_when_a_file_has_no_cases(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "cases.json"
    path.write_bytes(content)
    assert main([str(path)]) == 2
    assert main([str(tmp_path / "none.json")]) == 2
    assert main([]) == 2


def trace_nodes(name: str) -> tuple[list[tuple[int, list[int], list[TextEdit]]], str]:
    """The transactions of an editing trace as nodes; sequential traces become one chain."""
    trace = load_trace(name)
    nodes = []
    for index, txn in enumerate(trace["txns"]):
        edits = []
        for position, deleted, inserted in txn["patches"]:
            if deleted:
                edits.append(TextEdit(position, deleted, ""))
            if inserted:
                edits.append(TextEdit(position, 0, inserted))
        nodes.append((index, txn.get("parents", [index - 1] if index else []), edits))
    return nodes, trace["endContent"]


@pytest.mark.parametrize("name", ["friendsforever", "sveltecomponent", "automerge-paper"])
def test_a_real_editing_history_gives_its_published_text(name: str) -> None:
    nodes, end = trace_nodes(f"{name}.json.gz")
    batch = TextDocument(lambda node: node.to_bytes(8, "big"))
    batch.add_nodes(nodes)
    assert str(batch) == end
    live = TextDocument(lambda node: node.to_bytes(8, "big"))
    for node in nodes:
        live.add_node(*node)
    assert str(live) == end


def test_on_friendsforever_little_is_moved_and_less_than_a_fifth_walked_again() -> None:
    nodes, _ = trace_nodes("friendsforever.json.gz")
    live = TextDocument(lambda node: node.to_bytes(8, "big"))
    for node in nodes:
        live.add_node(*node)
    assert live.stats.local_versions == 26078
    assert live.stats.moved <= 1.5 * 26078
    assert live.stats.rebuilt <= 0.2 * 26078
    assert live.stats.caught_up <= 0.2 * 26078
    batch = TextDocument(lambda node: node.to_bytes(8, "big"))
    batch.add_nodes(nodes)
    assert batch.stats.moved <= 1.5 * 26078
    assert batch.stats.rebuilt == batch.stats.caught_up == 0
