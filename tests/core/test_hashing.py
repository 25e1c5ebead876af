"""Keyed BLAKE3."""

from __future__ import annotations

import pytest
from blake3 import blake3

from roomlog.core.hashing import BODY_KEY, KeyedHasher, hash_bytes, serverless_lineage


def test_a_hasher_used_again_and_again_hashes_as_a_fresh_one() -> None:
    key = bytes(range(32))
    hasher = KeyedHasher(key)
    for data in (b"", b"a", b"x" * 5000, b"a"):
        assert hasher.digest(data) == blake3(data, key=key).digest()


@pytest.mark.parametrize("key", [b"", b"k" * 31, b"k" * 33])
def test_a_key_of_another_length_is_the_callers_error(key: bytes) -> None:
    with pytest.raises(ValueError, match="32 bytes"):
        KeyedHasher(key)


def test_the_constants_are_those_of_the_data_model() -> None:
    assert blake3(b"roomlog/body/v1").digest() == BODY_KEY
    assert serverless_lineage("r\u00e9") == blake3(b"roomlog/lineage/v1\x00r\xc3\xa9").digest()
    assert hash_bytes(b"x") == blake3(b"x").digest()
