"""Byte strings between byte strings: positions as base-256 fractions.

A byte string is the fraction 0.b1 b2 b3 ... Every string made here differs from both bounds within
its own length, so whatever is appended to it stays between them.
"""

from typing import Final

_WIDE_GAP: Final = 1 << 16
"""A level of digits is used when it leaves at least this much room, so that neighbours still to
come fit at the same length."""


def between(
    lower: bytes, upper: bytes | None, distance: int, *, from_upper: bool, max_bytes: int
) -> bytes | None:
    """A short string s with lower < s + anything < upper, at most ``max_bytes`` long.

    ``lower`` b"" is the start and ``upper`` None the end; between start and end the middle is
    taken. Otherwise s lies at most ``distance`` steps of its last digit from ``lower``, or from
    ``upper`` if ``from_upper``. None when there is no such string: the bounds are equal as
    fractions, or too close for ``max_bytes``.
    """
    digits = _common_prefix_bytes(lower, upper) + 1
    while True:
        if digits > max_bytes:
            return None
        low = _digits_of(lower, digits)
        high = 1 << (8 * digits) if upper is None else _digits_of(upper, digits)
        gap = high - low
        if gap >= _WIDE_GAP or (digits == max_bytes and gap > 1):
            break
        digits += 1
    step = gap // 2
    if (lower or upper is not None) and distance < step:
        step = distance
    value = high - step if from_upper else low + step
    return value.to_bytes(digits, "big")


def spread(lower: bytes, upper: bytes | None, count: int, max_bytes: int) -> list[bytes] | None:
    """``count`` strings like those of `between`, in order and as far apart as they can be.

    None when they do not fit into ``max_bytes``.
    """
    digits = _common_prefix_bytes(lower, upper) + 1
    while digits <= max_bytes:
        low = _digits_of(lower, digits)
        high = 1 << (8 * digits) if upper is None else _digits_of(upper, digits)
        step = (high - low) // (count + 1)
        if step >= _WIDE_GAP:
            return [(low + step * rank).to_bytes(digits, "big") for rank in range(1, count + 1)]
        digits += 1
    return None


def _common_prefix_bytes(lower: bytes, upper: bytes | None) -> int:
    """How many leading digits cannot differ; absent digits are zero."""
    if upper is None:
        return 0
    count = 0
    for digit in upper:
        if digit != (lower[count] if count < len(lower) else 0):
            return count
        count += 1
    return count


def _digits_of(fraction: bytes, digits: int) -> int:
    return int.from_bytes(fraction[:digits].ljust(digits, b"\x00"), "big")
