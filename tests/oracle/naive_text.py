"""Text merging, second and naive: one tree element per character, ancestry as explicit sets.

It shares nothing with the product: no local versions, no runs, no walk, no fast path. Each inserted
character becomes a child in a Fugue tree (left or right of its parent, siblings by their key); a
version is the set of nodes in its history; the text of a version is the tree in order, without what
that set has not inserted or has deleted.
"""

from __future__ import annotations

from bisect import insort
from collections.abc import Iterable, Iterator, Sequence


class Character:
    """One inserted character and its place in the tree."""

    def __init__(self, value: str, node: int, key: bytes, edit: tuple[int, int] | None) -> None:
        self.value = value
        self.node = node
        self.key = key
        self.edit = edit
        self.left_origin: Character | None = None
        self.left_children: list[tuple[bytes, int, Character]] = []
        self.right_children: list[tuple[bytes, int, Character]] = []
        self.deleted_by: set[int] = set()


class NaiveText:
    """A growing history of one text. Nodes are any integers, added after their parents."""

    def __init__(self) -> None:
        self.root = Character("", -1, b"", None)
        self.histories: dict[int, frozenset[int]] = {}
        self.same_place = 0
        self._serial = 0

    def version(self, parents: Iterable[int]) -> frozenset[int]:
        """The set of nodes in the history of some nodes, themselves included."""
        return frozenset().union(*(self.histories[parent] for parent in parents))

    def characters(self) -> Iterator[Character]:
        """Every character ever inserted, in order."""
        stack: list[tuple[Character, bool]] = [(self.root, False)]
        while stack:
            character, opened = stack.pop()
            if opened:
                if character is not self.root:
                    yield character
                continue
            stack.extend((child, False) for _, _, child in reversed(character.right_children))
            stack.append((character, True))
            stack.extend((child, False) for _, _, child in reversed(character.left_children))

    def visible(self, version: frozenset[int]) -> list[Character]:
        return [
            character
            for character in self.characters()
            if character.node in version and not (character.deleted_by & version)
        ]

    def text(self, version: frozenset[int] | None = None) -> str:
        """The text of a version; of everything added when None."""
        if version is None:
            version = frozenset(self.histories)
        return "".join(character.value for character in self.visible(version))

    def open(self, node: int, parents: Sequence[int], key: bytes) -> NaiveNode:
        """Begin a node; its edits follow one by one."""
        self.histories[node] = self.version(parents) | {node}
        return NaiveNode(self, node, key)

    def add(
        self, node: int, parents: Sequence[int], edits: Sequence[tuple[int, int, str]], key: bytes
    ) -> None:
        opened = self.open(node, parents, key)
        for position, delete_length, inserted in edits:
            opened.edit(position, delete_length, inserted)


class NaiveNode:
    def __init__(self, text: NaiveText, node: int, key: bytes) -> None:
        self.text = text
        self.node = node
        self.key = key
        self.version = text.histories[node]
        self.edits = 0

    def length(self) -> int:
        return len(self.text.visible(self.version))

    def edit(self, position: int, delete_length: int, inserted: str) -> bool:
        """Apply one edit; False when it is outside the author's view and so does nothing."""
        index = self.edits
        self.edits += 1
        view = self.text.visible(self.version)
        if delete_length:
            if position < 0 or delete_length < 0 or position + delete_length > len(view):
                return False
            for character in view[position : position + delete_length]:
                character.deleted_by.add(self.node)
            return True
        if position < 0 or position > len(view) or not inserted:
            return False
        origin = view[position - 1] if position else self.text.root
        for value in inserted:
            origin = self._insert_after(origin, value, index)
        return True

    def _insert_after(self, origin: Character, value: str, edit_index: int) -> Character:
        text = self.text
        new = Character(value, self.node, self.key, (self.node, edit_index))
        new.left_origin = origin
        # The next character that the author knows, deleted or not.
        successor: Character | None = None
        passed = origin is text.root
        for character in text.characters():
            if passed and character.node in self.version:
                successor = character
                break
            passed = passed or character is origin
        if successor is not None and successor.left_origin is origin:
            siblings = successor.left_children
        else:
            siblings = origin.right_children
        text._serial += 1
        if any(child.node not in self.version for _, _, child in siblings):
            text.same_place += 1
        insort(siblings, (self.key, text._serial, new))
        return new
