"""Checkpoints: what they cover, when a session gets one, and what they prove."""

from __future__ import annotations

from typing import Any

import pytest

from roomlog.core.signing import Purpose, verify
from roomlog.identity import Identity
from roomlog.protocol.checkpoint import (
    MOST_FRONTIER_IDS,
    Checkpoints,
    check_checkpoint,
    checkpoint_payload,
    is_log_lost,
    sign_checkpoint,
)
from roomlog.protocol.messages import SignedCheckpoint
from tests.protocol.session_driver import EPOCH, LINEAGE, SERVER, Facts

FACTS: dict[str, Any] = {"lineage": LINEAGE, "epoch": EPOCH, "seq": 9, "frontier": [b"b" * 32]}


def shown(**changed: Any) -> SignedCheckpoint:
    facts = {**FACTS, **changed}
    signature = sign_checkpoint(SERVER, **facts)
    assert signature is not None
    return SignedCheckpoint(**facts, signature=signature)


def test_the_frontier_is_signed_in_ascending_order_however_it_is_given() -> None:
    heads = [bytes([each]) * 32 for each in (3, 1, 2)]
    payload = checkpoint_payload(lineage=LINEAGE, epoch=EPOCH, seq=1, frontier=heads)
    assert payload.endswith(b"\x00\x03" + b"".join(sorted(heads)))
    signature = sign_checkpoint(SERVER, lineage=LINEAGE, epoch=EPOCH, seq=1, frontier=heads)
    assert signature is not None
    assert verify(SERVER.public_key, Purpose.CHECKPOINT, payload, signature)


def test_a_frontier_too_wide_for_a_hello_has_no_checkpoint() -> None:
    heads = [number.to_bytes(32, "big") for number in range(MOST_FRONTIER_IDS + 1)]
    facts = {**FACTS, "frontier": heads[1:]}
    assert sign_checkpoint(SERVER, **facts) is not None
    assert sign_checkpoint(SERVER, **{**FACTS, "frontier": heads}) is None


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("lineage", b"x" * 32),
        ("epoch", b"x" * 16),
        ("seq", 8),
        ("seq", 10),
        ("frontier", []),
        ("frontier", [b"c" * 32]),
        ("frontier", [b"b" * 32, b"b" * 32]),
        ("signature", b"\0" * 64),
    ],
)
def test_t63_a_changed_checkpoint_is_no_evidence(field: str, value: object) -> None:
    checkpoint = shown()
    assert check_checkpoint(SERVER.public_key, checkpoint)
    setattr(checkpoint, field, value)
    assert not check_checkpoint(SERVER.public_key, checkpoint)


def test_t63_a_checkpoint_of_another_server_is_no_evidence() -> None:
    assert not check_checkpoint(Identity.from_seed(b"o" * 32).public_key, shown())


def test_a_log_is_lost_when_it_lacks_any_head_that_was_signed() -> None:
    room = Facts(5)
    held, lost = room.id_at(3), room.id_at(6)
    assert not is_log_lost(shown(frontier=[]), room)
    assert not is_log_lost(shown(frontier=[held]), room)
    assert is_log_lost(shown(frontier=[lost]), room)
    assert is_log_lost(shown(frontier=[held, lost]), room)


def test_t63_a_checkpoint_of_another_lineage_says_nothing_of_this_log() -> None:
    assert not is_log_lost(shown(lineage=b"x" * 32, frontier=[Facts().id_at(99)]), Facts(5))


def test_a_session_hears_once_an_interval_and_only_of_a_log_that_has_grown() -> None:
    room = Facts(5)
    checkpoints = Checkpoints(5, 1_000, interval_ms=500)
    assert checkpoints.due(room, 1_500) is None
    room.head_seq = 6
    assert checkpoints.due(room, 1_999) is None
    due = checkpoints.due(room, 2_000)
    assert due is not None
    assert (due.seq, due.frontier) == (6, [room.id_at(6)])
    as_shown = SignedCheckpoint(
        lineage=due.lineage,
        epoch=due.epoch,
        seq=due.seq,
        frontier=due.frontier,
        signature=due.signature,
    )
    assert check_checkpoint(SERVER.public_key, as_shown)
    assert checkpoints.newest(room) is None
    room.head_seq = 7
    newest = checkpoints.newest(room)
    assert newest is not None
    assert newest.seq == 7


def test_a_log_that_cannot_be_signed_for_is_passed_over_until_it_can() -> None:
    class Wide(Facts):
        is_wide = True

        def checkpoint_signature(self) -> bytes | None:
            return None if self.is_wide else super().checkpoint_signature()

    room = Wide(5)
    checkpoints = Checkpoints(0, 0, interval_ms=1)
    assert checkpoints.due(room, 10) is None
    room.is_wide = False
    assert checkpoints.due(room, 20) is not None
