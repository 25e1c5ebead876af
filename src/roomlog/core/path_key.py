"""Path keys: what operations are addressed to."""

from typing import Final

from roomlog.core.errors import InvalidValueError

MAX_KEY_BYTES: Final = 512

# Rooms write the same few keys again and again; the rule is slower than a look-up.
_MAX_RECENT_KEYS: Final = 1024
_recently_valid_keys: Final[set[str]] = set()


def check_key(key: str) -> None:
    """Raise `InvalidValueError` unless ``key`` is a path key.

    A path key has 1 to 512 bytes of UTF-8, no NUL and no empty segment between slashes.
    """
    problem = key_problem(key)
    if problem:
        raise InvalidValueError(f"key {key!r}: {problem}")


def check_segment(key: str) -> None:
    """Raise `InvalidValueError` unless ``key`` is a path key without "/".

    Handles take single segments, so that a name which comes from a person never reaches into
    another path; whole paths are written through ``map("")`` alone.
    """
    check_key(key)
    if "/" in key:
        raise InvalidValueError(f"key {key!r}: not one path segment")


def key_problem(key: str) -> str:
    """What is wrong with a path key, or nothing."""
    if key in _recently_valid_keys:
        return ""
    problem = _first_key_problem(key)
    if not problem:
        if len(_recently_valid_keys) >= _MAX_RECENT_KEYS:
            _recently_valid_keys.clear()
        _recently_valid_keys.add(key)
    return problem


def _first_key_problem(key: str) -> str:
    if type(key) is not str:
        return "not a str"
    if not key:
        return "empty"
    if len(key) > MAX_KEY_BYTES:
        return f"longer than {MAX_KEY_BYTES} bytes"
    if not key.isascii():
        try:
            size_bytes = len(key.encode())
        except UnicodeEncodeError:
            return "lone surrogate"
        if size_bytes > MAX_KEY_BYTES:
            return f"longer than {MAX_KEY_BYTES} bytes"
    if "\x00" in key:
        return "holds a NUL"
    if key[0] == "/" or key[-1] == "/" or "//" in key:
        return "an empty segment"
    return ""
