"""Rebasing of text edits, second and naive: two naive texts, character by character."""

from __future__ import annotations

from collections.abc import Sequence
from collections.abc import Set as AbstractSet

from tests.oracle.naive_text import Character, NaiveText

Edit = tuple[int, int, str]


def naive_rebase(
    nodes: Sequence[tuple[int, Sequence[int], Sequence[Edit]]],
    dropped: AbstractSet[tuple[int, int]],
    keys: dict[int, bytes],
) -> tuple[dict[tuple[int, int], list[Edit]], str]:
    """What replaces each kept edit that changes, and the text of the history without the dropped.

    A kept insertion goes after the nearest character to its left, in the order of the whole
    history, that its author sees in the new one too. A kept deletion takes its characters that are
    there.
    """
    full = NaiveText()
    new = NaiveText()
    twins: dict[Character, Character] = {}
    changed: dict[tuple[int, int], list[Edit]] = {}
    for handle, parents, edits in nodes:
        full_node = full.open(handle, parents, keys[handle])
        new_node = new.open(handle, parents, keys[handle])
        for index, (position, size, inserted) in enumerate(edits):
            keep = (handle, index) not in dropped
            view = full.visible(full_node.version)
            new_view = new.visible(new_node.version)
            before = set(full.characters())
            new_before = set(new.characters())
            if not full_node.edit(position, size, inserted):
                if keep and (
                    position in range(len(new_view) + 1)
                    and position + size <= len(new_view)
                    and size >= 0
                    and (size or inserted)
                ):
                    changed[handle, index] = []
                continue
            if not keep:
                continue
            if size:
                gone = {twins[item] for item in view[position : position + size] if item in twins}
                replacing: list[Edit] = []
                at = 0
                for item in new_view:
                    if item in gone:
                        if replacing and replacing[-1][0] == at:
                            replacing[-1] = (at, replacing[-1][1] + 1, "")
                        else:
                            replacing.append((at, 1, ""))
                    else:
                        at += 1
            else:
                left = None
                if position:
                    for item in full.characters():
                        if item in before and item in twins and twins[item] in new_view:
                            left = twins[item]
                        if item is view[position - 1]:
                            break
                replacing = [(new_view.index(left) + 1 if left is not None else 0, 0, inserted)]
            if replacing != [(position, size, inserted)]:
                changed[handle, index] = replacing
            for edit in replacing:
                assert new_node.edit(*edit)
            if not size:
                fresh = [item for item in full.characters() if item not in before]
                new_fresh = [item for item in new.characters() if item not in new_before]
                twins.update(zip(fresh, new_fresh, strict=True))
    return changed, new.text()
