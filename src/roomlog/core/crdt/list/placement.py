"""Where a new or moved item goes: a policy of writers. Merging never depends on it.

A position is ``fraction + suffix + rest``. The fraction lies between the neighbours, the suffix
is six bytes of the author and clock so that independent inserts do not tie, and the rest orders
the items of one node's run: they nest below the run's first suffix, so that concurrent runs do
not interleave.
"""

from typing import Final, final

from roomlog.core.crdt.list.fraction import between, spread
from roomlog.core.crdt.list.item import ListItem
from roomlog.core.crdt.list.order import ItemOrder
from roomlog.core.operation import MAX_LIST_POSITION_BYTES

SUFFIX_BYTES: Final = 6
FIRST_REST: Final = b"\x80"
_MAX_FRACTION_BYTES: Final = 100
_MAX_SPREAD_BYTES: Final = 64
"""Items that are moved apart get room for many inserts between them."""

_MAX_RUN_SPREAD_BYTES: Final = 20
"""The same within a run, whose prefix takes up to 106 bytes."""


@final
class Placement:
    """A position for one item, and which neighbours must move first to make room for it.

    ``run_prefix_bytes`` is how much of the position a run shares: its suffix ends there.
    ``shifted`` has (item, new position, its run prefix).
    """

    __slots__ = ("position", "run_prefix_bytes", "shifted")

    def __init__(self, position: bytes, run_prefix_bytes: int) -> None:
        self.position = position
        self.run_prefix_bytes = run_prefix_bytes
        self.shifted: list[tuple[ListItem, bytes, int]] = []


def place(
    order: ItemOrder, index: int, suffix: bytes, open_lv: int, distance: int, *, from_upper: bool
) -> Placement:
    """The place for an item that shall become ``order[index]``.

    Items placed by nodes from ``open_lv`` on belong to the node being written: beside them the
    new item joins their run. Otherwise it starts a run at most ``distance`` steps from the left
    neighbour, or from the right one if ``from_upper``.

    No fraction is ever chosen beside an open node's position, so the suffix of all positions of
    that node can still be replaced without changing their order.
    """
    left = order.at(index - 1) if index > 0 else None
    right = order.at(index) if index < len(order) else None
    if left is not None and left.position_lv >= open_lv:
        return _join(order, index, left.position[: left.run_prefix_bytes], from_upper=False)
    if right is not None and right.position_lv >= open_lv:
        return _join(order, index, right.position[: right.run_prefix_bytes], from_upper=True)
    fraction = between(
        b"" if left is None else left.position,
        None if right is None else right.position,
        distance,
        from_upper=right is not None and (left is None or from_upper),
        max_bytes=_MAX_FRACTION_BYTES,
    )
    if fraction is not None:
        return Placement(fraction + suffix + FIRST_REST, len(fraction) + SUFFIX_BYTES)
    return _make_room(order, index, suffix, open_lv)


def _join(order: ItemOrder, index: int, prefix: bytes, *, from_upper: bool) -> Placement:
    """A place in the run of ``prefix``, of which at least one neighbour is a part."""
    lower = _rest_at(order, index - 1, prefix)
    upper = _rest_at(order, index, prefix)
    size = len(prefix)
    rest = between(
        lower or b"", upper, 1, from_upper=from_upper, max_bytes=MAX_LIST_POSITION_BYTES - size
    )
    if rest is not None:
        return Placement(prefix + rest, size)
    width = 1
    while True:
        start = index
        while start > index - width and _rest_at(order, start - 1, prefix) is not None:
            start -= 1
        stop = index
        while stop < index + width and _rest_at(order, stop, prefix) is not None:
            stop += 1
        fractions = spread(
            _rest_at(order, start - 1, prefix) or b"",
            _rest_at(order, stop, prefix),
            stop - start + 1,
            _MAX_RUN_SPREAD_BYTES,
        )
        if fractions is not None:
            positions = [prefix + fraction for fraction in fractions]
            return _spread_out(order, start, index, positions, size)
        width *= 2


def _rest_at(order: ItemOrder, index: int, prefix: bytes) -> bytes | None:
    """What follows ``prefix`` in the position of the item at ``index``, if that is in the run."""
    if not 0 <= index < len(order):
        return None
    position = order.at(index).position
    return position[len(prefix) :] if position.startswith(prefix) else None


def _make_room(order: ItemOrder, index: int, suffix: bytes, open_lv: int) -> Placement:
    """Move the smallest run of neighbours that lets the new item in, evenly apart."""
    length = len(order)
    width = 1
    while True:
        for before, after in ((0, width), (width, 0), (width, width)):
            start = max(0, index - before)
            while start > 0 and order.at(start - 1).position_lv >= open_lv:
                start -= 1
            stop = min(length, index + after)
            while stop < length and order.at(stop).position_lv >= open_lv:
                stop += 1
            fractions = spread(
                order.at(start - 1).position if start > 0 else b"",
                order.at(stop).position if stop < length else None,
                stop - start + 1,
                _MAX_SPREAD_BYTES,
            )
            if fractions is not None:
                positions = [fraction + suffix + FIRST_REST for fraction in fractions]
                return _spread_out(order, start, index, positions, len(fractions[0]) + SUFFIX_BYTES)
        width *= 2


def _spread_out(
    order: ItemOrder, start: int, index: int, positions: list[bytes], run_prefix_bytes: int
) -> Placement:
    """The new item takes the position that leaves the items before ``index`` before it."""
    own_rank = index - start
    placement = Placement(positions[own_rank], run_prefix_bytes)
    for rank, position in enumerate(positions):
        if rank != own_rank:
            item = order.at(start + rank - (1 if rank > own_rank else 0))
            placement.shifted.append((item, position, run_prefix_bytes))
    return placement
