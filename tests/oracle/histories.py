"""Adversarial histories, made from a seed: first a graph of nodes, then what the nodes say.

`random_graph` knows nothing of texts, maps or counters: a graph says who wrote which node on top of
what. `text_history` fills a graph with text edits; other kinds of data can fill the same graphs.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from random import Random

from tests.oracle.naive_text import NaiveText

Edit = tuple[int, int, str]


@dataclass(frozen=True)
class GraphNode:
    """A node: who wrote it (an author may have two devices) and the heads it was written on."""

    author: int
    device: int
    parents: tuple[int, ...]


@dataclass
class Graph:
    """Nodes in one topological order; `histories[i]` is the history of node i, itself included."""

    nodes: list[GraphNode] = field(default_factory=list)
    histories: list[frozenset[int]] = field(default_factory=list)

    def add(self, author: int, device: int, view: frozenset[int]) -> int:
        index = len(self.nodes)
        self.nodes.append(GraphNode(author, device, self.heads(view)))
        self.histories.append(view | {index})
        return index

    def heads(self, view: frozenset[int]) -> tuple[int, ...]:
        """The nodes of a view that no other node of it is written on."""
        below = {parent for index in view for parent in self.nodes[index].parents}
        return tuple(sorted(view - below))


def random_graph(random: Random, node_count: int, author_count: int) -> Graph:
    """Authors that write, exchange what they have in part, fork on two devices, or sleep a day."""
    graph = Graph()
    devices = [(author, 0) for author in range(author_count)]
    for author in range(author_count):
        if random.random() < 0.4:
            devices.append((author, 1))
    views: dict[tuple[int, int], frozenset[int]] = {device: frozenset() for device in devices}
    exchange = random.choice([0.1, 0.3, 0.6])
    sleepy = random.choice(devices) if random.random() < 0.5 else None
    while len(graph.nodes) < node_count:
        device = random.choice(devices)
        if device == sleepy and random.random() < 0.8:
            continue
        dice = random.random()
        if dice < exchange:
            views[device] |= views[random.choice(devices)]
        elif dice < exchange + 0.04 and graph.nodes:
            # A device restored from an old backup: it goes on from an old version.
            views[device] = graph.histories[random.randrange(len(graph.nodes))]
        elif dice < exchange + 0.08:
            views[device] = frozenset().union(*views.values())
        for _ in range(random.choice([1, 1, 1, 2, 5])):
            if len(graph.nodes) < node_count:
                index = graph.add(*device, views[device])
                views[device] |= {index}
    return graph


def wide_graph(random: Random, head_count: int) -> Graph:
    """One node, then as many concurrent ones as wanted, then a merge of them all."""
    graph = Graph()
    first = graph.add(0, 0, frozenset())
    for head in range(head_count):
        graph.add(head % 5, head // 5, frozenset({first}))
    graph.add(random.randrange(5), 0, frozenset(range(head_count + 1)))
    return graph


def arrival_order(random: Random, graph: Graph) -> list[int]:
    """A random topological order; now and then branches come whole, or as late as they can."""
    lateness = random.choice([None, None, "branches", "late"])
    late_author = random.randrange(5)
    children: list[list[int]] = [[] for _ in graph.nodes]
    missing = [len(node.parents) for node in graph.nodes]
    for index, node in enumerate(graph.nodes):
        for parent in node.parents:
            children[parent].append(index)
    ready = [index for index, count in enumerate(missing) if not count]
    order: list[int] = []
    while ready:
        if lateness == "branches":
            at = len(ready) - 1
        else:
            at = random.randrange(len(ready))
            if lateness == "late":
                for other, index in enumerate(ready):
                    if graph.nodes[index].author != late_author:
                        at = other
                        break
        index = ready.pop(at)
        order.append(index)
        for child in children[index]:
            missing[child] -= 1
            if not missing[child]:
                ready.append(child)
    return order


@dataclass
class TextHistory:
    """A graph, the text edits of each node, each node's tie-break key, and the merged text."""

    graph: Graph
    edits: list[list[Edit]]
    keys: list[bytes]
    text: str
    same_place: int
    invalid_edits: int
    naive: NaiveText


_LETTERS = "abcdefghijklmnopqrstuvwxyz"
_ODD = ["\U0001f600", "é", "e\u0301", "\0", "漢", "\U0010ffff\U0001f468\u200d"]


def text_history(random: Random, graph: Graph) -> TextHistory:
    """Edits that crowd at few places, delete each other's anchors, and sometimes miss the text."""
    naive = NaiveText()
    all_edits: list[list[Edit]] = []
    keys: list[bytes] = []
    invalid = 0
    crowd = random.choice([0.2, 0.7])
    delete_share = random.choice([0.15, 0.35, 0.5])
    hot = random.randrange(4)
    carets: dict[tuple[int, int], int] = {}
    for index, node in enumerate(graph.nodes):
        key = bytes([node.author]) + random.randbytes(2) + index.to_bytes(2, "big")
        keys.append(key)
        opened = naive.open(index, node.parents, key)
        edits: list[Edit] = []
        for _ in range(random.choice([1, 1, 1, 2, 4])):
            length = opened.length()
            dice = random.random()
            device = (node.author, node.device)
            if dice < crowd:
                position = min(hot, length)
            elif dice < 0.9:
                position = min(carets.get(device, 0), length)
            else:
                position = random.randint(0, length)
            if random.random() < 0.04:
                position = random.choice([length + 1, length + 7, 1 << 40, -1])
            if random.random() < delete_share:
                size = random.choice([1, 1, 2, 5])
                if random.random() < 0.5:
                    position = max(position - size, -1)
                if random.random() < 0.9:
                    size = max(1, min(size, length - position))
                edit: Edit = (position, size, "")
                caret = position
            else:
                letters = random.choice(_LETTERS)
                inserted = (letters.upper() if node.author % 2 else letters) * random.choice(
                    [1, 1, 2, 4]
                )
                if random.random() < 0.1:
                    inserted += random.choice(_ODD)
                edit = (position, 0, inserted)
                caret = position + (len(inserted) if random.random() < 0.8 else 0)
            if opened.edit(*edit):
                carets[device] = caret
            else:
                invalid += 1
            edits.append(edit)
        all_edits.append(edits)
    return TextHistory(graph, all_edits, keys, naive.text(), naive.same_place, invalid, naive)
