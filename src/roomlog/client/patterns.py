"""The patterns of a subscription as an application gives them."""

from __future__ import annotations

from collections.abc import Iterable

from roomlog.core.errors import InvalidTypeError
from roomlog.core.patterns import pattern_set


def checked_patterns(patterns: Iterable[str]) -> tuple[str, ...]:
    """Patterns in canonical order, () for everything. Raises ValueError or TypeError."""
    if isinstance(patterns, str):
        raise InvalidTypeError(f"subscribe: a list of patterns, not {patterns!r}")
    wanted = pattern_set(patterns)
    return () if wanted is None else tuple(wanted.patterns)
