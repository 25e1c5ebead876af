"""Names for writes that outlive them: what an undo brings back counts as what it was."""

from __future__ import annotations

from collections.abc import Callable, Collection
from typing import final


@final
class Tokens:
    """A number for each write, by (local version, operation index).

    A write that restores an earlier one is given the earlier one's token, so that older edits in
    a stack still recognise it.
    """

    __slots__ = ("_by_token", "_by_write", "_following")

    def __init__(self) -> None:
        self._by_write: dict[tuple[int, int], int] = {}
        self._by_token: dict[int, tuple[int, int]] = {}
        self._following = 0

    def __len__(self) -> int:
        return len(self._by_write)

    def of(self, lv: int, index: int) -> int:
        """The token of a write, a new one when it has none."""
        token = self._by_write.get((lv, index))
        if token is None:
            token = self._following
            self._following += 1
            self.stand(lv, index, token)
        return token

    def stand(self, lv: int, index: int, token: int) -> None:
        """Let a write stand for the one that `token` was given for."""
        self._by_write[lv, index] = token
        self._by_token[token] = (lv, index)

    def write_of(self, token: int) -> tuple[int, int] | None:
        """The newest write that stands for `token`, None when there is none any more."""
        return self._by_token.get(token)

    def forget_from(self, lv: int) -> None:
        """Forget writes of nodes that will never be."""
        self._load([pair for pair in self._by_write.items() if pair[0][0] < lv])

    def keep(self, tokens: Collection[int | None]) -> None:
        """Forget all other tokens."""
        self._load([pair for pair in self._by_write.items() if pair[1] in tokens])

    def renumber(self, renumbered: Callable[[int], int]) -> None:
        """Take other local versions for the same nodes; negative ones are gone."""
        moved: list[tuple[tuple[int, int], int]] = []
        for (lv, index), token in self._by_write.items():
            new = renumbered(lv)
            if new >= 0:
                moved.append(((new, index), token))
        self._load(moved)

    def _load(self, pairs: list[tuple[tuple[int, int], int]]) -> None:
        """Hold these, of which the last one for a token is the newest."""
        self._by_write = dict(pairs)
        self._by_token = {token: write for write, token in pairs}
