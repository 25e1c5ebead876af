"""Globs over path keys: ``*`` within a segment, ``**`` any number of segments.

All patterns of a set are read together, one byte of the key after the other, as one automaton whose
states are the bits of an integer (bit-parallel simulation: Baeza-Yates and Gonnet, "A new approach
to text searching", 1992). A key costs one step a byte, whatever the patterns are.
"""

from collections.abc import Iterable, Sequence
from typing import Final, final

from roomlog.core.errors import InvalidValueError
from roomlog.core.reject import Reject, RejectClass

MAX_PATTERNS: Final = 64
MAX_PATTERN_BYTES: Final = 256

_MOST_ANSWERS: Final = 1024
"""Keys whose answer is remembered."""
_MOST_RECENT_SETS: Final = 8
_PLACES_A_UNIT: Final = 256
"""A step through so many places more takes about as long again as one through a few."""
_SLASH: Final = 0x2F
_STAR: Final = 0x2A


def pattern_problem(pattern: object) -> str:
    """What is wrong with a pattern, or nothing.

    A pattern is a path key of 1 to 256 bytes in which ``*`` stands for any characters of a segment,
    none included, and a segment ``**`` for any number of segments, none included.
    """
    if not isinstance(pattern, str):
        return "not a str"
    if not pattern:
        return "empty"
    if len(pattern) > MAX_PATTERN_BYTES:
        return f"longer than {MAX_PATTERN_BYTES} bytes"
    try:
        size_bytes = len(pattern.encode())
    except UnicodeEncodeError:
        return "lone surrogate"
    if size_bytes > MAX_PATTERN_BYTES:
        return f"longer than {MAX_PATTERN_BYTES} bytes"
    if "\x00" in pattern:
        return "holds a NUL"
    for segment in pattern.split("/"):
        if not segment:
            return "an empty segment"
        if "**" in segment and segment != "**":
            return "** beside other characters of a segment"
    return ""


@final
class PatternSet:
    """1 to 64 patterns: what a subscription wants. Equal when the patterns are.

    ``patterns`` has them in canonical order: ascending, each once. Raises `InvalidValueError`.

    >>> notes = PatternSet(["notes/**", "users/*/name"])
    >>> notes.matches("notes"), notes.matches("notes/a/b"), notes.matches("users/ada/age")
    (True, True, False)
    """

    __slots__ = (
        "_accepting",
        "_answers",
        "_deep",
        "_literals",
        "_star",
        "_start",
        "patterns",
        "step_cost",
    )

    def __init__(self, patterns: Iterable[str]) -> None:
        given = list(patterns)
        if not given or len(given) > MAX_PATTERNS:
            raise InvalidValueError(f"patterns: 1 to {MAX_PATTERNS}, not {len(given)}")
        for pattern in given:
            problem = pattern_problem(pattern)
            if problem:
                raise InvalidValueError(f"patterns: {pattern!r}: {problem}")
        # The order of code points is that of their UTF-8 bytes.
        self.patterns: tuple[str, ...] = tuple(sorted(set(given)))
        self._answers: dict[str, bool] = {}
        # One bit a place between the bytes of a pattern and one after it. A place is in the mask of
        # what may stand there.
        self._literals: dict[int, int] = {}
        self._star = 0
        self._deep = 0
        self._accepting = 0
        self._start = 0
        places = 0
        for pattern in self.patterns:
            self._start |= 1 << places
            places += self._add(pattern, places)
            self._accepting |= 1 << places
            places += 1
        self._start = self._skip(self._start | (self._start & self._deep) << 1)
        self.step_cost: int = 1 + places // _PLACES_A_UNIT
        """What reading one byte of a key may cost, in steps of a set of a few short patterns."""

    def _add(self, pattern: str, first: int) -> int:
        """Lay out one pattern from place `first` on, a slash behind every segment; its length."""
        # By itself first: what is a few places long costs little to change.
        literals: dict[int, int] = {}
        star = 0
        deep_places = 0
        place = 1
        was_deep = False
        for segment in pattern.encode().split(b"/"):
            if segment == b"**":
                if not was_deep:
                    deep_places |= place
                    place <<= 1
                was_deep = True
                continue
            was_deep = False
            for byte in segment:
                if byte == _STAR:
                    star |= place
                else:
                    literals[byte] = literals.get(byte, 0) | place
                place <<= 1
            literals[_SLASH] = literals.get(_SLASH, 0) | place
            place <<= 1
        for byte, places in literals.items():
            self._literals[byte] = self._literals.get(byte, 0) | places << first
        self._star |= star << first
        self._deep |= deep_places << first
        return place.bit_length() - 1

    def _skip(self, places: int) -> int:
        """These places, and those behind a ``*`` that stands for nothing."""
        return places | (places & self._star) << 1

    def matches(self, key: str) -> bool:
        """Whether any pattern takes the path key ``key``."""
        answer = self._answers.get(key)
        if answer is None:
            answer = self._read(key)
            if len(self._answers) >= _MOST_ANSWERS:
                self._answers.clear()
            self._answers[key] = answer
        return answer

    def _read(self, key: str) -> bool:
        literals, star, deep = self._literals, self._star, self._deep
        places = self._start
        for byte in key.encode() + b"/":
            after = (places & literals.get(byte, 0)) << 1 | places & deep
            if byte == _SLASH:
                # Only here may a ** end: it takes whole segments.
                after |= (after & deep) << 1
            else:
                after |= places & star
            places = self._skip(after)
            if not places:
                return False
        return places & self._accepting != 0

    def __eq__(self, other: object) -> bool:
        return isinstance(other, PatternSet) and other.patterns == self.patterns

    def __hash__(self) -> int:
        return hash(self.patterns)

    def __repr__(self) -> str:
        return f"PatternSet({list(self.patterns)!r})"


