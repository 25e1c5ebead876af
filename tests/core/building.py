"""Identities, nodes and Hypothesis strategies that the tests of the core build on."""

from __future__ import annotations

import random
from collections.abc import Sequence

from hypothesis import strategies as st

from roomlog.core.hashing import serverless_lineage
from roomlog.core.node import CHANGE, MERGE, Node, NodeHasher, encode_header, make_node
from roomlog.core.operation import (
    CounterAdd,
    ItemReference,
    ListDelete,
    ListInsert,
    ListMove,
    ListUpdate,
    MapDelete,
    MapSet,
    MapSetBlob,
    Operation,
    TextDelete,
    TextInsert,
    UnknownOperation,
)
from roomlog.identity import Identity

LINEAGE = serverless_lineage("room")
AUTHORS = [Identity.from_seed(bytes([number]) * 32) for number in range(3)]

MAX_UNSIGNED = (1 << 64) - 1


def hasher() -> NodeHasher:
    return NodeHasher(LINEAGE)


def change(
    *operations: Operation,
    parents: Sequence[Node] = (),
    clock: int | None = None,
    author: int = 0,
) -> Node:
    """A signed change on ``parents``, by default one clock unit after them."""
    if clock is None:
        clock = max([parent.clock for parent in parents], default=0) + 1
    ids = [parent.id for parent in parents]
    return make_node(hasher(), AUTHORS[author], CHANGE, clock, ids, operations or [MapDelete("k")])


def merge(*parents: Node, author: int = 0) -> Node:
    clock = max(parent.clock for parent in parents) + 1
    return make_node(hasher(), AUTHORS[author], MERGE, clock, [p.id for p in parents], [])


def raw_node(
    body: bytes | None,
    *,
    kind: int = CHANGE,
    clock: int = 1,
    parents: Sequence[bytes] = (),
    author: bytes = b"a" * 32,
    signature: bytes | None = b"s" * 64,
) -> Node:
    """A node of these very fields, valid or not."""
    body_hash = hasher().body_hash(body or b"")
    header = encode_header(kind, author, clock, tuple(parents), body_hash)
    node_id = hasher().node_id(header)
    return Node(node_id, author, clock, kind, tuple(parents), body_hash, body, signature)


texts = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=6)
keys = st.lists(
    st.text(st.characters(exclude_categories=["Cs"], exclude_characters="/\0"), min_size=1),
    min_size=1,
    max_size=2,
).map("/".join)
unsigned = st.integers(0, 40) | st.integers(0, MAX_UNSIGNED)
values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(1 << 63), MAX_UNSIGNED)
    | st.floats()
    | texts
    | st.binary(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(texts | st.just(""), inner, max_size=3)
    ),
    max_leaves=6,
)
items = st.builds(ItemReference, st.binary(min_size=32, max_size=32), unsigned)
positions = st.binary(min_size=1, max_size=128)
text_operations = st.builds(
    TextInsert, st.sampled_from(["notes", "t"]), unsigned, texts
) | st.builds(
    TextDelete, st.sampled_from(["notes", "t"]), unsigned, st.integers(1, 5) | st.just(MAX_UNSIGNED)
)
operations = st.one_of(
    text_operations,
    st.builds(MapSet, keys, values),
    st.builds(MapDelete, keys),
    st.builds(MapSetBlob, keys, st.binary(min_size=32, max_size=32), unsigned, texts),
    st.builds(
        CounterAdd, keys, st.integers(-(1 << 53), 1 << 53).filter(lambda amount: amount != 0)
    ),
    st.builds(ListInsert, keys, positions, values),
    st.builds(ListMove, keys, items, positions),
    st.builds(ListUpdate, keys, items, values),
    st.builds(ListDelete, keys, items),
    st.builds(UnknownOperation, st.integers(11, 65_535), keys, st.lists(values, max_size=3)),
)

bodies = st.one_of(
    st.none(),
    st.binary(max_size=12),
    st.just(b"\x90"),
)


@st.composite
def node_lists(
    draw: st.DrawFn, *, min_size: int = 0, max_size: int = 12, hostile: bool = True
) -> list[Node]:
    """Nodes in topological order: linear runs, branches, merges, unknown parents, bad bodies."""
    nodes: list[Node] = []
    stranger = bytes(range(32))
    for index in range(draw(st.integers(min_size, max_size))):
        shape = draw(st.sampled_from(["linear", "linear", "linear", "branch", "merge", "outside"]))
        author = AUTHORS[draw(st.integers(0, 2)) if shape == "branch" else 0]
        parents: list[bytes] = []
        if shape == "linear" and nodes:
            parents = [nodes[-1].id]
        elif shape in ("branch", "merge") and nodes:
            known = draw(st.lists(st.sampled_from(nodes), unique_by=lambda n: n.id, max_size=3))
            parents = sorted(node.id for node in known)
        elif shape == "outside":
            parents = sorted([stranger, *([nodes[-1].id] if nodes else [])])
        kind = MERGE if shape == "merge" and len(parents) > 1 else CHANGE
        before = nodes[-1].clock if nodes else draw(st.integers(0, 1 << 42)) * 2048
        clock = draw(
            st.sampled_from(
                [before + 1, before + 2048, before + 5000, before // 2048 * 2048 + 4096]
            )
            | st.integers(0, MAX_UNSIGNED)
        )
        clock = min(clock, MAX_UNSIGNED)
        if hostile and draw(st.integers(0, 4)) == 0:
            nodes.append(
                raw_node(
                    draw(bodies),
                    kind=kind,
                    clock=clock,
                    parents=parents,
                    author=author.public_key,
                )
            )
            continue
        clock %= (1 << 53) - (1 << 32)
        edits: list[Operation] = []
        if kind == CHANGE:
            edits = draw(
                st.lists(text_operations, min_size=1, max_size=4)
                | st.lists(operations, min_size=1, max_size=2)
            )
        node = make_node(hasher(), None, kind, clock, parents, edits, author=author.public_key)
        node.signature = bytes([index % 256]) * 64
        nodes.append(node)
    return nodes


def random_parents(source: random.Random, count: int) -> list[list[int]]:
    """Parents of ``count`` nodes by index: linear runs, branches, merges and new roots."""
    parents: list[list[int]] = []
    for index in range(count):
        shape = source.random()
        if index == 0 or shape < 0.05:
            parents.append([])
        elif shape < 0.5:
            parents.append([index - 1])
        else:
            oldest = max(0, index - source.choice([2, 8, 64]))
            picked = {source.randrange(oldest, index) for _ in range(source.randint(1, 3))}
            parents.append(sorted(picked))
    return parents


def ancestor_sets(parents: Sequence[Sequence[int]]) -> list[set[int]]:
    """For each node, itself and everything in its history, by brute force."""
    sets: list[set[int]] = []
    for index, of_node in enumerate(parents):
        sets.append({index}.union(*[sets[parent] for parent in of_node]))
    return sets


def maximal(lvs: set[int], sets: Sequence[set[int]]) -> list[int]:
    """Those of ``lvs`` that are in no other's history."""
    return sorted(lv for lv in lvs if not any(lv in sets[other] for other in lvs if other != lv))


def index_id(index: int) -> bytes:
    """A node id that says which node of a test it is."""
    return index.to_bytes(32, "big")
