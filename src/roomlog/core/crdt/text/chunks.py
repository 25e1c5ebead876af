"""The visible text: a list of short strings with a cursor at the last place touched."""

from typing import Final, final

_CHUNK: Final = 1024


@final
class ChunkedText:
    """A mutable string for edits near each other; the cost of an edit is one chunk's copy.

    All positions and lengths are in Unicode scalar values. Callers check ranges first.
    """

    __slots__ = ("_chunks", "_index", "_start", "length")

    def __init__(self) -> None:
        self.length: int = 0
        self._chunks: list[str] = [""]
        self._index: int = 0
        self._start: int = 0

    def insert(self, position: int, text: str) -> None:
        """Put `text` before the character at `position` (0 to length)."""
        self._seek(position)
        index = self._index
        chunk = self._chunks[index]
        offset = position - self._start
        chunk = chunk + text if offset == len(chunk) else f"{chunk[:offset]}{text}{chunk[offset:]}"
        self.length += len(text)
        if len(chunk) <= 2 * _CHUNK:
            self._chunks[index] = chunk
            return
        size = max(_CHUNK, self.length >> 11)
        if len(chunk) <= 2 * size:
            self._chunks[index] = chunk
            return
        self._chunks[index : index + 1] = [
            chunk[at : at + size] for at in range(0, len(chunk), size)
        ]

    def delete(self, position: int, length: int) -> None:
        """Remove `length` characters from `position` on; the range lies inside the text."""
        self._seek(position)
        index = self._index
        offset = position - self._start
        self.length -= length
        chunk = self._chunks[index]
        if offset + length <= len(chunk):
            self._chunks[index] = chunk[:offset] + chunk[offset + length :]
        else:
            head = chunk[:offset]
            length -= len(chunk) - offset
            last = index + 1
            while length > len(self._chunks[last]):
                length -= len(self._chunks[last])
                last += 1
            self._chunks[index : last + 1] = [head + self._chunks[last][length:]]
        if not self._chunks[index] and len(self._chunks) > 1:
            del self._chunks[index]
            self._index = 0
            self._start = 0

    def slice(self, start: int, stop: int) -> str:
        """The characters from `start` up to `stop`; 0 <= start <= stop <= length."""
        if start == stop:
            return ""
        self._seek(start)
        index = self._index
        at = self._start
        parts: list[str] = []
        while at < stop:
            chunk = self._chunks[index]
            parts.append(chunk[max(0, start - at) : stop - at])
            at += len(chunk)
            index += 1
        return "".join(parts)

    def whole(self) -> str:
        """All of the text."""
        return "".join(self._chunks)

    def _seek(self, position: int) -> None:
        """Move the cursor to a chunk with start <= position <= end."""
        index = self._index
        start = self._start
        chunks = self._chunks
        if position < start:
            if position < start >> 1:
                index = 0
                start = 0
            else:
                while position < start:
                    index -= 1
                    start -= len(chunks[index])
        size = len(chunks[index])
        while position > start + size:
            start += size
            index += 1
            size = len(chunks[index])
        self._index = index
        self._start = start
