"""The epochs that a room's log went through, put in order from what is left of their records."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec
from blake3 import blake3
from msgspec import Struct

from roomlog.store.doctor.found_rows import AdmissionRow, WindowRow
from roomlog.store.interface import EPOCH_BYTES, ReconcileWindow


class EpochChain(Struct, frozen=True):
    """The windows of a room that lead to its epoch.

    `made` counts those that had to be made up or changed, and those that were left out.
    """

    windows: tuple[ReconcileWindow, ...]
    epoch: bytes
    made: int

    def epoch_at(self, seq: int) -> bytes:
        """The epoch under which the node with this seq was admitted."""
        for window in self.windows:
            if seq <= window.head_seq:
                return window.old_epoch
        return self.epoch


def newest_epoch(epoch: bytes, rows: Sequence[WindowRow]) -> bytes:
    """The room's epoch: the one in its row, unless that is known to have been renewed since."""
    renewed = {row.window.old_epoch for row in rows if row.window.old_epoch != row.window.new_epoch}
    return rows[-1].window.new_epoch if epoch in renewed else epoch


def chain_of(
    rows: Sequence[WindowRow], admissions: Sequence[AdmissionRow], epoch: bytes, last_seq: int
) -> EpochChain:
    """The windows as they must have been for a log up to `last_seq` under `epoch`.

    `admissions` are the records of it that are left, ascending by seq.
    """
    windows = [row.window for row in rows]
    clamped = [_with_head(each, min(each.head_seq, last_seq)) for each in windows]
    chain = EpochChain(tuple(clamped), epoch, sum(map(_differs, windows, clamped)))
    if _is_chain(clamped, epoch) and all(
        chain.epoch_at(each.to_seq) == each.epoch for each in admissions
    ):
        return chain
    ends = _ends_of_epochs(admissions, epoch)
    made: list[ReconcileWindow] = []
    for index, (old, head_seq) in enumerate(ends):
        new = ends[index + 1][0] if index + 1 < len(ends) else epoch
        # A room that was founded again has a window that leads from its epoch to itself.
        of_both = [each for each in windows if (each.old_epoch, each.new_epoch) == (old, new)]
        of_old = [each for each in windows if each.old_epoch == each.new_epoch == old]
        made += [_with_head(each, min(each.head_seq, head_seq)) for each in of_old]
        made.append(_with_head(of_both[0], head_seq) if of_both else _made_up(old, new, head_seq))
    made += [each for each in clamped if each.old_epoch == each.new_epoch == epoch]
    unique = {each.lost_epoch: each for each in made}
    kept = tuple(each for each in made if unique[each.lost_epoch] is each)
    if not _is_chain(list(kept), epoch):
        kept = tuple(_made_up(*_step(ends, index, epoch)) for index in range(len(ends)))
    changed = sum(each not in windows for each in kept) + sum(each not in kept for each in windows)
    return EpochChain(kept, epoch, max(1, changed))


def _ends_of_epochs(admissions: Sequence[AdmissionRow], epoch: bytes) -> list[tuple[bytes, int]]:
    """Each epoch before `epoch` with the last seq that is known to be of it."""
    ends: list[tuple[bytes, int]] = []
    left: set[bytes] = set()
    for each in admissions:
        if each.epoch == epoch:
            break
        if ends and ends[-1][0] == each.epoch:
            ends[-1] = (each.epoch, each.to_seq)
        elif each.epoch not in left:
            ends.append((each.epoch, each.to_seq))
            left.add(each.epoch)
    return ends


def _step(ends: list[tuple[bytes, int]], index: int, epoch: bytes) -> tuple[bytes, bytes, int]:
    old, head_seq = ends[index]
    return old, ends[index + 1][0] if index + 1 < len(ends) else epoch, head_seq


def _is_chain(windows: list[ReconcileWindow], epoch: bytes) -> bool:
    """What `verify` asks of the windows of a room."""
    current = windows[0].old_epoch if windows else epoch
    head_seq = 0
    for window in windows:
        if window.old_epoch != current or window.head_seq < head_seq:
            return False
        current, head_seq = window.new_epoch, window.head_seq
    return current == epoch


def _made_up(old: bytes, new: bytes, head_seq: int) -> ReconcileWindow:
    """A window of which nothing is left but that there was one; it is over."""
    lost = blake3(b"lost" + old + new).digest()[:EPOCH_BYTES]
    return ReconcileWindow(lost, old, new, head_seq, 0, head_seq, 0, 0)


def _with_head(window: ReconcileWindow, head_seq: int) -> ReconcileWindow:
    return msgspec.structs.replace(window, head_seq=head_seq)


def _differs(left: ReconcileWindow, right: ReconcileWindow) -> bool:
    return left != right
