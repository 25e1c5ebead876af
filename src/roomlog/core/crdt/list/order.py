"""The visible items of one list in order: chunks, so that no edit moves more than one of them."""

from typing import Final, final

from roomlog.core.crdt.list.item import ListItem, precedes
from roomlog.core.graph import Graph

_CHUNK_ITEMS: Final = 512
"""A chunk that grows past this is cut in half."""


@final
class ItemOrder:
    """A sorted sequence of items that is read by index and searched by position."""

    def __init__(self, graph: Graph) -> None:
        self._graph = graph
        self._chunks: list[list[ListItem]] = []
        self._length = 0

    def __len__(self) -> int:
        return self._length

    def items(self) -> list[ListItem]:
        """Every item in order."""
        return [item for chunk in self._chunks for item in chunk]

    def at(self, index: int) -> ListItem:
        """The item at ``index``, which must be within the list."""
        chunks = self._chunks
        last = chunks[-1]
        before_last = self._length - len(last)
        if index >= before_last:
            return last[index - before_last]
        for chunk in chunks:
            if index < len(chunk):
                return chunk[index]
            index -= len(chunk)
        raise AssertionError("an index within the list lies in no chunk")  # pragma: no cover

    def index_of(self, item: ListItem) -> int:
        """The index of an item, which must be here."""
        chunk_index = self._chunk_of(item)
        index = self._offset_of(self._chunks[chunk_index], item)
        for before in range(chunk_index):
            index += len(self._chunks[before])
        return index

    def index_before(self, position: bytes) -> int:
        """How many items stand before `position`."""
        index = 0
        for chunk in self._chunks:
            if chunk[-1].position < position:
                index += len(chunk)
                continue
            offset = 0
            while chunk[offset].position < position:
                offset += 1
            return index + offset
        return index

    def load(self, items: list[ListItem]) -> None:
        """Begin an empty sequence with items that are in order."""
        assert not self._length
        half = _CHUNK_ITEMS // 2
        self._chunks = [items[start : start + half] for start in range(0, len(items), half)]
        self._length = len(items)

    def insert(self, item: ListItem) -> None:
        """Put ``item`` where its position belongs; it must not be here yet."""
        chunks = self._chunks
        self._length += 1
        if not chunks:
            chunks.append([item])
            return
        last = chunks[-1]
        if precedes(self._graph, last[-1], item):
            chunk_index = len(chunks) - 1
            chunk = last
            chunk.append(item)
        else:
            chunk_index = self._chunk_of(item)
            chunk = chunks[chunk_index]
            chunk.insert(self._offset_of(chunk, item), item)
        if len(chunk) > _CHUNK_ITEMS:
            half = len(chunk) // 2
            chunks.insert(chunk_index + 1, chunk[half:])
            del chunk[half:]

    def remove(self, item: ListItem) -> None:
        """Take ``item`` out; it must be here, at the position it was inserted with."""
        chunk_index = self._chunk_of(item)
        chunk = self._chunks[chunk_index]
        offset = self._offset_of(chunk, item)
        assert chunk[offset] is item
        del chunk[offset]
        self._length -= 1
        if not chunk:
            del self._chunks[chunk_index]

    def _chunk_of(self, item: ListItem) -> int:
        """The last chunk that does not start after ``item``, or the first chunk."""
        graph = self._graph
        chunks = self._chunks
        low = 0
        high = len(chunks) - 1
        while low < high:
            middle = (low + high + 1) >> 1
            if precedes(graph, item, chunks[middle][0]):
                high = middle - 1
            else:
                low = middle
        return low

    def _offset_of(self, chunk: list[ListItem], item: ListItem) -> int:
        """Where ``item`` is, or belongs, in ``chunk``."""
        graph = self._graph
        low = 0
        high = len(chunk)
        while low < high:
            middle = (low + high) >> 1
            if precedes(graph, chunk[middle], item):
                low = middle + 1
            else:
                high = middle
        return low
