"""Canonical values, bodies, keys, and what is written as values: anchors, versions, positions."""
# ruff: noqa: PT017 - what is refused is looked at in its place: these are checks, not tests.

from __future__ import annotations

from collections.abc import Iterable
from random import Random

import msgspec

from roomlog.core import canonical
from roomlog.core.anchors import SavedAnchor
from roomlog.core.crdt.list.fraction import between, spread
from roomlog.core.errors import InvalidTypeError, InvalidValueError
from roomlog.core.named_versions import (
    MAX_NOTE_BYTES,
    check_name,
    check_note,
    value_of_version,
    version_of_value,
)
from roomlog.core.operation import (
    MAX_LIST_POSITION_BYTES,
    decode_body,
    encode_body,
)
from roomlog.core.path_key import check_key, check_segment, key_problem
from roomlog.core.reject import Reject, RejectClass
from tests.fuzz import naive_values
from tests.fuzz.choices import Choices, piece
from tests.fuzz.naive_values import NotCanonical, shown
from tests.fuzz.target import Target
from tests.fuzz.value_edits import edited_value
from tests.fuzz.vectors import entries

VALUE, BODY, SAVED, KEY, POSITIONS = range(5)


def check(data: bytes) -> None:
    """The first byte says what the others are."""
    which = data[0] % 5 if data else VALUE
    given = data[1:]
    if which == VALUE:
        check_value(given)
    elif which == BODY:
        check_body(given)
    elif which == SAVED:
        check_saved(given)
    elif which == KEY:
        check_text(given)
    else:
        check_positions(Choices(given))


def check_value(data: bytes) -> None:
    """Both decoders take the same bytes for the same value, which is written as it came."""
    try:
        expected = naive_values.read(data)
    except NotCanonical:
        expected = NotCanonical
    try:
        value = canonical.decode(data)
    except Reject as reject:
        assert reject.reject_class is RejectClass.BODY_INVALID
        assert expected is NotCanonical, f"refused: {reject}"
        return
    assert expected is not NotCanonical, f"taken: {value!r}"
    assert shown(value) == shown(expected)
    assert canonical.encode(value) == data


def check_body(data: bytes) -> None:
    """A body is the one encoding of its operations, and of nothing but an array."""
    try:
        operations = decode_body(data)
    except Reject as reject:
        assert reject.reject_class is RejectClass.BODY_INVALID
        return
    assert encode_body(operations) == data
    rows = [operation.wire() for operation in operations]
    assert shown(naive_values.read(data)) == shown(rows)
    for operation in operations:
        assert key_problem(operation.key) == naive_key_problem(operation.key) == ""


def check_saved(data: bytes) -> None:
    """What is kept in a map for other replicas is read to the same thing, or not at all."""
    try:
        value = canonical.decode(data)
    except Reject:
        return
    version = version_of_value("name", value)
    if version is not None:
        assert shown(value_of_version(version)) == shown(value)
    try:
        anchor = SavedAnchor.from_value(value)
    except InvalidValueError:
        return
    assert shown(anchor.to_value()) == shown(value)
    assert SavedAnchor.from_value(anchor.to_value()) == anchor


def check_text(data: bytes) -> None:
    """Keys, segments, names and notes are judged alike by everybody, surrogates included."""
    text = data.decode("utf-8", errors="surrogateescape")
    problem = key_problem(text)
    assert bool(problem) == bool(naive_key_problem(text)), problem
    assert_raises_iff(bool(problem), lambda: check_key(text))
    is_segment = not problem and "/" not in text
    assert_raises_iff(not is_segment, lambda: check_segment(text))
    assert_raises_iff(not is_segment or len(text.encode()) > 256, lambda: check_name(text))
    has_surrogate = any(0xD800 <= ord(each) < 0xE000 for each in text)
    is_long = has_surrogate or len(text.encode()) > MAX_NOTE_BYTES
    assert_raises_iff(is_long, lambda: check_note(text))


def check_positions(choices: Choices) -> None:
    """A fraction lies strictly between its bounds, with whatever is appended to it."""
    lower, upper = sorted((choices.piece()[:MAX_LIST_POSITION_BYTES], choices.piece()))
    upper = upper[:MAX_LIST_POSITION_BYTES]
    if lower > upper:
        lower, upper = upper, lower
    bound = None if choices.is_one_in(4) else upper
    most_bytes = 1 + choices.below(100)
    distance = 1 + choices.number(3)
    found = between(lower, bound, distance, from_upper=choices.is_one_in(2), max_bytes=most_bytes)
    count = 1 + choices.below(40)
    several = spread(lower, bound, count, most_bytes)
    for fractions in ([] if found is None else [found], several or []):
        assert fractions == sorted(set(fractions))
        for fraction in fractions:
            assert 1 <= len(fraction) <= most_bytes
            assert lower < fraction
            assert bound is None or fraction + b"\xff" * MAX_LIST_POSITION_BYTES < bound
    assert several is None or len(several) == count


def naive_key_problem(key: str) -> str:
    """The rule for path keys, as it is written."""
    try:
        data = key.encode()
    except UnicodeEncodeError:
        return "surrogate"
    is_key = 1 <= len(data) <= 512 and b"\0" not in data and b"" not in data.split(b"/")
    return "" if is_key else "not a key"


def assert_raises_iff(is_wrong: bool, call: object) -> None:
    assert callable(call)
    try:
        call()
    except (InvalidValueError, InvalidTypeError):
        assert is_wrong, "refused"
    else:
        assert not is_wrong, "taken"


def seeds() -> Iterable[bytes]:
    """Every body of the vectors, as a body, and its values by themselves."""
    for entry in entries("bodies", "valid", "hostile"):
        body = bytes.fromhex(entry["body"])
        yield bytes((BODY,)) + body
        yield bytes((VALUE,)) + body
    for entry in entries("snapshot", "states"):
        yield bytes((VALUE,)) + bytes.fromhex(entry["data"])
    ids = [b"\x01" * 32, b"\x02" * 32]
    yield bytes((SAVED,)) + canonical.encode([ids, 7, "left"])
    yield bytes((SAVED,)) + canonical.encode([ids, b"\x03" * 32, 1_700_000_000_000, "a note"])
    for key in ("a/b", "", "/a", "a//b", "é" * 256, "é" * 257, "\ud800", "a\0b"):
        yield bytes((KEY,)) + key.encode("utf-8", errors="surrogatepass")
    yield bytes((POSITIONS,)) + piece(b"\x80") + piece(b"\x80\x00\x01") + bytes(8)
    yield bytes((POSITIONS,)) + piece(b"\x01\xff\xff") + piece(b"\x02") + bytes((1, 99, 0, 9, 9))


def mutate(data: bytes, most_bytes: int, random: Random) -> bytes | None:
    """Change a value inside and write it canonically again."""
    if not data or data[0] % 5 > SAVED:
        return None
    try:
        value = msgspec.msgpack.decode(data[1:])
        return data[:1] + canonical.encode(edited_value(value, random))
    except (msgspec.MsgspecError, ValueError, TypeError, RecursionError):
        return None


TARGET = Target(check, seeds, mutate=mutate)
