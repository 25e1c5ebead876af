"""A fresh replica from packs of the automerge-paper history, every hash verified.

y-py applies its 259,778 captured updates one by one, as it received them. roomlog imports the packs
of the same edits, one node for ten edits and one node an edit. Hashes of headers and bodies are
checked always; signatures only where the side says so.
"""

from __future__ import annotations

from bench import traces
from bench.measure import Claim, Figures, Stopwatch, main

EDITS_PER_NODE = 10


def y_py() -> Figures:
    import y_py as engine

    from bench import peers

    trace = traces.load("automerge-paper")
    updates: list[bytes] = []
    peers.y_py_sequential(traces.sequential_patches(trace), updates)
    with Stopwatch() as watch:
        document = engine.YDoc()
        text = document.get_text(peers.TEXT)
        for update in updates:
            engine.apply_update(document, update)
        content = str(text)
    assert content == trace["endContent"]
    return {
        "seconds": watch.seconds,
        "cpu_seconds": watch.cpu_seconds,
        "update_bytes": sum(map(len, updates)),
    }


def roomlog(edits_per_node: int, *, verify: bool = False) -> Figures:
    from bench.histories import KEY, ROOM, START_MS, author
    from roomlog.core.replica import Replica

    trace = traces.load("automerge-paper")
    patches = traces.sequential_patches(trace)
    written = Replica(ROOM, author(0))
    text = written.text(KEY)
    for number, (position, deleted, inserted) in enumerate(patches, 1):
        if deleted:
            text.delete(position, deleted)
        if inserted:
            text.insert(position, inserted)
        if number % edits_per_node == 0:
            written.commit(START_MS + number)
    written.commit(START_MS + len(patches) + 1)
    signed = written.export()
    unsigned = written.export(signatures=False)
    lineage = written.lineage
    nodes = sum(1 for _ in written.nodes())
    del written, text
    with Stopwatch() as watch:
        replica = Replica(ROOM, lineage=lineage)
        result = replica.import_pack(signed, verify=verify)
        content = str(replica.text(KEY))
    assert content == trace["endContent"]
    assert len(result.accepted) == nodes
    return {
        "seconds": watch.seconds,
        "cpu_seconds": watch.cpu_seconds,
        "nodes": nodes,
        "signed_bytes_a_node": len(signed) / nodes,
        "unsigned_bytes_a_node": len(unsigned) / nodes,
        "signed_bytes_an_edit": len(signed) / len(patches),
        "unsigned_bytes_an_edit": len(unsigned) / len(patches),
    }


TEN = "roomlog, ten edits a node"
ONE = "roomlog, one edit a node"
SIDES = {
    "y-py": y_py,
    TEN: lambda: roomlog(EDITS_PER_NODE),
    f"{TEN}, pure": lambda: roomlog(EDITS_PER_NODE),
    ONE: lambda: roomlog(1),
    f"{ONE}, pure": lambda: roomlog(1),
    f"{TEN}, signatures verified": lambda: roomlog(EDITS_PER_NODE, verify=True),
}
CLAIMS = [
    Claim(
        "fresh replica, hashes verified, ten edits a node: times faster than y-py's apply",
        ("y-py", "seconds"),
        (TEN, "seconds"),
        at_least=1.0,
    ),
    Claim(
        "fresh replica, hashes verified, one edit a node: times the time of y-py's apply",
        (ONE, "seconds"),
        ("y-py", "seconds"),
        at_most=2.5,
    ),
    Claim(
        "pack bytes a node, signed, ten edits a node",
        (TEN, "signed_bytes_a_node"),
        None,
        at_most=75,
    ),
    Claim(
        "pack bytes a node, signed, one edit a node", (ONE, "signed_bytes_a_node"), None, at_most=75
    ),
    Claim(
        "pack bytes an edit, signed, ten edits a node",
        (TEN, "signed_bytes_an_edit"),
        None,
        at_most=9,
    ),
]

if __name__ == "__main__":
    main("apply_packs", "A fresh replica from packs: automerge-paper", SIDES, CLAIMS)
