"""The characters of one text while it can be undone: each keeps its place, also when deleted."""

from __future__ import annotations

from bisect import bisect_right
from typing import Final, TypeAlias, final

from roomlog.core.crdt.text import TextDocument
from roomlog.core.crdt.text.pieces import Piece, PieceList
from roomlog.core.text_followers import TextChange, TextFollower

Run: TypeAlias = tuple[int, int]
"""Number of the first character, and how many."""

DeletedRun: TypeAlias = tuple[int, str]
"""Number of the first character, and the text."""

_INSERTED: Final = 0
_HIDDEN: Final = 1
_SHOWN: Final = 2


@final
class FollowedText:
    """Numbers the characters of a text from the moment it is followed.

    What an undo puts back are the same characters for it, at the places where they were.
    """

    __slots__ = ("_following", "_open", "_pieces", "follower", "is_deaf")

    def __init__(self, length: int) -> None:
        self._pieces = PieceList(keeps_deleted=True)
        if length:
            self._pieces.insert(0, length, 0)
        self._following = length
        # What edits that are not committed have done, in order.
        self._open: list[tuple[int, list[Run]]] = []
        self.is_deaf = False
        """Set while the text is changed by what is noted here already."""
        self.follower = TextFollower(self._edited, self._replaced)

    def begin(self, position: int, length: int) -> None:
        """Note an insertion that happened before the follower was told of any."""
        self._edited(position, 0, length, -1)

    def inserted(self, length: int) -> Run:
        """The characters of an own insertion that was just made."""
        run = (self._following - length, length)
        self._open.append((_INSERTED, [run]))
        return run

    def deleting(self, position: int, length: int) -> list[Run]:
        """The characters that an own deletion is about to take."""
        runs = self._pieces.numbers(position, length)
        self._open.append((_HIDDEN, runs))
        return runs

    def settle(self) -> None:
        """The edits so far are committed."""
        self._open.clear()

    def visible_of(self, runs: list[Run], document: TextDocument) -> list[DeletedRun]:
        """What is left of some characters, with the text."""
        found: list[DeletedRun] = []
        position = 0
        for piece, is_meant in self._cut(runs):
            if piece.visible:
                if is_meant:
                    text = document.slice(position, position + piece.length)
                    found.append((piece.number, text))
                position += piece.length
        return found

    def take_out(self, runs: list[Run]) -> list[Run]:
        """Hide what is left of some characters: (position, length) of each deletion, in order."""
        edits: list[Run] = []
        hidden: list[Run] = []
        position = 0
        pieces = self._cut(runs)
        for piece, is_meant in pieces:
            if piece.visible and is_meant:
                piece.visible = False
                hidden.append((piece.number, piece.length))
                if edits and edits[-1][0] == position:
                    edits[-1] = (position, edits[-1][1] + piece.length)
                else:
                    edits.append((position, piece.length))
            elif piece.visible:
                position += piece.length
        self._pieces.replace([piece for piece, _ in pieces])
        self._open.append((_HIDDEN, hidden))
        return edits

    def put_back(self, texts: list[DeletedRun]) -> tuple[list[DeletedRun], list[Run]]:
        """Show deleted characters again: (position, text) of each insertion, and which those are.

        What is not deleted is passed over.
        """
        edits: list[DeletedRun] = []
        shown: list[Run] = []
        position = 0
        text_of = dict(texts)
        starts = sorted(text_of)
        pieces = self._cut([(number, len(text)) for number, text in texts])
        for piece, is_meant in pieces:
            if is_meant and not piece.visible:
                start = starts[bisect_right(starts, piece.number) - 1]
                offset = piece.number - start
                text = text_of[start][offset : offset + piece.length]
                piece.visible = True
                shown.append((piece.number, piece.length))
                if edits and edits[-1][0] + len(edits[-1][1]) == position:
                    edits[-1] = (edits[-1][0], edits[-1][1] + text)
                else:
                    edits.append((position, text))
            if piece.visible:
                position += piece.length
        self._pieces.replace([piece for piece, _ in pieces])
        self._open.append((_SHOWN, shown))
        return edits, shown

    def _cut(self, runs: list[Run]) -> list[tuple[Piece, bool]]:
        """Copies of all pieces, cut so that each is in one of the runs or in none."""
        ordered = sorted(runs)
        starts = [number for number, _ in ordered]
        cut: list[tuple[Piece, bool]] = []
        for piece in self._pieces.pieces():
            at = piece.number
            stop = at + piece.length
            index = max(0, bisect_right(starts, at) - 1)
            while at < stop:
                while index < len(ordered) and ordered[index][0] + ordered[index][1] <= at:
                    index += 1
                end = stop
                is_meant = False
                if index < len(ordered):
                    first, size = ordered[index]
                    is_meant = first <= at
                    end = min(stop, first + size if is_meant else first)
                cut.append((Piece(end - at, at, piece.visible), is_meant))
                at = end
        return cut

    def _edited(self, position: int, deleted: int, inserted: int, version: int) -> None:
        if self.is_deaf:
            return
        if deleted:
            self._pieces.delete(position, deleted)
        else:
            self._pieces.insert(position, inserted, self._following)
            self._following += inserted

    def _replaced(self, changes: list[TextChange], is_discard: bool) -> None:
        if is_discard:
            for what, runs in reversed(self._open):
                pieces: list[Piece] = []
                for piece, is_meant in self._cut(runs):
                    if is_meant:
                        if what == _INSERTED:
                            continue
                        piece.visible = what == _HIDDEN
                    pieces.append(piece)
                self._pieces.replace(pieces)
        else:
            for position, deleted, inserted in changes:
                self._edited(position, deleted, inserted, -1)
            if changes and not self._pieces.length:
                # The text may be gone, and come back as if it were new: nothing has a place there.
                self._pieces.replace([])
        self._open.clear()
