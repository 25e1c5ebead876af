"""Who reads a room and from where: live readers share a frame, others are fed from the store."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import Protocol, final

from roomlog.core.patterns import PatternSet
from roomlog.protocol.codec import Codec, encode
from roomlog.protocol.messages import Pack
from roomlog.server.history import Page
from roomlog.server.subscriptions import PagesAsWanted
from roomlog.server.websocket_frame import BINARY, TEXT, server_frame


class Outlet(Protocol):
    """What of a transport sending needs."""

    def write(self, data: bytes) -> None: ...
    def get_write_buffer_size(self) -> int: ...
    def is_closing(self) -> bool: ...


@final
class Reader:
    """One session's reading position in a room.

    While it is live its position is the head of the log. `fall_behind` is called when it stops
    being live; from then on `position` is the seq it has everything up to. Nodes that touch no key
    of `patterns` come to it without bodies; None wants them all.
    """

    __slots__ = (
        "codec",
        "fall_behind",
        "is_live",
        "outlet",
        "pack_bytes_limit",
        "pack_nodes_limit",
        "patterns",
        "position",
        "written_bytes",
    )

    def __init__(
        self,
        codec: Codec,
        outlet: asyncio.Transport | Outlet,
        fall_behind: Callable[[], None],
        patterns: PatternSet | None = None,
        *,
        pack_bytes_limit: int,
        pack_nodes_limit: int,
    ) -> None:
        self.codec = codec
        self.outlet = outlet
        self.pack_bytes_limit = pack_bytes_limit
        self.pack_nodes_limit = pack_nodes_limit
        self.patterns = patterns
        self.fall_behind = fall_behind
        self.position = 0
        self.is_live = False
        self.written_bytes = 0


_Shape = tuple[Codec, PatternSet | None]
"""Who has the same gets the same bytes."""


@final
class Readers:
    """The readers of one room. `buffer_bytes` is what a live reader's socket may hold back."""

    def __init__(self, lineage: bytes, buffer_bytes: int) -> None:
        self._lineage = lineage
        self._buffer_bytes = buffer_bytes
        self._live: dict[_Shape, dict[Reader, None]] = {(codec, None): {} for codec in Codec}

    def go_live(self, reader: Reader) -> None:
        """`reader` is at the head of the log; from now on it gets what is relayed."""
        reader.is_live = True
        self._live.setdefault((reader.codec, reader.patterns), {})[reader] = None

    def leave(self, reader: Reader, position: int) -> None:
        """`reader` is not live any more; it has everything up to `position`."""
        reader.is_live = False
        reader.position = position
        self._remove(reader)

    def subscribe(self, reader: Reader, patterns: PatternSet | None) -> None:
        """From now on `reader` gets what it gets as `patterns` want it."""
        if reader.is_live:
            self._remove(reader)
        reader.patterns = patterns
        if reader.is_live:
            self.go_live(reader)

    def _remove(self, reader: Reader) -> None:
        shape = (reader.codec, reader.patterns)
        live = self._live.get(shape)
        if live is not None:
            live.pop(reader, None)
            if not live and reader.patterns is not None:
                del self._live[shape]

    def all_fall_behind(self, position: int) -> int:
        """The log has grown without a relay: every live reader is fed; how many there were."""
        behind = [reader for live in self._live.values() for reader in live]
        for reader in behind:
            self.leave(reader, position)
            reader.fall_behind()
        return len(behind)

    def relay(self, pages: Sequence[Page], only_author: Reader | None) -> int:
        """Send new nodes to every live reader; how many of them fell behind instead.

        `only_author` wrote all of them and knows them by their ack.
        """
        as_wanted = PagesAsWanted(pages, self._lineage)
        behind: list[Reader] = []
        most = self._buffer_bytes
        for (codec, patterns), live in self._live.items():
            if not live or (len(live) == 1 and only_author in live):
                continue
            wanted = as_wanted.of(patterns)
            if wanted is None:
                behind += [reader for reader in live if reader is not only_author]
                continue
            longest = max(len(page.nodes) for page in wanted)
            most_nodes = max(page.to_seq - page.from_seq + 1 for page in wanted)
            frames = pack_frames(codec, self._lineage, wanted)
            size = len(frames)
            for reader in live:
                if reader is only_author:
                    continue
                outlet = reader.outlet
                if outlet.is_closing():
                    continue
                if (
                    outlet.get_write_buffer_size() > most
                    or reader.pack_bytes_limit < longest
                    or reader.pack_nodes_limit < most_nodes
                ):
                    behind.append(reader)
                else:
                    outlet.write(frames)
                    reader.written_bytes += size
        position = pages[0].from_seq - 1
        for reader in behind:
            self.leave(reader, position)
            reader.fall_behind()
        return len(behind)


def opcode_of(codec: Codec) -> int:
    """The kind of frame a codec has."""
    return TEXT if codec.is_text else BINARY


def pack_frames(codec: Codec, lineage: bytes, pages: Sequence[Page]) -> bytes:
    """The WebSocket frames of `pages`, encoded once for everybody who speaks `codec`."""
    opcode = opcode_of(codec)
    return b"".join(
        [
            server_frame(
                opcode,
                encode(
                    codec,
                    Pack(
                        lineage=lineage,
                        nodes=page.nodes,
                        from_seq=page.from_seq,
                        to_seq=page.to_seq,
                    ),
                ),
            )
            for page in pages
        ]
    )
