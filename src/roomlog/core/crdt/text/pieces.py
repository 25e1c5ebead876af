"""Which characters stand where: runs of numbered characters in text order, edited by position."""

from typing import Final, final

_CHUNK_PIECES: Final = 64


@final
class Piece:
    """`length` characters side by side, numbered `number`, `number` + 1, ...

    One that is not visible keeps its place, so that its characters can come back there.
    """

    __slots__ = ("length", "number", "visible")

    def __init__(self, length: int, number: int, visible: bool) -> None:
        self.length: int = length
        self.number: int = number
        self.visible: bool = visible


@final
class PieceList:
    """The characters of a text by number. Positions and lengths count visible characters.

    With `keeps_deleted`, what is deleted stays as pieces that are not visible. Edits near each
    other cost one chunk's scan; callers check ranges first.
    """

    __slots__ = ("_chunks", "_index", "_sizes", "_start", "keeps_deleted", "length")

    def __init__(self, keeps_deleted: bool = False) -> None:
        self.keeps_deleted: bool = keeps_deleted
        self.length: int = 0
        self._chunks: list[list[Piece]] = [[]]
        self._sizes: list[int] = [0]
        self._index: int = 0
        self._start: int = 0

    def insert(self, position: int, length: int, number: int) -> None:
        """Put characters right after the visible one at `position` - 1."""
        self._seek(position)
        index = self._index
        chunk = self._chunks[index]
        rest = position - self._start
        self._sizes[index] += length
        self.length += length
        at = 0
        while rest:
            piece = chunk[at]
            if piece.visible:
                if rest < piece.length:
                    chunk[at : at + 1] = [
                        Piece(rest, piece.number, True),
                        Piece(length, number, True),
                        Piece(piece.length - rest, piece.number + rest, True),
                    ]
                    self._relieve(index)
                    return
                rest -= piece.length
            at += 1
        if at:
            before = chunk[at - 1]
            if before.visible and before.number + before.length == number:
                before.length += length
                return
        chunk.insert(at, Piece(length, number, True))
        self._relieve(index)

    def delete(self, position: int, length: int) -> list[tuple[int, int]]:
        """Take visible characters away; returns them as (number, length) in text order."""
        removed: list[tuple[int, int]] = []
        self._seek(position)
        index = self._index
        rest = position - self._start
        self.length -= length
        while length:
            chunk = self._chunks[index]
            taken = 0
            kept: list[Piece] = []
            for piece in chunk:
                if not piece.visible or not length:
                    kept.append(piece)
                    continue
                if rest >= piece.length:
                    rest -= piece.length
                    kept.append(piece)
                    continue
                size = min(length, piece.length - rest)
                number = piece.number + rest
                after = piece.length - rest - size
                if rest:
                    kept.append(Piece(rest, piece.number, True))
                if self.keeps_deleted:
                    _append(kept, Piece(size, number, False))
                if after:
                    kept.append(Piece(after, number + size, True))
                if removed and removed[-1][0] + removed[-1][1] == number:
                    removed[-1] = (removed[-1][0], removed[-1][1] + size)
                else:
                    removed.append((number, size))
                rest = 0
                taken += size
                length -= size
            if taken:
                self._chunks[index] = kept
                self._sizes[index] -= taken
            index += 1
        first = self._index
        self._index = 0
        self._start = 0
        for at in range(index - 1, first - 1, -1):
            if not self._chunks[at] and len(self._chunks) > 1:
                del self._chunks[at]
                del self._sizes[at]
            else:
                self._relieve(at)
        return removed

    def numbers(self, position: int, length: int) -> list[tuple[int, int]]:
        """The visible characters of a range as (number, length) in text order."""
        found: list[tuple[int, int]] = []
        if not length:
            return found
        self._seek(position)
        index = self._index
        rest = position - self._start
        while length:
            for piece in self._chunks[index]:
                if not piece.visible:
                    continue
                if rest >= piece.length:
                    rest -= piece.length
                    continue
                size = min(length, piece.length - rest)
                found.append((piece.number + rest, size))
                rest = 0
                length -= size
                if not length:
                    break
            index += 1
        return found

    def pieces(self) -> list[Piece]:
        """All pieces in text order; not to be changed."""
        return [piece for chunk in self._chunks for piece in chunk]

    def replace(self, pieces: list[Piece]) -> None:
        """Hold these pieces instead."""
        joined: list[Piece] = []
        self.length = 0
        for piece in pieces:
            if piece.visible:
                self.length += piece.length
            _append(joined, piece)
        self._chunks = [
            joined[at : at + _CHUNK_PIECES] for at in range(0, len(joined), _CHUNK_PIECES)
        ]
        if not self._chunks:
            self._chunks.append([])
        self._sizes = [_visible(chunk) for chunk in self._chunks]
        self._index = 0
        self._start = 0

    def _seek(self, position: int) -> None:
        """Move the cursor to the first chunk with start <= position <= end, or near it."""
        index = self._index
        start = self._start
        sizes = self._sizes
        if position <= start:
            if position <= start >> 1:
                index = 0
                start = 0
            else:
                while index and position <= start:
                    index -= 1
                    start -= sizes[index]
        while position > start + sizes[index]:
            start += sizes[index]
            index += 1
        self._index = index
        self._start = start

    def _relieve(self, index: int) -> None:
        chunk = self._chunks[index]
        if len(chunk) > 2 * _CHUNK_PIECES:
            half = len(chunk) >> 1
            self._chunks[index : index + 1] = [chunk[:half], chunk[half:]]
            front = _visible(chunk[:half])
            self._sizes[index : index + 1] = [front, self._sizes[index] - front]


def _append(pieces: list[Piece], piece: Piece) -> None:
    """Add a piece, as part of the last one when it continues it."""
    if pieces:
        last = pieces[-1]
        if last.visible == piece.visible and last.number + last.length == piece.number:
            pieces[-1] = Piece(last.length + piece.length, last.number, last.visible)
            return
    pieces.append(piece)


def _visible(pieces: list[Piece]) -> int:
    length = 0
    for piece in pieces:
        if piece.visible:
            length += piece.length
    return length
