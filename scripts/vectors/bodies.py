"""Bodies: operations with their canonical MessagePack, and bytes that are no body.

An operation is its array. In values, {"bytes": hex}, {"float": hex of the big-endian float64} and
{"map": [[key, value], ...]} stand for what JSON does not tell apart. Every entry of "hostile" is
refused with its class.
"""

from __future__ import annotations

import math

from scripts.vectors._material import as_json

from roomlog.core.operation import (
    CounterAdd,
    ItemReference,
    ListDelete,
    ListInsert,
    ListMove,
    ListUpdate,
    MapDelete,
    MapSet,
    MapSetBlob,
    Operation,
    TextDelete,
    TextInsert,
    UnknownOperation,
    encode_body,
)

_HASH = bytes(range(32))
_ITEM = ItemReference(_HASH, 300)

VALID: dict[str, list[Operation]] = {
    "merge": [],
    "map set": [MapSet("users/alice", {"name": "Alice", "age": 41, "tags": ["a", "b"]})],
    "map delete": [MapDelete("users/alice")],
    "map set-blob": [MapSetBlob("avatar", _HASH, 70_000, "image/png")],
    "counter": [CounterAdd("votes", 1), CounterAdd("votes", -(1 << 53))],
    "list": [
        ListInsert("todo", b"\x80", "milk"),
        ListMove("todo", ItemReference(None, 0), b"\x40\x01"),
        ListUpdate("todo", ItemReference(None, 0), "oat milk"),
        ListDelete("todo", ItemReference(None, 0)),
        ListMove("todo", _ITEM, b"\xff" * 128),
        ListUpdate("todo", _ITEM, None),
        ListDelete("todo", _ITEM),
    ],
    "text": [TextInsert("notes", 0, "h\u00e9llo \U0001f600"), TextDelete("notes", 1, 2)],
    "text with NUL and combining mark": [TextInsert("notes", 70_000, "\0e\u0301")],
    "largest text position": [TextDelete("notes", (1 << 64) - 1, (1 << 64) - 1)],
    "unknown kinds": [UnknownOperation(11, "k", []), UnknownOperation(65_535, "k", [[1], "x"])],
    "longest key": [MapSet("k" * 512, True)],
    "key of one slash path": [MapSet("a/\u00e9/\U0001f600", False)],
    "integers": [
        MapSet("k", [0, 127, 128, 255, 256, 65_535, 65_536, (1 << 32) - 1, 1 << 32, (1 << 64) - 1]),
        MapSet("k", [-1, -32, -33, -128, -129, -32_768, -32_769, -(1 << 31), -(1 << 31) - 1]),
        MapSet("k", -(1 << 63)),
    ],
    "floats": [MapSet("k", [0.0, -0.0, 1.5, math.inf, -math.inf, math.nan, 5e-324])],
    "map keys in the order of their bytes": [
        MapSet("k", {"\uffff": 1, "\U00010000": 2, "": 3, "b": 4, "aa": 5})
    ],
    "widths of strings and binary": [MapSet("k", ["x" * 31, "x" * 32, "x" * 256, b"", b"y" * 256])],
    "widths of arrays and maps": [
        MapSet("k", [[1] * 15, [1] * 16, dict.fromkeys("abcdefghijklmno", 1)]),
        MapSet("k", dict.fromkeys("abcdefghijklmnop", 1)),
    ],
    "sixteen operations": [MapDelete("k")] * 16,
    "longest media type": [MapSetBlob("k", _HASH, (1 << 64) - 1, "m" * 255)],
    "least number of an integer": [MapSet("k", -(1 << 63))],
    "index of an operation of another node": [ListDelete("k", ItemReference(_HASH, (1 << 64) - 1))],
    "deepest nesting": [MapSet("k", [[[[[[[[[[[[[[]]]]]]]]]]]]]])],
}

HOSTILE: dict[str, str] = {
    "empty": "",
    "not an array": "80",
    "not an array of arrays": "9101",
    "empty operation": "9190",
    "kind without key": "919101",
    "kind 0": "919200a16b",
    "kind 65536": "9192ce00010000a16b",
    "negative kind": "9192ffa16b",
    "kind true": "9192c3a16b",
    "key is binary": "919202c4016b",
    "empty key": "919202a0",
    "key with NUL": "919202a26b00",
    "key with empty segment": "919202a3612f2f",
    "key longer than 512 bytes": "919202da0201" + "6b" * 513,
    "field missing": "919201a16b",
    "field left over": "919302a16b01",
    "counter of 0": "919304a16b00",
    "counter of a float": "919304a16bcb3ff0000000000000",
    "counter beyond 2^53": "919304a16bcf0020000000000001",
    "blob hash of 31 bytes": "919503a16bc41f" + "00" * 31 + "01a161",
    "blob size negative": "919503a16bc420" + "00" * 32 + "ffa161",
    "blob media type of 256 bytes": "919503a16bc420" + "00" * 32 + "01da0100" + "6d" * 256,
    "list position empty": "919405a16bc40001",
    "list position of 129 bytes": "919405a16bc481" + "70" * 129 + "01",
    "item not earlier": "919308a16b00",
    "item not earlier: itself": "929405a16bc40170019308a16b01",
    "item index negative": "919308a16b92c420" + "00" * 32 + "ff",
    "item of three": "919308a16b93c420" + "00" * 32 + "0000",
    "item a string": "919308a16ba178",
    "item id of 31 bytes": "919308a16b92c41f" + "00" * 31 + "00",
    "text empty": "919409a16b00a0",
    "text position negative": "919409a16bffa178",
    "text position a float": "919409a16bcb0000000000000000a178",
    "text of invalid UTF-8": "919409a16b00a2c328",
    "text with a surrogate": "919409a16b00a3eda080",
    "text delete of 0": "91940aa16b0000",
    "integer not shortest": "919409a16bcc00a178",
    "string not shortest": "919409a16b00d90178",
    "array not shortest": "dc00019202a16b",
    "binary not shortest": "919405a16bc500017001",
    "map not shortest": "919301a16bde0001a16101",
    "float32": "919301a16bca3fc00000",
    "NaN of other bits": "919301a16bcbfff8000000000000",
    "map unsorted": "919301a16b82a16201a16102",
    "map with a key twice": "919301a16b82a16101a16102",
    "map with an integer key": "919301a16b810102",
    "extension": "919301a16bd40500",
    "timestamp": "919301a16bd6ff00000000",
    "kind a float": "9192cb3ff0000000000000a16b",
    "maps nested 17 deep": "919301a16b" + "81a16b" * 14 + "80",
    "array of 16 not shortest": "919301a16bdd00000010" + "01" * 16,
    "nested 17 deep": "919301a16b" + "91" * 14 + "90",
    "nested very deep": "91" * 5_000,
    "array of 2^32-1 elements": "ddffffffff",
    "truncated": "919409a16b00a5782020",
    "trailing byte": "919202a16b00",
    "reserved byte": "919301a16bc1",
}


def vectors() -> dict[str, object]:
    """Valid and hostile bodies."""
    return {
        "valid": [
            {
                "name": name,
                "operations": [as_json(operation.wire()) for operation in operations],
                "body": encode_body(operations).hex(),
            }
            for name, operations in VALID.items()
        ],
        "hostile": [
            {"name": name, "body": body, "class": "body_invalid"} for name, body in HOSTILE.items()
        ],
    }
