"""Ed25519 under purposes, and what libsodium refuses."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from roomlog.core.signing import Purpose, signed_bytes, verify
from roomlog.identity import Identity

IDENTITY = Identity.from_seed(b"\x07" * 32)
GROUP_ORDER = (1 << 252) + 27742317777372353535851937790883648493
# The eight points of small order, as libsodium's blacklist has them (canonical encodings).
SMALL_ORDER = [
    "0000000000000000000000000000000000000000000000000000000000000000",
    "0100000000000000000000000000000000000000000000000000000000000000",
    "26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05",
    "26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc85",
    "c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a",
    "c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac03fa",
    "ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
    "0000000000000000000000000000000000000000000000000000000000000080",
]


def test_a_signature_covers_purpose_and_payload() -> None:
    assert signed_bytes(Purpose.NODE, b"id") == b"roomlog/node/v1\x00id"
    signature = IDENTITY.sign(Purpose.NODE, b"id")
    assert verify(IDENTITY.public_key, Purpose.NODE, b"id", signature)
    assert not verify(IDENTITY.public_key, Purpose.NODE, b"ie", signature)
    for purpose in (Purpose.HELLO, Purpose.WELCOME):
        assert not verify(IDENTITY.public_key, purpose, b"id", signature)


@given(st.binary(max_size=70), st.binary(max_size=70))
def test_bad_bytes_are_false_and_never_an_exception(key: bytes, signature: bytes) -> None:
    assert not verify(key, Purpose.NODE, b"id", signature)


def test_t2_zero_and_absent_signatures_do_not_hold() -> None:
    for signature in (b"", bytes(63), bytes(64), bytes(65), b"\x01" + bytes(63)):
        assert not verify(IDENTITY.public_key, Purpose.NODE, b"id", signature)


@pytest.mark.parametrize("point", SMALL_ORDER)
def test_t2_small_order_keys_and_r_do_not_hold(point: str) -> None:
    small = bytes.fromhex(point)
    # With a small-order key and S = 0, R = identity satisfies the bare equation for some payloads.
    for number in range(64):
        payload = bytes([number])
        assert not verify(small, Purpose.NODE, payload, b"\x01" + bytes(63))
        assert not verify(small, Purpose.NODE, payload, small + bytes(32))
    valid = IDENTITY.sign(Purpose.NODE, b"id")
    assert not verify(IDENTITY.public_key, Purpose.NODE, b"id", small + valid[32:])


def test_t2_a_signature_with_s_plus_the_group_order_does_not_hold() -> None:
    signature = IDENTITY.sign(Purpose.NODE, b"id")
    scalar = int.from_bytes(signature[32:], "little") + GROUP_ORDER
    malleated = signature[:32] + scalar.to_bytes(32, "little")
    assert not verify(IDENTITY.public_key, Purpose.NODE, b"id", malleated)


def test_t2_a_key_that_is_not_reduced_does_not_hold() -> None:
    # p + 1 and p + 2 in 255 bits: encodings of field elements that have a smaller one.
    prime = (1 << 255) - 19
    for excess in (1, 3, 9):
        key = (prime + excess).to_bytes(32, "little")
        assert not verify(key, Purpose.NODE, b"id", IDENTITY.sign(Purpose.NODE, b"id"))
