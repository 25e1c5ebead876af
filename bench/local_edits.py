"""Typing the automerge-paper trace: 259,778 edits made locally, update bytes captured.

loro commits one transaction an edit and hands out its update. roomlog signs one node for ten edits
(and, beside it, one node an edit) and hands out the pack of every node. The floor is what signing
and hashing alone cost for as many nodes.
"""

from __future__ import annotations

import time

from bench import traces
from bench.measure import Claim, Figures, Stopwatch, main

EDITS_PER_NODE = 10


def loro() -> Figures:
    from bench import peers

    trace = traces.load("automerge-paper")
    patches = traces.sequential_patches(trace)
    updates: list[bytes] = []
    with Stopwatch() as watch:
        text = peers.loro_sequential(patches, updates)
    assert text == trace["endContent"]
    return {
        "seconds": watch.seconds,
        "cpu_seconds": watch.cpu_seconds,
        "update_bytes": sum(map(len, updates)),
    }


def roomlog(edits_per_node: int) -> Figures:
    from bench.histories import KEY, ROOM, START_MS, TimedSigner, author
    from roomlog.core.replica import Replica

    trace = traces.load("automerge-paper")
    patches = traces.sequential_patches(trace)
    signer = TimedSigner(author(0))
    packs: list[bytes] = []
    with Stopwatch() as watch:
        replica = Replica(ROOM, signer)
        text = replica.text(KEY)
        now_ms = START_MS
        open_edits = 0
        for position, deleted, inserted in patches:
            if deleted:
                text.delete(position, deleted)
            if inserted:
                text.insert(position, inserted)
            open_edits += 1
            if open_edits == edits_per_node:
                now_ms += 1
                packs.append(replica.export(ids=replica.commit(now_ms)))
                open_edits = 0
        packs.append(replica.export(ids=replica.commit(now_ms + 1)))
        content = str(text)
    assert content == trace["endContent"]
    return {
        "seconds": watch.seconds,
        "cpu_seconds": watch.cpu_seconds,
        "signing_seconds": signer.seconds,
        "signing_share": signer.seconds / watch.seconds,
        "update_bytes": sum(map(len, packs)),
    }


def floor(edits_per_node: int) -> Figures:
    """Signing an id and hashing a header and a body of typical size, once a node, nothing else."""
    from bench.histories import ROOM, author
    from roomlog.core.node import NodeHasher
    from roomlog.core.replica import Replica
    from roomlog.core.signing import Purpose

    edits = len(traces.sequential_patches(traces.load("automerge-paper")))
    hasher = NodeHasher(Replica(ROOM).lineage)
    identity = author(0)
    header = bytes(range(107))
    body = bytes(12 * edits_per_node)
    hashing = 0.0
    with Stopwatch() as watch:
        for _ in range(-(-edits // edits_per_node)):
            start = time.perf_counter()
            hasher.body_hash(body)
            node_id = hasher.node_id(header)
            hashing += time.perf_counter() - start
            identity.sign(Purpose.NODE, node_id)
    return {"seconds": watch.seconds, "cpu_seconds": watch.cpu_seconds, "hashing_seconds": hashing}


TEN = f"roomlog, {EDITS_PER_NODE} edits a node"
ONE = "roomlog, one edit a node"
SIDES = {
    "loro": loro,
    TEN: lambda: roomlog(EDITS_PER_NODE),
    f"{TEN}, pure": lambda: roomlog(EDITS_PER_NODE),
    ONE: lambda: roomlog(1),
    "roomlog floor, ten edits a node": lambda: floor(EDITS_PER_NODE),
    "roomlog floor, one edit a node": lambda: floor(1),
}
CLAIMS = [
    Claim(
        "local edits, signed, ten edits a node: times faster than loro's per-transaction run",
        ("loro", "seconds"),
        (TEN, "seconds"),
        at_least=1.2,
    ),
    Claim("share of signing at ten edits a node", (TEN, "signing_share"), None),
    Claim(
        "one edit a node: times the floor of signing and hashing",
        (ONE, "seconds"),
        ("roomlog floor, one edit a node", "seconds"),
    ),
]

if __name__ == "__main__":
    main("local_edits", "Local edits: automerge-paper", SIDES, CLAIMS)
