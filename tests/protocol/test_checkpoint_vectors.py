"""The vectors of checkpoints, recomputed by hand and judged by this build."""

from __future__ import annotations

import json
import struct
from typing import Any

import pytest
from scripts.generate_vectors import VECTORS

from roomlog.core.signing import Purpose, verify
from roomlog.protocol.checkpoint import check_checkpoint
from roomlog.protocol.messages import SignedCheckpoint

DOCUMENT: dict[str, Any] = json.loads((VECTORS / "checkpoints.json").read_text(encoding="utf-8"))
SERVER_KEY = bytes.fromhex(DOCUMENT["server_key"])


def entries(part: str) -> list[Any]:
    return [pytest.param(entry, id=entry["name"]) for entry in DOCUMENT[part]]


def shown(entry: dict[str, Any]) -> SignedCheckpoint:
    return SignedCheckpoint(
        lineage=bytes.fromhex(entry["lineage"]),
        epoch=bytes.fromhex(entry["epoch"]),
        seq=entry["seq"],
        frontier=[bytes.fromhex(head) for head in entry["frontier"]],
        signature=bytes.fromhex(entry["signature"]),
    )


@pytest.mark.parametrize("entry", entries("valid"))
def test_a_checkpoint_is_recomputed_by_hand(entry: dict[str, Any]) -> None:
    payload = bytes.fromhex(entry["lineage"] + entry["epoch"])
    payload += struct.pack(">QH", entry["seq"], len(entry["frontier"]))
    payload += bytes.fromhex("".join(entry["frontier"]))
    assert payload.hex() == entry["payload"]
    signature = bytes.fromhex(entry["signature"])
    assert verify(SERVER_KEY, Purpose.CHECKPOINT, payload, signature)
    assert check_checkpoint(SERVER_KEY, shown(entry))


@pytest.mark.parametrize("entry", entries("refused"))
def test_t63_a_checkpoint_that_the_server_did_not_sign_so_is_no_evidence(
    entry: dict[str, Any],
) -> None:
    assert not check_checkpoint(SERVER_KEY, shown(entry))
