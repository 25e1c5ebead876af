"""Small changes inside of decoded values, for mutators that write them well-formed again."""

from __future__ import annotations

from random import Random
from typing import Final

MOST_DEPTH: Final = 20

INTERESTING: Final[tuple[object, ...]] = (
    None,
    True,
    False,
    0,
    1,
    -1,
    11,
    127,
    128,
    255,
    256,
    65_535,
    65_536,
    (1 << 53) - 1,
    1 << 53,
    (1 << 53) + 1,
    -(1 << 53) - 1,
    (1 << 63) - 1,
    1 << 63,
    -(1 << 63),
    (1 << 64) - 1,
    0.0,
    -0.0,
    1.5,
    float("inf"),
    float("nan"),
    "",
    "a",
    "a/b",
    "é",
    "\U0001f600",
    "k" * 513,
    "0",
    "-1",
    "-0",
    b"",
    b"\x80",
    bytes(32),
    b"\xff" * 32,
    bytes(31),
    bytes(129),
    [],
    {},
    [[]],
    {"a": {}},
)


def edited_value(value: object, random: Random, depth: int = 0) -> object:
    """A value that differs from `value` in one place, or in a few."""
    if depth < MOST_DEPTH and isinstance(value, list) and value and random.random() < 0.9:
        return _edited_list(value, random, depth)
    if depth < MOST_DEPTH and isinstance(value, dict) and value and random.random() < 0.9:
        return _edited_dict(value, random, depth)
    return _replaced(value, random)


def _edited_list(value: list[object], random: Random, depth: int) -> object:
    edited = list(value)
    place = random.randrange(len(edited))
    dice = random.random()
    if dice < 0.65:
        edited[place] = edited_value(edited[place], random, depth + 1)
    elif dice < 0.75:
        edited.insert(place, random.choice(edited))
    elif dice < 0.85:
        del edited[place]
    elif dice < 0.92:
        other = random.randrange(len(edited))
        edited[place], edited[other] = edited[other], edited[place]
    else:
        edited.insert(place, random.choice(INTERESTING))
    return edited


def _edited_dict(value: dict[object, object], random: Random, depth: int) -> object:
    edited = dict(value)
    key = random.choice(list(edited))
    dice = random.random()
    if dice < 0.8:
        edited[key] = edited_value(edited[key], random, depth + 1)
    elif dice < 0.9:
        del edited[key]
    else:
        edited[random.choice(["", "a", "type", "ref", "room"])] = random.choice(INTERESTING)
    return edited


def _replaced(value: object, random: Random) -> object:
    dice = random.random()
    if dice < 0.35:
        return random.choice(INTERESTING)
    if isinstance(value, bool) or value is None:
        return random.choice(INTERESTING)
    if isinstance(value, int):
        return value + random.choice([-1, 1, -256, 256, 1 << random.randrange(64)])
    if isinstance(value, str):
        place = random.randint(0, len(value))
        return value[:place] + random.choice(["a", "/", "*", "é", "\0", ""]) + value[place + 1 :]
    if isinstance(value, bytes):
        place = random.randint(0, len(value))
        return value[:place] + bytes((random.randrange(256),)) + value[place + 1 :]
    return [value]