def pattern_set(patterns: Iterable[str]) -> PatternSet | None:
    """The set of ``patterns``, None when there are none: everything. Raises `InvalidValueError`."""
    given = tuple(patterns)
    if not given:
        return None
    known = _recent_sets.get(given)
    if known is None:
        known = PatternSet(given)
        if len(_recent_sets) >= _MOST_RECENT_SETS:
            _recent_sets.clear()
        _recent_sets[given] = known
    return known


_recent_sets: dict[tuple[str, ...], PatternSet] = {}
"""Whoever subscribes is asked for the same set several times."""


def parse_patterns(patterns: Sequence[str]) -> PatternSet | None:
    """What a peer subscribes to, None for everything.

    Raises `Reject` (subscription_invalid), whose detail names the pattern.
    """
    if len(patterns) > MAX_PATTERNS:
        raise Reject(
            RejectClass.SUBSCRIPTION_INVALID,
            f"{len(patterns)} patterns, at most {MAX_PATTERNS}",
            {"patterns": len(patterns)},
        )
    for index, pattern in enumerate(patterns):
        problem = pattern_problem(pattern)
        if problem:
            shown = pattern[:MAX_PATTERN_BYTES].encode(errors="replace").decode()
            raise Reject(
                RejectClass.SUBSCRIPTION_INVALID,
                f"pattern {index}: {problem}",
                {"index": index, "pattern": shown, "reason": problem},
            )
    return pattern_set(patterns)


@final
class KeySelection:
    """Keys that every set of ``within`` takes and ``beyond`` does not."""

    __slots__ = ("_beyond", "_within")

    def __init__(self, within: Iterable[PatternSet], beyond: PatternSet | None = None) -> None:
        self._within = tuple(within)
        self._beyond = beyond

    def matches(self, key: str) -> bool:
        """Whether ``key`` is one of them."""
        if self._beyond is not None and self._beyond.matches(key):
            return False
        return all(patterns.matches(key) for patterns in self._within)
