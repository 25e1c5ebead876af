"""What people and operators write: patterns, addresses, configuration, points, key files."""
# ruff: noqa: PT017 - what is refused is looked at in its place: these are checks, not tests.

from __future__ import annotations

import atexit
import os
import re
import tempfile
from collections.abc import Iterable
from functools import cache
from pathlib import Path
from random import Random
from typing import Final

from roomlog.cli.failure import Failure, UsageFailure
from roomlog.cli.history import History
from roomlog.cli.point import nodes_at
from roomlog.client.address import Address
from roomlog.core.errors import IdentityFileError, InvalidValueError
from roomlog.core.node import CHANGE, Node, make_node
from roomlog.core.operation import MapSet
from roomlog.core.path_key import key_problem
from roomlog.core.patterns import PatternSet, parse_patterns, pattern_problem
from roomlog.core.reject import Reject, RejectClass
from roomlog.identity import Identity
from roomlog.server.config import (
    CONFIG_KEYS,
    ConfigError,
    load_config,
    normal_origin,
    split_bind,
)
from roomlog.server.routes import ROOM_ID
from tests.fuzz.built_nodes import AUTHORS, HASHER, LINEAGE
from tests.fuzz.target import Target
from tests.fuzz.vectors import entries

PATTERNS, CONFIG, ADDRESS, BIND, ROOM, POINT, KEY_FILE, VARIABLES = range(8)
MOST_STEP_COST: Final = 130
"""All places of the longest patterns there may be, 256 a unit."""
_SHARED_MEMORY: Final = "/dev/shm"


def check(data: bytes) -> None:
    """The first byte says what the others are; most are text."""
    which = data[0] % 8 if data else PATTERNS
    given = data[1:]
    text = given.decode("utf-8", errors="surrogateescape")
    if which == PATTERNS:
        check_patterns(text)
    elif which == CONFIG:
        check_config(given)
    elif which == ADDRESS:
        check_address(text)
    elif which == BIND:
        check_bind(text)
    elif which == ROOM:
        check_room_id(text)
    elif which == POINT:
        check_point(text)
    elif which == KEY_FILE:
        check_key_file(given)
    else:
        check_variables(text)


def check_patterns(text: str) -> None:
    """Lines: a key, then patterns. The set takes the key if the definition does."""
    key, *patterns = text.split("\n")
    for pattern in patterns:
        assert bool(pattern_problem(pattern)) == bool(naive_pattern_problem(pattern)), pattern
    try:
        patterns_set = parse_patterns(patterns)
    except Reject as reject:
        assert reject.reject_class is RejectClass.SUBSCRIPTION_INVALID
        assert len(patterns) > 64 or any(map(naive_pattern_problem, patterns))
        return
    if not patterns:
        assert patterns_set is None
        return
    assert patterns_set is not None
    assert list(patterns_set.patterns) == sorted(set(patterns))
    assert 1 <= patterns_set.step_cost <= MOST_STEP_COST
    if not key_problem(key):
        expected = any(naive_matches(pattern, key) for pattern in patterns)
        assert patterns_set.matches(key) is expected
        assert patterns_set.matches(key) is expected
        reversed_set = PatternSet(reversed(patterns))
        assert reversed_set == patterns_set


def naive_pattern_problem(pattern: str) -> str:
    """The rule for patterns, as it is written."""
    try:
        data = pattern.encode()
    except UnicodeEncodeError:
        return "surrogate"
    segments = data.split(b"/")
    is_pattern = 1 <= len(data) <= 256 and b"\0" not in data and b"" not in segments
    is_pattern &= all(b"**" not in segment or segment == b"**" for segment in segments)
    return "" if is_pattern else "not a pattern"


def naive_matches(pattern: str, key: str) -> bool:
    """The definition: segment by segment, what remains of either."""
    segments, names = pattern.split("/"), key.split("/")
    # reachable[j]: the pattern so far takes the first j names.
    reachable = [True] + [False] * len(names)
    for segment in segments:
        if segment == "**":
            for at in range(1, len(names) + 1):
                reachable[at] |= reachable[at - 1]
            continue
        following = [False] * (len(names) + 1)
        for at, name in enumerate(names):
            following[at + 1] = reachable[at] and naive_glob(segment, name)
        reachable = following
    return reachable[-1]


