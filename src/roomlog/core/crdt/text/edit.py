"""One edit of a text and the figures a document keeps about its merging."""

from typing import final


@final
class TextEdit:
    """One change of a text: a deletion or an insertion, never both.

    Positions and lengths are in Unicode scalar values. As input, `position` is in the author's view
    after the earlier edits of the same node; as an effect, in the visible text after the earlier
    effects.
    """

    __slots__ = ("delete_length", "inserted", "position")

    def __init__(self, position: int, delete_length: int, inserted: str) -> None:
        self.position: int = position
        self.delete_length: int = delete_length
        self.inserted: str = inserted

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, TextEdit):
            return NotImplemented
        return (
            self.position == other.position
            and self.delete_length == other.delete_length
            and self.inserted == other.inserted
        )

    def __hash__(self) -> int:
        return hash((self.position, self.delete_length, self.inserted))

    def __repr__(self) -> str:
        return f"TextEdit({self.position}, {self.delete_length}, {self.inserted!r})"


@final
class TextStats:
    """Counted work of one document, for metrics and for guards that need no clock.

    `local_versions`, `moved` (switched off or on to stand at another version), `rebuilt` (walked
    again in a new walk) and `caught_up` (walked late, after going into the text directly) are in
    local versions: one for each character inserted or deleted. `rebuilds` counts walks begun,
    `collisions` comparisons of tie-break keys, `span_limit_drops` walks given up for their size.
    """

    __slots__ = (
        "caught_up",
        "collisions",
        "local_versions",
        "moved",
        "rebuilds",
        "rebuilt",
        "span_limit_drops",
        "walker_spans",
        "walker_spans_max",
    )

    def __init__(self) -> None:
        self.local_versions: int = 0
        self.moved: int = 0
        self.rebuilt: int = 0
        self.caught_up: int = 0
        self.rebuilds: int = 0
        self.collisions: int = 0
        self.span_limit_drops: int = 0
        self.walker_spans: int = 0
        self.walker_spans_max: int = 0
