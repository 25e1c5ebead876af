"""Which node has which seq in the log that a client holds."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator, Sequence
from typing import final

from roomlog.core.graph import Graph


@final
class LogPlaces:
    """Ids by seq, of one epoch, in stretches: it takes what it holds, not what a seq claims.

    A stretch is usually all there is. Gaps are what an older local store did not write down, what
    lies below a snapshot, and what acks name ahead of the relay.
    """

    def __init__(self, epoch: bytes | None = None) -> None:
        self.epoch = epoch
        """Of the log that the numbers belong to; None while there is none."""
        self._starts: list[int] = []
        self._stretches: list[list[bytes]] = []

    def id_at(self, seq: int) -> bytes | None:
        """The node with this seq, None when it is not known."""
        at = bisect_right(self._starts, seq) - 1
        if at < 0:
            return None
        offset = seq - self._starts[at]
        stretch = self._stretches[at]
        return stretch[offset] if offset < len(stretch) else None

    @property
    def last_seq(self) -> int:
        """The greatest seq with a known node, 0 for none."""
        return self._starts[-1] + len(self._stretches[-1]) - 1 if self._starts else 0

    def __len__(self) -> int:
        """How many places are known."""
        return sum(map(len, self._stretches))

    def stretches(self) -> Iterator[tuple[int, Sequence[bytes]]]:
        """What is known, ascending: the first seq, and the ids from there on."""
        return zip(self._starts, self._stretches, strict=True)

    def hold(self, from_seq: int, ids: Sequence[bytes]) -> None:
        """Take note that the log has `ids` from `from_seq` on; what was said before gives way."""
        if not ids:
            return
        starts, stretches = self._starts, self._stretches
        at = bisect_right(starts, from_seq) - 1
        if at >= 0 and from_seq <= starts[at] + len(stretches[at]):
            offset = from_seq - starts[at]
            stretches[at][offset : offset + len(ids)] = ids
        else:
            at += 1
            starts.insert(at, from_seq)
            stretches.insert(at, list(ids))
        self._join_from(at)

    def _join_from(self, at: int) -> None:
        """Let a stretch take in those that it reaches."""
        starts, stretches = self._starts, self._stretches
        end = starts[at] + len(stretches[at])
        while at + 1 < len(starts) and starts[at + 1] <= end:
            following = stretches.pop(at + 1)
            stretches[at].extend(following[end - starts.pop(at + 1) :])
            end = starts[at] + len(stretches[at])

    def cut(self, seq: int, epoch: bytes) -> None:
        """Forget what lies beyond `seq`; the rest is the log of `epoch` as well."""
        self.epoch = epoch
        starts, stretches = self._starts, self._stretches
        while starts and starts[-1] > seq:
            starts.pop()
            stretches.pop()
        if starts:
            del stretches[-1][seq - starts[-1] + 1 :]


@final
class ClientLog:
    """The log and graph of a client, as a session asks about them (`HeldLog`)."""

    def __init__(self, places: LogPlaces, graph: Graph) -> None:
        self._places = places
        self._graph = graph

    @property
    def graph(self) -> Graph:
        """Everything held, in the order in which it came."""
        return self._graph

    def id_at(self, seq: int) -> bytes | None:
        """The node with this seq, None when it is not known."""
        return self._places.id_at(seq)
