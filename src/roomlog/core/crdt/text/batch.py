"""Nodes that arrive together, gathered into linear stretches before anything is walked."""

from collections.abc import Sequence
from typing import Final, final

from roomlog.core.crdt.text.edit import TextEdit
from roomlog.core.crdt.text.history import DELETE, INSERT, NOTHING, Entry

BatchNode = tuple[int, Sequence[int], Sequence[TextEdit]]

_NEVER: Final = 1 << 60  # longer than any document


@final
class Chain:
    """Nodes each of which is the only child of the one before, as one entry not yet in the history.

    `texts` has the inserted text of each operation of the entry. `needed` is the length that
    the document must have before the chain for all its edits to be inside; while it is not known,
    the operations count `length_before` from 0.
    """

    __slots__ = ("_pieces", "entry", "members", "needed", "sizes", "texts")

    def __init__(self, parents: list[Entry]) -> None:
        self.entry: Entry = Entry(0, parents)
        self.members: list[int] = []  # indices in the batch
        self.sizes: list[int] = []  # local versions of each member
        self.texts: list[str] = []
        self._pieces: list[str] = []  # of the last operation, while there are several
        self.needed: int = 0

    def add(self, member: int, edits: Sequence[TextEdit], length: int) -> int:
        """Append a node's edits, checked later; returns the length after it, relative as given."""
        entry = self.entry
        texts = self.texts
        before = entry.end
        for edit in edits:
            position = edit.position
            size = edit.delete_length
            if size:
                if position < 0 or size < 0:
                    self.needed = _NEVER
                    continue
                self.needed = max(self.needed, position + size - length)
                entry.append(DELETE, position, size, length)
                if len(entry.ops) > len(texts):
                    self.seal()
                    texts.append("")
                length -= size
            else:
                inserted = edit.inserted
                size = len(inserted)
                if position < 0 or not size:
                    self.needed = _NEVER
                    continue
                self.needed = max(self.needed, position - length)
                entry.append(INSERT, position, size, length)
                if len(entry.ops) > len(texts):
                    self.seal()
                    texts.append(inserted)
                else:
                    self._pieces.append(inserted)
                length += size
        if entry.end == before:
            entry.append(NOTHING, 0, 1, length)
            self.seal()
            texts.append("")
        self.members.append(member)
        self.sizes.append(entry.end - before)
        return length

    def seal(self) -> None:
        """Join the pieces of the last operation's text."""
        if self._pieces:
            self.texts[-1] += "".join(self._pieces)
            self._pieces.clear()

    def settle(self, nodes: Sequence[BatchNode], length: int, start: int) -> None:
        """Fix the length before the chain and its first local version; drop edits outside."""
        entry = self.entry
        if self.needed > length:
            entry.end = 0
            entry.ops = []
            self.texts = []
            self._pieces.clear()
            self.sizes = []
            members = self.members
            self.members = []
            running = length
            for member in members:
                edits: list[TextEdit] = []
                after = running
                for edit in nodes[member][2]:
                    if inside(edit, after):
                        edits.append(edit)
                        after += -edit.delete_length or len(edit.inserted)
                running = self.add(member, edits, running)
        else:
            for op in entry.ops:
                op.length_before += length
        self.seal()
        entry.start = start
        entry.end += start


def inside(edit: TextEdit, length: int) -> bool:
    """Whether an edit has an effect on a document of that length."""
    size = edit.delete_length
    if edit.position < 0 or size < 0 or edit.position + size > length:
        return False
    return size > 0 or len(edit.inserted) > 0
