"""The concurrent history friendsforever: 26,078 changes of two authors, merged by each engine.

The same changes for every engine: one update or node a change, written on exactly its parents.
`import_pack` decodes, checks every hash and merges; the walk alone merges decoded edits.
"""

from __future__ import annotations

from bench import traces
from bench.measure import Claim, Figures, Stopwatch, main

TRACE = "friendsforever"


def loro_batch() -> Figures:
    from loro import LoroDoc

    from bench import peers

    trace = traces.load(TRACE)
    updates = peers.loro_concurrent(trace["txns"])
    with Stopwatch() as watch:
        document = LoroDoc()
        document.import_batch(updates)
        content = document.get_text(peers.TEXT).to_string()
    assert content == trace["endContent"]
    return {
        "seconds": watch.seconds,
        "cpu_seconds": watch.cpu_seconds,
        "update_bytes": sum(map(len, updates)),
    }


def pycrdt_each() -> Figures:
    from pycrdt import Doc, Text

    from bench import peers

    trace = traces.load(TRACE)
    updates = peers.pycrdt_concurrent(trace["txns"])
    with Stopwatch() as watch:
        document = Doc()
        text = document.get(peers.TEXT, type=Text)
        for update in updates:
            document.apply_update(update)
        content = str(text)
    assert content == trace["endContent"]
    return {
        "seconds": watch.seconds,
        "cpu_seconds": watch.cpu_seconds,
        "update_bytes": sum(map(len, updates)),
    }


def import_batch() -> Figures:
    from bench.histories import KEY, ROOM, concurrent_nodes
    from roomlog.core.replica import Replica

    trace = traces.load(TRACE)
    source = Replica(ROOM)
    source.add_nodes(concurrent_nodes(trace["txns"], source.lineage), verify=False)
    pack = source.export()
    lineage = source.lineage
    del source
    with Stopwatch() as watch:
        replica = Replica(ROOM, lineage=lineage)
        result = replica.import_pack(pack, verify=False)
        content = str(replica.text(KEY))
    assert content == trace["endContent"]
    assert len(result.accepted) == len(trace["txns"])
    return {"seconds": watch.seconds, "cpu_seconds": watch.cpu_seconds, "pack_bytes": len(pack)}


def import_each() -> Figures:
    from bench.histories import KEY, ROOM, concurrent_nodes
    from roomlog.core.replica import Replica

    trace = traces.load(TRACE)
    source = Replica(ROOM)
    nodes = concurrent_nodes(trace["txns"], source.lineage)
    source.add_nodes(nodes, verify=False)
    packs = [source.export(ids=[node.id]) for node in nodes]
    lineage = source.lineage
    del source, nodes
    with Stopwatch() as watch:
        replica = Replica(ROOM, lineage=lineage)
        text = replica.text(KEY)
        for pack in packs:
            replica.import_pack(pack, verify=False)
        content = str(text)
    assert content == trace["endContent"]
    return {
        "seconds": watch.seconds,
        "cpu_seconds": watch.cpu_seconds,
        "pack_bytes": sum(map(len, packs)),
    }


def decoded_edits(trace: dict) -> tuple[list, list[bytes]]:
    """(node, parents, edits) as the walk takes them, and each node's key for ties."""
    from roomlog.core.crdt.text import TextEdit

    changes = []
    keys = []
    for index, transaction in enumerate(trace["txns"]):
        edits = []
        for position, deleted, inserted in transaction["patches"]:
            if deleted:
                edits.append(TextEdit(position, deleted, ""))
            if inserted:
                edits.append(TextEdit(position, 0, inserted))
        changes.append((index, transaction["parents"], edits))
        keys.append(b"%d/%d" % (transaction["agent"], index))
    return changes, keys


def walk_batch() -> Figures:
    from roomlog.core.crdt.text import TextDocument

    trace = traces.load(TRACE)
    changes, keys = decoded_edits(trace)
    with Stopwatch() as watch:
        document = TextDocument(keys.__getitem__)
        document.add_nodes(changes)
        content = str(document)
    assert content == trace["endContent"]
    return {"seconds": watch.seconds, "cpu_seconds": watch.cpu_seconds}


def walk_each() -> Figures:
    from roomlog.core.crdt.text import TextDocument

    trace = traces.load(TRACE)
    changes, keys = decoded_edits(trace)
    with Stopwatch() as watch:
        document = TextDocument(keys.__getitem__)
        for node, parents, edits in changes:
            document.add_node(node, parents, edits)
        content = str(document)
    assert content == trace["endContent"]
    return {"seconds": watch.seconds, "cpu_seconds": watch.cpu_seconds}


LORO = "loro import_batch"
PYCRDT = "pycrdt apply_update"
BATCH = "roomlog import_pack, one pack"
EACH = "roomlog import_pack, node by node"
WALK_BATCH = "roomlog walk alone, one batch"
WALK_EACH = "roomlog walk alone, node by node"
OURS = {BATCH: import_batch, EACH: import_each, WALK_BATCH: walk_batch, WALK_EACH: walk_each}
SIDES = {LORO: loro_batch, PYCRDT: pycrdt_each, **OURS} | {
    f"{name}, pure": measure for name, measure in OURS.items()
}
CLAIMS = [
    Claim(
        "import_pack with hashes, one pack: times faster than loro's import_batch",
        (LORO, "seconds"),
        (BATCH, "seconds"),
        at_least=2.2,
    ),
    Claim(
        "import_pack with hashes, node by node: of the speed of pycrdt's apply_update",
        (PYCRDT, "seconds"),
        (EACH, "seconds"),
        at_least=0.4,
    ),
    Claim(
        "the walk alone, one batch: times faster than loro's import_batch",
        (LORO, "seconds"),
        (WALK_BATCH, "seconds"),
        at_least=4.0,
    ),
    Claim(
        "the walk alone, node by node: of the speed of pycrdt's apply_update",
        (PYCRDT, "seconds"),
        (WALK_EACH, "seconds"),
        at_least=0.6,
    ),
]

if __name__ == "__main__":
    main("concurrent_text", "Concurrent text: friendsforever", SIDES, CLAIMS)
