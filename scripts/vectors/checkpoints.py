"""Checkpoints: what a server signs about its log, and what a client may show it later.

"payload" is made of the fields before it; the signature covers it with the purpose "checkpoint".
"frontier" is as shown: ascending, each id once, at most 1,024. Those of "refused" are no evidence
to the server of "server_seed", each for the reason given.
"""

from __future__ import annotations

from blake3 import blake3
from scripts.vectors._material import LINEAGE

from roomlog.core.signing import Purpose
from roomlog.identity import Identity
from roomlog.protocol.checkpoint import checkpoint_payload

SERVER_SEED = bytes([9]) * 32
SERVER = Identity.from_seed(SERVER_SEED)
EPOCH = bytes(range(64, 80))
IDS = sorted(blake3(bytes([number])).digest() for number in range(3))


def vectors() -> dict[str, object]:
    """Checkpoints that hold, and some that do not."""
    held = checkpoint("three heads", seq=260_000, frontier=IDS)
    other_server = Identity.from_seed(bytes([8]) * 32)
    return {
        "server_seed": SERVER_SEED.hex(),
        "server_key": SERVER.public_key.hex(),
        "valid": [
            checkpoint("an empty log"),
            checkpoint("one head", seq=1, frontier=IDS[:1]),
            held,
            checkpoint("the greatest seq", seq=2**63 - 1, frontier=IDS[:2]),
        ],
        "refused": [
            checkpoint("signed by another server", seq=1, frontier=IDS[:1], signer=other_server),
            checkpoint("signed as a welcome", seq=1, frontier=IDS[:1], purpose=Purpose.WELCOME),
            {**held, "name": "a greater seq than was signed", "seq": 260_001},
            {**held, "name": "another epoch than was signed", "epoch": EPOCH[::-1].hex()},
            {**held, "name": "another lineage than was signed", "lineage": bytes(32).hex()},
            {**held, "name": "a head left out", "frontier": [head.hex() for head in IDS[:2]]},
            {
                **held,
                "name": "heads in another order",
                "frontier": [head.hex() for head in IDS[::-1]],
            },
            checkpoint("one head twice, and signed so", seq=2, frontier=[IDS[0], IDS[0]]),
        ],
    }


def checkpoint(
    name: str,
    *,
    seq: int = 0,
    frontier: list[bytes] | None = None,
    signer: Identity = SERVER,
    purpose: Purpose = Purpose.CHECKPOINT,
) -> dict[str, object]:
    """One checkpoint with everything that enters it."""
    heads = frontier or []
    payload = checkpoint_payload(lineage=LINEAGE, epoch=EPOCH, seq=seq, frontier=heads)
    return {
        "name": name,
        "lineage": LINEAGE.hex(),
        "epoch": EPOCH.hex(),
        "seq": seq,
        "frontier": [head.hex() for head in heads],
        "payload": payload.hex(),
        "signature": signer.sign(purpose, payload).hex(),
    }
