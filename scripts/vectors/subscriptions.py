"""Subscriptions: which keys a glob takes, which globs are none, and what travels to a subscriber.

"patterns" each take the keys in "taken" and none of "not_taken". Those of "refused" are
subscription_invalid. "order" has sets as given and in canonical order. "room" is a room's log as
one pack, and for some sets of patterns: the same nodes as they travel, which of them lack their
bodies (by index), and the state hash over the keys of the set.
"""

from __future__ import annotations

from scripts.vectors._material import LINEAGE, ROOM_ID, change, merge

from roomlog.core.node import Node
from roomlog.core.operation import CounterAdd, ListInsert, MapDelete, MapSet, TextInsert
from roomlog.core.pack import Layout, encode_pack
from roomlog.core.patterns import PatternSet
from roomlog.core.replica import Replica
from roomlog.core.subscription import as_subscribed

PATTERNS: list[tuple[str, list[str], list[str]]] = [
    ("a", ["a"], ["b", "a/b", "aa", "A"]),
    ("a/b", ["a/b"], ["a", "b", "a/b/c"]),
    ("*", ["a", "abc", "*", "**", "\u00e9"], ["a/b"]),
    ("a*", ["a", "ab", "a*"], ["ba", "a/b"]),
    ("*a", ["a", "ba", "aa"], ["ab", "b/a"]),
    ("a*b*c", ["abc", "axbyc", "abbcc", "aabbcc"], ["ac", "abcd", "a/b/c"]),
    ("*/b", ["a/b", "b/b"], ["b", "a/a/b"]),
    ("a/*", ["a/b", "a/*"], ["a", "a/b/c"]),
    ("a/**", ["a", "a/b", "a/b/c"], ["b", "ab", "aa/b", "b/a"]),
    ("**", ["a", "a/b", "a/b/c"], []),
    ("**/b", ["b", "a/b", "a/a/b", "b/b"], ["a", "b/a", "ab"]),
    ("a/**/b", ["a/b", "a/x/b", "a/x/y/b", "a/b/b"], ["a", "b", "a/b/c", "ab"]),
    ("**/a/**", ["a", "b/a", "a/b", "c/a/d"], ["b", "ab/c"]),
    ("**/**", ["a", "a/b"], []),
    ("**/*", ["a", "a/b/c"], []),
    ("*/**", ["a", "a/b/c"], []),
    ("*/**/*", ["a/b", "a/b/c"], ["a"]),
    ("?/[ab]/{c}", ["?/[ab]/{c}"], ["x/a/c"]),
    ("\\*", ["\\", "\\x"], ["*"]),
    ("\u00e9/\u6f22*", ["\u00e9/\u6f22", "\u00e9/\u6f22\u5b57"], ["e/\u6f22"]),
]
REFUSED: list[tuple[str, str]] = [
    ("empty", ""),
    ("a slash in front", "/a"),
    ("a slash behind", "a/"),
    ("an empty segment", "a//b"),
    ("two stars beside a letter", "a**"),
    ("two stars before a letter", "x/**b/y"),
    ("three stars", "***"),
    ("a NUL", "a\x00b"),
    ("257 bytes", "a" * 257),
    ("129 characters of two bytes", "\u00e9" * 129),
]


def vectors() -> dict[str, object]:
    """Globs, and a room seen through some."""
    nodes = room()
    return {
        "patterns": [
            {"name": pattern, "taken": taken, "not_taken": not_taken}
            for pattern, taken, not_taken in PATTERNS
        ],
        "refused": [{"name": name, "pattern": pattern} for name, pattern in REFUSED],
        "order": [
            {"given": given, "canonical": list(PatternSet(given).patterns)}
            for given in (
                ["b", "a", "b"],
                ["a/b", "a", "a*", "a/**"],
                ["\U0001f600", "\uff5e", "z"],
            )
        ],
        "room": {
            "lineage": LINEAGE.hex(),
            "pack": encode_pack(nodes, layout=Layout.ROWS).hex(),
            "subscribed": [
                subscribed(nodes, patterns)
                for patterns in (["t"], ["m/**"], ["c", "l"], ["none"], ["**"])
            ],
        },
    }


def room() -> list[Node]:
    """A few nodes of every kind, two of them concurrent."""
    first = change(TextInsert("t", 0, "hello"), MapSet("m/a", 1))
    clock = first.clock
    left = change(MapSet("m/b/c", "left"), CounterAdd("c", 5), parents=[first], clock=clock + 1)
    right = change(
        TextInsert("t", 5, " you"),
        ListInsert("l", b"\x80", "x"),
        parents=[first],
        clock=clock + 2,
        author=1,
    )
    both = merge(*sorted([left, right], key=lambda node: node.id), clock=clock + 3)
    last = change(MapDelete("m/a"), parents=[both], clock=clock + 4, author=1)
    return [first, left, right, both, last]


def subscribed(nodes: list[Node], patterns: list[str]) -> dict[str, object]:
    """The room as it travels to a subscriber, and what that subscriber's state hash is."""
    sent = as_subscribed(nodes, PatternSet(patterns))
    replica = Replica(ROOM_ID, lineage=LINEAGE)
    replica.set_patterns(patterns)
    replica.add_nodes(sent)
    return {
        "name": " ".join(patterns),
        "patterns": patterns,
        "rows": encode_pack(sent, layout=Layout.ROWS).hex(),
        "columns": encode_pack(sent, layout=Layout.COLUMNS).hex(),
        "without_bodies": [index for index, node in enumerate(sent) if node.body is None],
        "state_hash": replica.state_hash().hex,
    }
