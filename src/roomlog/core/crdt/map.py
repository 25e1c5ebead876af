"""Maps: one last-writer register per path key (the stamp order is in `roomlog.core.stamp`)."""

from typing import Final, final

from roomlog.core.graph import Graph
from roomlog.core.stamp import wins

ABSENT: Final = 0
VALUE: Final = 1
BLOB: Final = 2


@final
class BlobReference:
    """What a map key holds in place of a large value: the blob's BLAKE3, size and media type."""

    __slots__ = ("hash", "media_type", "size_bytes")

    def __init__(self, hash: bytes, size_bytes: int, media_type: str) -> None:
        self.hash = hash
        self.size_bytes = size_bytes
        self.media_type = media_type

    def __eq__(self, other: object) -> bool:
        return (
            isinstance(other, BlobReference)
            and other.hash == self.hash
            and other.size_bytes == self.size_bytes
            and other.media_type == self.media_type
        )

    def __hash__(self) -> int:
        return hash((self.hash, self.size_bytes, self.media_type))

    def __repr__(self) -> str:
        return f"BlobReference({self.hash.hex()}, {self.size_bytes}, {self.media_type!r})"


@final
class MapRegister:
    """The winning write of one key: `ABSENT`, `VALUE` or `BLOB`, its value and who wrote it."""

    __slots__ = ("content", "lv", "operation_index", "value")

    def __init__(self, content: int, value: object, lv: int, operation_index: int) -> None:
        self.content = content
        self.value = value
        self.lv = lv
        self.operation_index = operation_index


@final
class Registers:
    """Every map register of a room by path key, deleted ones included.

    ``children`` has the present ones by parent path ("" for keys without a slash) and last
    segment, so that one map of a large room is listed without looking at the others.
    """

    def __init__(self, graph: Graph) -> None:
        self._graph = graph
        self.by_key: dict[str, MapRegister] = {}
        self.children: dict[str, dict[str, MapRegister]] = {}
        self.present_count = 0

    def write(self, key: str, content: int, value: object, lv: int, operation_index: int) -> bool:
        """Take one write; False when the register keeps a greater one."""
        register = self.by_key.get(key)
        if register is None:
            register = MapRegister(content, value, lv, operation_index)
            self.by_key[key] = register
            if content != ABSENT:
                self._list(key, register)
            return True
        if not wins(self._graph, lv, operation_index, register.lv, register.operation_index):
            return False
        was_present = register.content != ABSENT
        register.content = content
        register.value = value
        register.lv = lv
        register.operation_index = operation_index
        if was_present != (content != ABSENT):
            if was_present:
                self._unlist(key)
            else:
                self._list(key, register)
        return True

    def forget(self, key: str) -> None:
        """Let go of a register, as if nobody had written to it."""
        if self.by_key.pop(key).content != ABSENT:
            self._unlist(key)

    def _list(self, key: str, register: MapRegister) -> None:
        parent, _, segment = key.rpartition("/")
        siblings = self.children.get(parent)
        if siblings is None:
            self.children[parent] = {segment: register}
        else:
            siblings[segment] = register
        self.present_count += 1

    def _unlist(self, key: str) -> None:
        parent, _, segment = key.rpartition("/")
        siblings = self.children[parent]
        del siblings[segment]
        if not siblings:
            del self.children[parent]
        self.present_count -= 1
