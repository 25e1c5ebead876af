"""Signatures: Ed25519 over "roomlog/" purpose "/v1" 0x00 payload, and what is refused.

The refused ones pin what implementations of Ed25519 disagree on: S of at least the group order,
R or public key of small order, public keys that are not reduced. Some of them satisfy the
verification equation; they are refused all the same.
"""

from __future__ import annotations

from scripts.vectors._material import IDENTITIES, SEEDS

from roomlog.core.signing import Purpose

GROUP_ORDER = (1 << 252) + 27742317777372353535851937790883648493
SMALL_ORDER_POINTS = [
    "0100000000000000000000000000000000000000000000000000000000000000",
    "0000000000000000000000000000000000000000000000000000000000000000",
    "0000000000000000000000000000000000000000000000000000000000000080",
    "ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
    "26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05",
    "26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc85",
    "c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a",
    "c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac03fa",
]
UNREDUCED_KEYS = {
    "p, for 0": "edffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
    "p + 1, for 1": "eeffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
    "p + 3, for 3": "f0ffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
}
PAYLOAD = bytes(range(32))


def vectors() -> dict[str, object]:
    """Signatures that hold and that do not."""
    identity = IDENTITIES[0]
    entries: list[dict[str, object]] = []

    def add(name: str, key: bytes, purpose: Purpose, signature: bytes, valid: bool) -> None:
        entries.append(
            {
                "name": name,
                "public_key": key.hex(),
                "purpose": purpose.value,
                "payload": PAYLOAD.hex(),
                "signature": signature.hex(),
                "valid": valid,
            }
        )

    key = identity.public_key
    for purpose in Purpose:
        signature = identity.sign(purpose, PAYLOAD)
        add(f"of purpose {purpose.value}", key, purpose, signature, True)
    signature = identity.sign(Purpose.NODE, PAYLOAD)
    scalar = int.from_bytes(signature[32:], "little")
    unreduced = (scalar + GROUP_ORDER).to_bytes(32, "little")
    add("of another purpose", key, Purpose.HELLO, signature, False)
    add("of another author", IDENTITIES[1].public_key, Purpose.NODE, signature, False)
    add("zero", key, Purpose.NODE, bytes(64), False)
    add("empty", key, Purpose.NODE, b"", False)
    add("a byte short", key, Purpose.NODE, signature[:-1], False)
    add("a byte long", key, Purpose.NODE, signature + b"\0", False)
    add("S plus the group order", key, Purpose.NODE, signature[:32] + unreduced, False)
    add("one bit of S", key, Purpose.NODE, signature[:63] + bytes([signature[63] ^ 1]), False)
    for index, point in enumerate(SMALL_ORDER_POINTS):
        small = bytes.fromhex(point)
        add(f"small-order R {index}", key, Purpose.NODE, small + signature[32:], False)
        add(f"small-order R {index}, S 0", key, Purpose.NODE, small + bytes(32), False)
        forged = small + bytes(32)
        add(f"small-order key {index}, R the same, S 0", small, Purpose.NODE, forged, False)
        forged = bytes.fromhex(SMALL_ORDER_POINTS[0]) + bytes(32)
        add(f"small-order key {index}, R neutral, S 0", small, Purpose.NODE, forged, False)
    for name, encoded in UNREDUCED_KEYS.items():
        add(f"key {name}", bytes.fromhex(encoded), Purpose.NODE, signature, False)
    return {"seeds": [seed.hex() for seed in SEEDS], "signatures": entries}
