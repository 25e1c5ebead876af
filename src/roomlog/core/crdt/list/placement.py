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


@final
class Placement:
    """A position for one item, and which neighbours must move first to make room for it.

    ``run_prefix_bytes`` is how much of the position a run shares: its suffix ends there.
    ``shifted`` has (item, new position, its run prefix). ``is_beside_open`` says that the fraction
    was chosen beside positions of the node being written, whose suffix must then stay.
    """

    __slots__ = ("is_beside_open", "position", "run_prefix_bytes", "shifted")

    def __init__(self, position: bytes, run_prefix_bytes: int, *, is_beside_open: bool) -> None:
        self.position = position
        self.run_prefix_bytes = run_prefix_bytes
        self.is_beside_open = is_beside_open
        self.shifted: list[tuple[ListItem, bytes, int]] = []


def place(
    order: ItemOrder, index: int, suffix: bytes, open_lv: int, distance: int, *, from_upper: bool
) -> Placement:
    """The place for an item that shall become ``order[index]``.

    Items placed by nodes from ``open_lv`` on belong to the node being written: beside them the
    new item joins their run. Otherwise it starts a run at most ``distance`` steps from the left
    neighbour, or from the right one if ``from_upper``.
    """
    left = order.at(index - 1) if index > 0 else None
    right = order.at(index) if index < len(order) else None
    joined = _join(left, right, open_lv)
    if joined is not None:
        return joined
    fraction = between(
        b"" if left is None else left.position,
        None if right is None else right.position,
        distance,
        from_upper=right is not None and (left is None or from_upper),
        max_bytes=_MAX_FRACTION_BYTES,
    )
    if fraction is not None:
        is_beside_open = (left is not None and left.position_lv >= open_lv) or (
            right is not None and right.position_lv >= open_lv
        )
        return Placement(
            fraction + suffix + FIRST_REST,
            len(fraction) + SUFFIX_BYTES,
            is_beside_open=is_beside_open,
        )
    return _make_room(order, index, suffix)


def _join(left: ListItem | None, right: ListItem | None, open_lv: int) -> Placement | None:
    """A place in the run of an open neighbour, if there is one and it has room."""
    if left is not None and left.position_lv >= open_lv:
        size = left.run_prefix_bytes
        prefix = left.position[:size]
        upper: bytes | None = None
        if right is not None and right.position[:size] == prefix:
            upper = right.position[size:]
        rest = between(
            left.position[size:],
            upper,
            1,
            from_upper=False,
            max_bytes=MAX_LIST_POSITION_BYTES - size,
        )
        if rest is not None:
            return Placement(prefix + rest, size, is_beside_open=False)
    if right is not None and right.position_lv >= open_lv:
        size = right.run_prefix_bytes
        prefix = right.position[:size]
        if left is None or left.position[:size] != prefix:
            rest = between(
                b"",
                right.position[size:],
                1,
                from_upper=True,
                max_bytes=MAX_LIST_POSITION_BYTES - size,
            )
            if rest is not None:
                return Placement(prefix + rest, size, is_beside_open=False)
    return None


def _make_room(order: ItemOrder, index: int, suffix: bytes) -> Placement:
    """Move the smallest run of neighbours that lets the new item in, evenly apart."""
    length = len(order)
    width = 1
    while True:
        for before, after in ((0, width), (width, 0), (width, width)):
            start = max(0, index - before)
            stop = min(length, index + after)
            fractions = spread(
                order.at(start - 1).position if start > 0 else b"",
                order.at(stop).position if stop < length else None,
                stop - start + 1,
                _MAX_SPREAD_BYTES,
            )
            if fractions is not None:
                return _spread_out(order, start, index, fractions, suffix)
        width *= 2


def _spread_out(
    order: ItemOrder, start: int, index: int, fractions: list[bytes], suffix: bytes
) -> Placement:
    positions = [fraction + suffix + FIRST_REST for fraction in fractions]
    prefix_bytes = len(fractions[0]) + SUFFIX_BYTES
    placement = Placement(positions[index - start], prefix_bytes, is_beside_open=True)
    for rank, position in enumerate(positions):
        if rank == index - start:
            continue
        item = order.at(start + rank - (1 if rank > index - start else 0))
        placement.shifted.append((item, position, prefix_bytes))
    return placement
