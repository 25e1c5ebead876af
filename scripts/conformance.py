"""Run public ordering histories of the Eg-walker reference form through the text merge.

    python scripts/conformance.py FILE

FILE is JSON, or JSON compressed with gzip: a list of cases, each with `txns` (span of local
versions, parents as local versions, agent, seqStart, ops [position, delete length, inserted]) and
`endContent`. Every case is merged node by node, as one batch, and in another order. Prints counts;
exits 1 when a text differs, 2 when the file cannot be read.
"""

from __future__ import annotations

import gzip
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from random import Random
from typing import Any

from roomlog.core.crdt.text import TextDocument, TextEdit

Node = tuple[int, list[int], list[TextEdit]]
MODES = ("node by node", "one batch", "another order")


def load_cases(path: Path) -> list[dict[str, Any]]:
    """The cases of a file, compressed or not."""
    data = path.read_bytes()
    if data[:2] == b"\x1f\x8b":
        data = gzip.decompress(data)
    cases = json.loads(data)
    if not isinstance(cases, list) or not all("txns" in case for case in cases):
        raise ValueError("not a list of cases with txns")
    return cases


def case_nodes(case: dict[str, Any]) -> tuple[list[Node], list[bytes]]:
    """The nodes of a case, parents first, and the tie-break key of each.

    A transaction is one node, cut where another one has a parent inside it. The order between
    agents is that of their names, then of their sequence numbers.
    """
    wanted = {parent for txn in case["txns"] for parent in txn["parents"]}
    ends: dict[int, int] = {}
    nodes: list[Node] = []
    keys: list[bytes] = []
    for txn in case["txns"]:
        start = version = txn["span"][0]
        parents = [ends[parent] for parent in txn["parents"]]
        edits: list[TextEdit] = []
        node_start = start
        for position, delete_length, inserted in txn["ops"]:
            for edit, size in _pieces(version, position, delete_length, inserted, wanted):
                edits.append(edit)
                version += size
                if version - 1 in wanted or version == txn["span"][1]:
                    ends[version - 1] = len(nodes)
                    nodes.append((len(nodes), parents, edits))
                    sequence = txn["seqStart"] + node_start - start
                    keys.append(txn["agent"].encode() + b"\0" + sequence.to_bytes(8, "big"))
                    parents, edits, node_start = [len(nodes) - 1], [], version
    return nodes, keys


def _pieces(
    version: int, position: int, delete_length: int, inserted: str, wanted: set[int]
) -> list[tuple[TextEdit, int]]:
    """One operation, cut after every local version that somebody has as a parent."""
    size = delete_length or len(inserted)
    cuts = [at for at in range(1, size) if version + at - 1 in wanted]
    pieces = []
    for begin, end in zip([0, *cuts], [*cuts, size], strict=True):
        if delete_length:
            pieces.append((TextEdit(position, end - begin, ""), end - begin))
        else:
            pieces.append((TextEdit(position + begin, 0, inserted[begin:end]), end - begin))
    return pieces


def other_order(nodes: Sequence[Node], random: Random) -> list[int]:
    """Indices of nodes in a random order with parents first."""
    missing = [len(parents) for _, parents, _ in nodes]
    children: list[list[int]] = [[] for _ in nodes]
    for index, (_, parents, _) in enumerate(nodes):
        for parent in parents:
            children[parent].append(index)
    ready = [index for index, count in enumerate(missing) if not count]
    order = []
    while ready:
        index = ready.pop(random.randrange(len(ready)))
        order.append(index)
        for child in children[index]:
            missing[child] -= 1
            if not missing[child]:
                ready.append(child)
    return order


def merge(nodes: Sequence[Node], keys: Sequence[bytes], mode: str) -> tuple[str, int]:
    """The merged text, and how often a tie-break decided."""
    order = list(range(len(nodes)))
    if mode == "another order":
        order = other_order(nodes, Random(len(nodes)))
    handles = {index: handle for handle, index in enumerate(order)}
    document = TextDocument(lambda handle: keys[order[handle]])
    renumbered = [
        (handles[index], [handles[parent] for parent in nodes[index][1]], nodes[index][2])
        for index in order
    ]
    if mode == "one batch":
        document.add_nodes(renumbered)
    else:
        for node in renumbered:
            document.add_node(*node)
    return str(document), document.stats.collisions


def main(arguments: Sequence[str]) -> int:
    if len(arguments) != 1:
        print("usage: python scripts/conformance.py FILE", file=sys.stderr)
        return 2
    path = Path(arguments[0])
    try:
        cases = load_cases(path)
    except (OSError, ValueError, TypeError, EOFError) as error:
        print(f"cannot read {path}: {error}", file=sys.stderr)
        return 2
    failed: dict[str, list[int]] = {mode: [] for mode in MODES}
    collisions = 0
    for number, case in enumerate(cases):
        nodes, keys = case_nodes(case)
        for mode in MODES:
            text, met = merge(nodes, keys, mode)
            collisions += met if mode == MODES[0] else 0
            if text != case["endContent"]:
                failed[mode].append(number)
        if sys.stderr.isatty():
            print(f"\r{number + 1} of {len(cases)}", end="", file=sys.stderr, flush=True)
    if sys.stderr.isatty():
        print(file=sys.stderr)
    for mode in MODES:
        bad = failed[mode]
        first = f", first failure: case {bad[0]}" if bad else ""
        print(f"{mode}: {len(cases) - len(bad)} of {len(cases)} equal{first}")
    print(f"tie-breaks compared: {collisions}")
    return 1 if any(failed.values()) or not cases else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
