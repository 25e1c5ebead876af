"""Feeding a generated history to a document in every way it can be fed."""

from __future__ import annotations

from random import Random

from roomlog.core.crdt.text import TextDocument, TextEdit
from tests.oracle.histories import TextHistory

Node = tuple[int, list[int], list[TextEdit]]


def apply_effects(text: str, effects: list[TextEdit]) -> str:
    """What a reader has after following the effects from `text`."""
    for effect in effects:
        end = effect.position + effect.delete_length
        assert 0 <= effect.position <= end <= len(text), "an effect must lie inside the text"
        assert (effect.delete_length > 0) != bool(effect.inserted), "one change an effect"
        text = text[: effect.position] + effect.inserted + text[end:]
    return text


class Feeder:
    """One document that is given the nodes of a history in some order."""

    def __init__(self, history: TextHistory, random: Random, span_limit: int = 200_000) -> None:
        self.history = history
        self.random = random
        self.handles: dict[int, int] = {}
        self.indices: dict[int, int] = {}
        self.document = TextDocument(self.tie_break, span_limit)
        self.seen: set[int] = set()
        self.next_handle = random.choice([0, 5])

    def tie_break(self, handle: int) -> bytes:
        return self.history.keys[self.indices[handle]]

    def node(self, index: int) -> Node:
        """Give a node a handle; handles grow, with gaps for nodes that touch other keys."""
        handle = self.next_handle
        self.next_handle += self.random.choice([1, 1, 4])
        self.handles[index] = handle
        self.indices[handle] = index
        self.seen.add(index)
        parents = [self.handles[parent] for parent in self.history.graph.nodes[index].parents]
        self.random.shuffle(parents)
        return handle, parents, [TextEdit(*edit) for edit in self.history.edits[index]]

    def on_heads(self, index: int) -> bool:
        """Whether a node is written on all that is known, as a local one is."""
        parents = set(self.history.graph.nodes[index].parents)
        return parents == set(self.history.graph.heads(frozenset(self.seen)))

    def one_by_one(self, order: list[int]) -> None:
        """Each node as it comes; the effects must say exactly what changes."""
        for index in order:
            before = str(self.document)
            effects = self.document.add_node(*self.node(index))
            assert apply_effects(before, effects) == str(self.document)

    def mixed(self, order: list[int]) -> None:
        """Batches of all sizes, single nodes, and local edits where a node could be local."""
        at = 0
        while at < len(order):
            size = self.random.choice([1, 1, 2, 5, 9, len(order)])
            part = order[at : at + size]
            at += size
            before = str(self.document)
            was_empty = not self.seen
            if len(part) == 1 and self.on_heads(part[0]) and self.random.random() < 0.7:
                self.local(part[0])
                continue
            nodes = [self.node(index) for index in part]
            effects = self.document.add_nodes(nodes)
            if effects is None:
                assert was_empty, "only a fresh document is replaced as a whole"
            else:
                assert apply_effects(before, effects) == str(self.document)

    def local(self, index: int) -> None:
        """Write a node as its own author; a node with no valid edit can only come from outside."""
        handle, parents, edits = self.node(index)
        written = False
        for edit in edits:
            try:
                if edit.delete_length:
                    self.document.delete(handle, edit.position, edit.delete_length)
                else:
                    self.document.insert(handle, edit.position, edit.inserted)
                written = True
            except IndexError:
                assert not 0 <= edit.position <= len(self.document) - edit.delete_length
        if not written:
            self.document.add_node(handle, parents, edits)
