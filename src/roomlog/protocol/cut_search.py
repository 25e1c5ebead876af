"""Where two logs of one lineage part, found in two questions at most.

The first one asks at doubling distances from the top, the second one evenly between the greatest
seq that both logs have and the least that they do not. What it costs grows with the logarithm of
the log, what it leaves open is a 64th of what is to be read.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Final, final

from roomlog.protocol.client_events import broken
from roomlog.protocol.messages import RequestEnd

PREFIX_BYTES: Final = 8
"""As much of an id as is sent: enough to tell nodes of one log apart."""

SPACED_PAIRS: Final = 64
"""Pairs of the second question; a JSON frame has room for fewer within the same bytes."""
SPACED_PAIRS_JSON: Final = 44

Pairs = list[tuple[int, bytes]]


@final
class CutSearch:
    """One search. `id_at` is the client's own log, `top_seq` the greatest seq both may have."""

    def __init__(
        self, id_at: Callable[[int], bytes | None], top_seq: int, *, spaced_pairs: int
    ) -> None:
        self.cut = 0
        """The greatest seq at which both logs have the same node, as far as is known."""
        self._id_at = id_at
        self._spaced_pairs = spaced_pairs
        self._is_spaced = False
        self._asked = self._pairs(_doubling_below(top_seq))

    def pairs(self) -> Pairs:
        """What to ask now; empty when the search is over."""
        return self._asked

    def learn(self, end: RequestEnd) -> None:
        """Take the answer to `pairs`. Raises `ServerFault` when it is none."""
        cut = end.cut
        asked = [seq for seq, _ in self._asked]
        if cut is None or (cut != 0 and cut not in asked):
            raise broken("request-end", f"a cut at {cut}, where nothing was asked")
        self.cut = max(self.cut, cut)
        self._asked = []
        above = min((seq for seq in asked if seq > self.cut), default=0)
        if not self._is_spaced and above > 0:
            self._is_spaced = True
            self._asked = self._pairs(_between(self.cut, above, self._spaced_pairs))

    def _pairs(self, seqs: Iterable[int]) -> Pairs:
        pairs: Pairs = []
        for seq in seqs:
            node_id = self._id_at(seq)
            if node_id is not None:
                pairs.append((seq, node_id[:PREFIX_BYTES]))
        return pairs


def _doubling_below(top_seq: int) -> list[int]:
    seqs = [top_seq]
    distance = 1
    while top_seq > distance:
        seqs.append(top_seq - distance)
        distance *= 2
    return seqs


def _between(low_seq: int, high_seq: int, count: int) -> list[int]:
    """At most `count` seqs between these two, evenly spaced, descending."""
    between = high_seq - low_seq - 1
    if between <= count:
        return list(range(high_seq - 1, low_seq, -1))
    return [low_seq + index * (between + 1) // (count + 1) for index in range(count, 0, -1)]
