"""Anchors of a document's texts."""

from __future__ import annotations

from typing import Protocol, final

from roomlog.core.anchors import Anchor, SavedAnchor, Side
from roomlog.core.replica import Replica


class CommittingContext(Protocol):
    """What an anchor needs from its document."""

    def committed(self) -> Replica:
        """The replica, its open edits made a node. Raises `TransactionError` inside of one."""


@final
class DocumentAnchor:
    """A place between two characters of a text that stays between them, whoever edits.

    When what surrounds it is deleted, it stays where that was. It follows its text while it is
    referred to. Made by `DocumentText.anchor` and `DocumentText.resolve`.
    """

    def __init__(self, context: CommittingContext, anchor: Anchor) -> None:
        self._context = context
        self._anchor = anchor

    @property
    def position(self) -> int:
        """Where it is now, in scalar values."""
        return self._anchor.position

    @property
    def side(self) -> Side:
        """To which side of what is inserted right there it goes: "left" or "right"."""
        return self._anchor.side

    @property
    def key(self) -> str:
        """The path key of the text."""
        return self._anchor.key

    def save(self) -> SavedAnchor:
        """The place as it is now, to be found again by `DocumentText.resolve`.

        Edits so far become a node first. Raises `TransactionError` inside of a transaction.
        """
        self._context.committed()
        return self._anchor.save()

    def __repr__(self) -> str:
        return f"DocumentAnchor({self.key!r}, {self.position}, {self.side!r})"