def naive_glob(segment: str, name: str) -> bool:
    """Whether a segment takes a name: which beginnings of it, one sign after the other."""
    lengths = {0}
    for sign in segment:
        if sign == "*":
            lengths = set(range(min(lengths), len(name) + 1)) if lengths else lengths
        else:
            lengths = {at + 1 for at in lengths if name[at : at + 1] == sign}
    return len(name) in lengths


def check_config(data: bytes) -> None:
    """A file is a configuration, or refused by a key; the environment wins over it."""
    path = scratch() / "roomlog.toml"
    path.write_bytes(data)
    try:
        config = load_config({}, {}, path)
    except ConfigError as error:
        assert error.key
        assert error.problem
        return
    assert set(config.sources) == {key.name for key in CONFIG_KEYS}
    assert set(config.sources.values()) <= {"default", "file"}
    for name in ("tick_ms", "drain_deadline_ms", "snapshot_every_ms"):
        # As it is used: in seconds.
        assert getattr(config, name) / 1_000 >= 0
    again = load_config({}, {"ROOMLOG_TICK_MS": "77"}, path)
    assert (again.tick_ms, again.sources["tick_ms"]) == (77, "environment")


def check_variables(text: str) -> None:
    """Lines: name=value, as variables and as flags. Both are judged alike."""
    named = dict(line.partition("=")[::2] for line in text.split("\n") if "=" in line)
    variables = {f"ROOMLOG_{name.upper()}": value for name, value in named.items()}
    variables.pop("ROOMLOG_CONFIG", None)
    from_variables = outcome({}, variables)
    flags = {name: value for name, value in named.items() if name == name.lower()}
    if len(flags) == len(named) == len(variables):
        assert (from_variables is None) == (outcome(flags, {}) is None)


def outcome(flags: dict[str, str], variables: dict[str, str]) -> object:
    try:
        return load_config(flags, variables)
    except ConfigError as error:
        assert str(error).startswith(f"{error.key}: ")
        return None


def check_address(text: str) -> None:
    """What a client calls the origin is what the server's configuration calls it."""
    try:
        address = Address(text)
    except InvalidValueError:
        address = None
    try:
        origin = normal_origin(text)
    except ConfigError:
        origin = None
    if origin is not None:
        assert normal_origin(origin) == origin
    if address is not None:
        assert address.room_url("r").startswith(f"{address.origin}/")
        assert normal_origin(address.origin) == address.origin
        if origin is not None:
            assert address.origin == origin


def check_bind(text: str) -> None:
    """Host and port, which written together again are read again."""
    try:
        host, port = split_bind(text)
    except ConfigError:
        return
    assert host
    assert 0 <= port <= 65_535
    if "]" not in host and "[" not in host:
        again = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
        assert split_bind(again) == (host, port)


def check_room_id(text: str) -> None:
    """1 to 128 letters, digits and four marks."""
    letters = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._~-"
    expected = 1 <= len(text) <= 128 and all(each in letters for each in text)
    assert (ROOM_ID.fullmatch(text) is not None) == expected


@cache
def small_history() -> History:
    """A log of a few nodes, with times of admission."""
    nodes: list[Node] = []
    for clock in range(1, 9):
        parents = [nodes[-1].id] if nodes else []
        operation = MapSet("k", clock)
        nodes.append(make_node(HASHER, AUTHORS[0], CHANGE, clock, parents, [operation]))
    admissions = [(3, 1_700_000_000_000), (8, 1_700_000_100_000)]
    return History("source", "room", LINEAGE, nodes, is_log=True, admissions=admissions)


def check_point(text: str) -> None:
    """A point of the history, or a failure that says what is wrong."""
    history = small_history()
    try:
        nodes = nodes_at(history, text)
    except (Failure, UsageFailure) as failure:
        assert str(failure).startswith("--at: ")
        return
    assert nodes == [node for node in history.nodes if node in nodes]


