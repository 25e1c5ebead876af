"""What presence and signals may carry."""

from __future__ import annotations

import datetime
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from roomlog.core.reject import Reject, RejectClass
from roomlog.protocol import messages
from roomlog.protocol.codec import Codec, client_frames, encode
from roomlog.protocol.presence_data import MOST_DEPTH, check_data

DATA = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**64 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=5) | st.dictionaries(st.text(max_size=8), inner),
    max_leaves=20,
)


def refusal(data: object, most_bytes: int = 4096) -> Reject:
    with pytest.raises(Reject) as refused:
        check_data(data, most_bytes, RejectClass.PRESENCE_TOO_LARGE)
    return refused.value


@given(data=DATA)
def test_what_is_accepted_is_carried_unchanged_by_both_codecs(data: object) -> None:
    check_data(data, 1 << 20, RejectClass.PRESENCE_TOO_LARGE)
    for codec in Codec:
        shown = messages.Presence(data=data)
        assert client_frames(codec).read(encode(codec, shown)) == shown


@given(data=DATA, most_bytes=st.integers(0, 60))
def test_exactly_what_is_longer_than_the_limit_as_messagepack_is_too_large(
    data: object, most_bytes: int
) -> None:
    if len(msgspec.msgpack.encode(data)) <= most_bytes:
        check_data(data, most_bytes, RejectClass.PRESENCE_TOO_LARGE)
    else:
        assert refusal(data, most_bytes).reject_class is RejectClass.PRESENCE_TOO_LARGE


@pytest.mark.parametrize(
    ("data", "field"),
    [
        (b"bytes", "data"),
        (float("nan"), "data"),
        (float("inf"), "data"),
        (2**64, "data"),
        (-(2**63) - 1, "data"),
        (datetime.datetime(2026, 1, 1), "data"),
        (msgspec.msgpack.Ext(5, b""), "data"),
        ({1: "a"}, "data"),
        ([1, {"a": [0, b"x"]}], "data[1].a[1]"),
        ({"k" * 99: b""}, "data." + "k" * 32),
    ],
)
def test_what_is_no_data_is_refused_with_its_place(data: object, field: str) -> None:
    reject = refusal(data)
    assert reject.reject_class is RejectClass.INVALID_FIELD
    assert reject.detail["field"] == field


@pytest.mark.parametrize("wrap", [lambda inner: [inner], lambda inner: {"a": inner}])
def test_lists_and_maps_lie_at_most_16_deep(wrap: Any) -> None:
    data: object = 1
    for _ in range(MOST_DEPTH):
        data = wrap(data)
    check_data(data, 4096, RejectClass.PRESENCE_TOO_LARGE)
    reject = refusal(wrap(data))
    assert reject.reject_class is RejectClass.INVALID_FIELD
    assert "deeper" in str(reject.detail["reason"])


def test_a_huge_value_is_left_before_it_is_looked_through() -> None:
    class Counted(list[object]):
        seen = 0

        def __iter__(self) -> Any:
            for each in super().__iter__():
                self.seen += 1
                yield each

    data = Counted([[None] * 10 for _ in range(100_000)])
    assert refusal(data, 4096).reject_class is RejectClass.PRESENCE_TOO_LARGE
    assert data.seen < 1000
