"""One replica in the place of another: what became of nodes, and of the characters they wrote."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Final, TypeAlias, final

from roomlog.core.graph import BASE_ID
from roomlog.core.operation import Operation, TextDelete, TextInsert
from roomlog.core.text_followers import hand_over

if TYPE_CHECKING:
    from roomlog.core.replica import Replica

Successor: TypeAlias = Callable[[bytes], bytes | None]
"""The id of the node that stands for a node now: its own while it is here, None when it is gone."""

GONE: Final = -1


@final
class Succession:
    """How the nodes of a replica map to those of the one that takes its place.

    ``dropped`` are (old node id, operation index) pairs of operations that are in no new node.
    """

    def __init__(
        self,
        before: Replica,
        after: Replica,
        successor: Successor,
        dropped: Iterable[tuple[bytes, int]] = (),
    ) -> None:
        self.before = before
        self.after = after
        self._successor = successor
        self._dropped: dict[bytes, list[int]] = {}
        for node_id, index in dropped:
            self._dropped.setdefault(node_id, []).append(index)
        self._nodes: dict[int, int] = {}
        self._same_nodes: dict[int, int] = {}

    @property
    def begins_anew(self) -> bool:
        """Whether a snapshot stood for history that is here now."""
        return BASE_ID in self.before.graph and BASE_ID not in self.after.graph

    def node(self, lv: int) -> int:
        """The local version of a node in the new replica, `GONE` when it has none."""
        found = self._nodes.get(lv)
        if found is None:
            found = GONE
            # A node that was never written has no id.
            if lv < len(self.before.graph):
                renamed = self._successor(self.before.graph.id_of(lv))
                if renamed is not None:
                    found = self.after.graph.index_of(renamed)
            self._nodes[lv] = found
        return found

    def same_node(self, lv: int) -> int:
        """As `node`, but `GONE` also when the new node does not say the same by its operations."""
        found = self._same_nodes.get(lv)
        if found is None:
            found = self.node(lv)
            if found != GONE and not self._says_the_same(lv, found):
                found = GONE
            self._same_nodes[lv] = found
        return found

    def _says_the_same(self, lv: int, new_lv: int) -> bool:
        old_id = self.before.graph.id_of(lv)
        new_id = self.after.graph.id_of(new_lv)
        if old_id == new_id:
            return True
        old = self.before.node(old_id).operations()
        new = self.after.node(new_id).operations()
        return len(old) == len(new) and all(map(_says_the_same, old, new))

    def base_heads(self) -> list[int]:
        """The heads of the snapshot that the old replica began with, in the new one.

        None of them when one is missing there.
        """
        graph = self.before.graph
        base = graph.index_of(BASE_ID)
        heads: list[int] = []
        lv = base + 1
        while lv < len(graph) and graph.parents_of(lv) == (base,):
            heads.append(self.after.graph.index_of(graph.id_of(lv)))
            lv += 1
        return [] if GONE in heads else sorted(heads)

    def gaps(self, lv: int, key: str) -> list[tuple[int, int]]:
        """What is gone of the characters that a node inserted into a text, counted from 0.

        Ascending pairs of first and last + 1.
        """
        if lv >= len(self.before.graph):
            return []
        node_id = self.before.graph.id_of(lv)
        indexes = self._dropped.get(node_id)
        if indexes is None:
            return []
        gaps: list[tuple[int, int]] = []
        place = 0
        for index, operation in enumerate(self.before.node(node_id).operations()):
            if isinstance(operation, TextInsert) and operation.key == key:
                stop = place + len(operation.text)
                if index in indexes:
                    gaps.append((place, stop))
                place = stop
        return gaps


def succeed(succession: Succession) -> None:
    """Let all that follows the replica before follow the one after: anchors, attribution, undo."""
    before = succession.before
    after = succession.after
    hand_over(before.objects, after.objects, succession)
    recorder = before.edits.recorder
    if recorder is not None:
        recorder.move(succession)


def _says_the_same(old: Operation, new: Operation) -> bool:
    """Whether an operation is the other one, written anew for another history."""
    if type(old) is not type(new) or old.key != new.key:
        return False
    if isinstance(old, TextDelete) and isinstance(new, TextDelete):
        # A part of what it deleted may be gone.
        return old.length == new.length
    return True