def check_key_file(data: bytes) -> None:
    """64 hexadecimal digits and a newline, of which the identity writes the same file."""
    path = scratch() / "identity.key"
    path.unlink(missing_ok=True)
    with open(os.open(path, os.O_WRONLY | os.O_CREAT, 0o600), "wb") as file:
        file.write(data)
    is_key = re.fullmatch(rb"[0-9a-fA-F]{64}\n", data) is not None
    try:
        identity = Identity.load(path)
    except IdentityFileError:
        assert not is_key
        return
    assert is_key
    copy = scratch() / "copy.key"
    copy.unlink(missing_ok=True)
    identity.save(copy)
    assert copy.read_bytes() == data.lower()


@cache
def scratch() -> Path:
    """A directory for the files of this process, in memory where there is such a place."""
    parent = _SHARED_MEMORY if os.path.isdir(_SHARED_MEMORY) else None
    directory = tempfile.TemporaryDirectory(prefix="roomlog-fuzz-", dir=parent)
    atexit.register(directory.cleanup)
    return Path(directory.name)


def seeds() -> Iterable[bytes]:
    """The vectors' patterns, a file of every key, and texts of each form."""
    for entry in entries("subscriptions", "patterns"):
        for key in (*entry["taken"][:2], *entry["not_taken"][:2]):
            yield bytes((PATTERNS,)) + f"{key}\n{entry['name']}".encode()
    for entry in entries("subscriptions", "refused"):
        pattern = entry["pattern"].encode("utf-8", errors="surrogatepass")
        yield bytes((PATTERNS,)) + b"k\n" + pattern
    yield bytes((PATTERNS,)) + b"a/b/c\n**/b/**\na*c\n*/*\n**/**"
    yield bytes((PATTERNS,)) + b"a" * 30 + b"\n" + b"*a" * 20 + b"b"
    lines = []
    for key in CONFIG_KEYS:
        default = key.default
        if isinstance(default, bool):
            value = str(default).lower()
        elif isinstance(default, int):
            value = str(default)
        else:
            value = f'"{default}"' if isinstance(default, str) else "[]"
        lines.append(f"{key.name} = {value}")
        yield bytes((CONFIG,)) + lines[-1].encode()
        yield bytes((VARIABLES,)) + f"{key.name}={str(default).lower()}".encode()
    yield bytes((CONFIG,)) + "\n".join(lines).encode()
    for origin in ("ws://a", "WSS://Example.org:443/", "http://[::1]:80", "ws://a:1/b?c"):
        yield bytes((ADDRESS,)) + origin.encode()
        yield bytes((VARIABLES,)) + f"public_origins={origin}".encode()
    for bind in ("127.0.0.1:7878", "[::1]:0", "a:65536", ":1", "::1:2", "a:" + "9" * 20):
        yield bytes((BIND,)) + bind.encode()
        yield bytes((VARIABLES,)) + f"bind={bind}".encode()
    for room in ("room", "a" * 128, "a" * 129, "a\n", "a/b", "é", ".~_-"):
        yield bytes((ROOM,)) + room.encode()
    first = small_history().nodes[0].id.hex()
    points = ("3", "seq:9", "2024-05-01T12:00:00Z", "1700000050000", "time:x", first[:8])
    for point in (
        *points,
        f"ids:{first},{first[:4]}",
        "0001-01-01",
        "",
        "9999-12-31T23:59:59-23:59",
    ):
        yield bytes((POINT,)) + point.encode()
    yield bytes((KEY_FILE,)) + b"0a" * 32 + b"\n"
    yield bytes((KEY_FILE,)) + b"0a" * 31 + b"  \n"


def mutate(data: bytes, most_bytes: int, random: Random) -> bytes | None:
    """Put words of the languages in question somewhere."""
    if not data:
        return None
    words = (b"*", b"**", b"/", b"/**", b"\n", b":", b"[", b"]", b"ws://", b"wss://", b"=", b'"')
    words += (b"ids:", b"seq:", b"time:", b",", b"-1", b"_", b"true", b"T", b"Z", b"[[", b"]]")
    words += (b"9" * random.choice([1, 5, 20, 400]), "é".encode(), "٣".encode(), b"\xff", b"@")
    words += tuple(key.name.encode() for key in CONFIG_KEYS)
    place = random.randint(1, len(data))
    return data[:place] + random.choice(words) + data[place + random.choice([0, 0, 1, 4]) :]


TARGET = Target(check, seeds, most_bytes=6000, mutate=mutate)
