"""Edits made up at random: few keys, so that writers meet."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any

MAPS = ("m", "n")
MAP_KEYS = ("a", "b", "c", "dd")
COUNTERS = ("c", "d")
LISTS = ("l", "k")
TEXTS = ("t", "u")
WORDS = (
    "a",
    "bc",
    "hello ",
    "\n",
    "ü",
    "e\u0301",
    "\U0001f469\u200d\U0001f680",
    "\u0000x",
    "z" * 40,
)
VALUES: tuple[Any, ...] = (0, -1, 2**63, 1.5, -0.0, True, None, "", "text", [1, [2, []]], {"k": 1})
BIG_TEXT_TIMES = (300, 9_000, 30_000)
"""Of 10 characters: the last one is more than a node holds."""

PATTERNS = (
    [],
    ["m/**", "once/**"],
    ["t", "c", "once/**"],
    ["*", "once/**"],
    ["n/*", "l", "once/**"],
    ["**"],
)
"""What may be subscribed to; what is written once and for all is always part of it."""

Values = dict[str, Any]


def _map_set(chance: random.Random) -> Values:
    return {
        "do": "map set",
        "prefix": chance.choice(MAPS),
        "key": chance.choice(MAP_KEYS),
        "value": chance.choice(VALUES),
    }


def _map_delete(chance: random.Random) -> Values:
    return {"do": "map delete", "prefix": chance.choice(MAPS), "key": chance.choice(MAP_KEYS)}


def _map_blob(chance: random.Random) -> Values:
    return {
        "do": "map blob",
        "prefix": chance.choice(MAPS),
        "key": chance.choice(MAP_KEYS),
        "number": chance.randrange(1 << 20),
    }


def _counter_add(chance: random.Random) -> Values:
    amount = chance.choice((1, 1, -1, 7, 2**53, -(2**53)))
    return {"do": "counter add", "key": chance.choice(COUNTERS), "amount": amount}


def _list_insert(chance: random.Random) -> Values:
    return {
        "do": "list insert",
        "key": chance.choice(LISTS),
        "at": _place(chance),
        "value": chance.choice(VALUES),
    }


def _list_move(chance: random.Random) -> Values:
    return {
        "do": "list move",
        "key": chance.choice(LISTS),
        "at": _place(chance),
        "to": _place(chance),
    }


def _list_update(chance: random.Random) -> Values:
    return {**_list_insert(chance), "do": "list update"}


def _list_delete(chance: random.Random) -> Values:
    return {"do": "list delete", "key": chance.choice(LISTS), "at": _place(chance)}


def _text_insert(chance: random.Random) -> Values:
    return {
        "do": "text insert",
        "key": chance.choice(TEXTS),
        "at": _place(chance),
        "text": chance.choice(WORDS),
    }


def _text_delete(chance: random.Random) -> Values:
    return {
        "do": "text delete",
        "key": chance.choice(TEXTS),
        "at": _place(chance),
        "length": chance.choice((1, 1, 3, 50)),
    }


def _text_replace(chance: random.Random) -> Values:
    return {**_text_delete(chance), "do": "text replace", "text": chance.choice(WORDS)}


def _place(chance: random.Random) -> int:
    return chance.choice((0, 0, 1, 2, chance.randrange(1_000)))


EDIT_MAKERS: dict[str, Callable[[random.Random], Values]] = {
    "map set": _map_set,
    "map delete": _map_delete,
    "map blob": _map_blob,
    "counter add": _counter_add,
    "list insert": _list_insert,
    "list move": _list_move,
    "list update": _list_update,
    "list delete": _list_delete,
    "text insert": _text_insert,
    "text delete": _text_delete,
    "text replace": _text_replace,
}


def big_edit(chance: random.Random) -> Values:
    """Text that fills a node, or several."""
    times = chance.choice(BIG_TEXT_TIMES)
    return {
        "do": "text insert",
        "key": chance.choice(TEXTS),
        "at": _place(chance),
        "text": "0123456789",
        "times": times,
    }


class EditMaker:
    """Makes edits of the kinds that a run has; `chance` decides."""

    def __init__(self, chance: random.Random) -> None:
        self._chance = chance
        kinds = list(EDIT_MAKERS)
        self._kinds = chance.sample(kinds, chance.randint(2, len(kinds)))

    def edits(self, most: int) -> list[Values]:
        """One edit mostly, at times up to `most`."""
        chance = self._chance
        count = 1 if chance.random() < 0.7 else chance.randint(1, most)
        return [EDIT_MAKERS[chance.choice(self._kinds)](chance) for _ in range(count)]
