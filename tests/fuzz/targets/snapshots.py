"""Snapshots: the state's bytes, the facts around them, and a replica that begins with one."""
# ruff: noqa: PT017 - what is refused is looked at in its place: these are checks, not tests.

from __future__ import annotations

from collections.abc import Iterable
from functools import cache
from random import Random

import msgspec

from roomlog.core import canonical
from roomlog.core.clock import CLOCK_LIMIT
from roomlog.core.hashing import hash_bytes
from roomlog.core.node import CHANGE, Node, NodeHasher, make_node
from roomlog.core.operation import (
    CounterAdd,
    ItemReference,
    ListDelete,
    ListMove,
    MapSet,
    Operation,
    TextDelete,
    TextInsert,
)
from roomlog.core.reject import Reject, RejectClass
from roomlog.core.replica import Replica
from roomlog.core.signing import Purpose
from roomlog.core.snapshot.facts import (
    OpenedSnapshot,
    SnapshotFacts,
    check_snapshot,
    encode_frontier,
    sign_snapshot,
)
from roomlog.core.snapshot.format import SnapshotState, decode_state, encode_state
from roomlog.core.snapshot.leaves import leaves_of
from roomlog.core.snapshot.taking import snapshot_state
from roomlog.core.state_hash import hash_leaves
from roomlog.identity import Identity
from tests.fuzz import naive_values
from tests.fuzz.choices import Choices, piece
from tests.fuzz.naive_values import NotCanonical, shown
from tests.fuzz.pack_edits import edited_bytes, edited_pack
from tests.fuzz.target import Target
from tests.fuzz.value_edits import edited_value
from tests.fuzz.vectors import entries

STATE, MESSAGE, HEADS = range(3)
LINEAGE = b"L" * 32
HASHER = NodeHasher(LINEAGE)
SERVER = Identity.from_seed(b"s" * 32)
ADA = Identity.from_seed(b"a" * 32)
SEQ = 9
HASH_BYTES = 32


def check(data: bytes) -> None:
    """The first byte says what the others are."""
    which = data[0] % 3 if data else STATE
    if which == STATE:
        check_state(data[1:])
    elif which == MESSAGE:
        check_message(Choices(data[1:]))
    else:
        check_heads(data[1:])


def check_state(data: bytes) -> None:
    """The one encoding of a state, with which a replica begins that says the same."""
    try:
        state = decode_state(data)
    except Reject as reject:
        assert reject.reject_class is RejectClass.INVALID_FIELD
        assert reject.detail == {"field": "data"}
        return
    assert encode_state(state) == data
    assert fields_of(state) == shown(naive_fields(data)), "the fields are others"
    head = head_at(state.clock)
    opened = opened_with(data, state, [head])
    replica = Replica.from_snapshot("room", ADA, LINEAGE, opened)
    assert replica.state_hash().hex == opened.facts.state_hash.hex()
    assert encode_state(snapshot_state(replica.objects, state.clock)) == data
    if state.clock + 1 < CLOCK_LIMIT:
        check_written_on(replica, state, head)


def fields_of(state: SnapshotState) -> str:
    maps: list[object] = []
    for key, value in state.maps:
        if type(value).__name__ == "BlobReference":
            maps.append([key, 1, [value.hash, value.size_bytes, value.media_type]])  # type: ignore[attr-defined]
        else:
            maps.append([key, 0, value])
    counters = [[key, str(amount)] for key, amount in state.counters]
    return shown(
        [1, state.clock, state.unknown_operations, maps, counters, state.lists, state.texts]
    )


def naive_fields(data: bytes) -> object:
    try:
        # Values may be nested as deeply as in a body, where they lie in one array less.
        return naive_values.read(data, naive_values.MOST_DEPTH + 3)
    except NotCanonical:
        raise AssertionError("not canonical, but taken") from None


@cache
def head_at(clock: int) -> Node:
    """A signed head with that clock."""
    return make_node(HASHER, ADA, CHANGE, clock, [], [CounterAdd("n", 1)])


def opened_with(data: bytes, state: SnapshotState, heads: list[Node]) -> OpenedSnapshot:
    """The snapshot as a client opens it, signed by the server."""
    state_hash, digest = hash_leaves(leaves_of(state)), hash_bytes(data)
    facts = SnapshotFacts(LINEAGE, SEQ, [node.id for node in heads], state_hash, digest)
    return check_snapshot(
        SERVER.public_key,
        LINEAGE,
        SEQ,
        encode_frontier(heads),
        state_hash,
        digest,
        sign_snapshot(SERVER, facts),
        data,
    )


def check_written_on(replica: Replica, state: SnapshotState, head: Node) -> None:
    """The first of each kind can be written on, and reads as it must."""
    operations: list[Operation] = [MapSet("new", 1)]
    if state.texts:
        key, text = state.texts[-1]
        operations.append(TextInsert(key, len(text), "Z"))
        if text:
            operations.append(TextDelete(key, 0, 1))
    if state.counters:
        operations.append(CounterAdd(state.counters[-1][0], 5))
    filled = [(key, items) for key, items in state.lists if items]
    if filled:
        key, items = filled[-1]
        operations.append(ListMove(key, ItemReference(items[0][0], items[0][1]), b"\xff" * 128))
        operations.append(ListDelete(key, ItemReference(items[-1][0], items[-1][1])))
    node = make_node(HASHER, ADA, CHANGE, state.clock + 1, [head.id], operations)
    result = replica.add_nodes([node])
    assert result.accepted == [node.id], result
    after = replica.state()
    assert after["maps"]["new"] == 1
    if state.texts:
        key, text = state.texts[-1]
        assert after["texts"][key] == f"{text}Z"[1 if text else 0 :]
    if state.counters:
        key, amount = state.counters[-1]
        assert after["counters"][key] == amount + 5
    if filled:
        key, items = filled[-1]
        values = [item[3] for item in items]
        expected = values[1:-1] + ([values[0]] if len(values) > 1 else [])
        assert shown(after["lists"][key]) == shown(expected)
    assert len(replica.state_hash().hex) == 64


def check_message(choices: Choices) -> None:
    """A snapshot as it arrives, every field of the input's making, is opened or refused."""
    server_key, lineage = choices.piece(), choices.piece()
    seq = choices.number(8)
    fields = [choices.piece() for _ in range(4)]
    data = choices.rest()
    frontier_pack, state_hash, digest, signature = fields
    if len(lineage) != HASH_BYTES:
        lineage = LINEAGE
    if choices.are_left:
        raise AssertionError("the rest is taken")
    for sealed in (False, True):
        if sealed:
            # What a hostile server would sign: then only what is inside can be refused.
            server_key, digest = SERVER.public_key, hash_bytes(data)
            ids = _ids_of(frontier_pack, lineage)
            facts = SnapshotFacts(lineage, seq, ids, state_hash, digest)
            signature = SERVER.sign(Purpose.SNAPSHOT, facts.payload()) if ids else b""
        try:
            opened = check_snapshot(
                server_key, lineage, seq, frontier_pack, state_hash, digest, signature, data
            )
        except Reject as reject:
            assert reject.reject_class is not RejectClass.INTERNAL
            continue
        assert opened.seq == seq
        assert encode_state(opened.state) == data
        replica = Replica.from_snapshot("room", None, lineage, opened)
        assert replica.state_hash().hex == state_hash.hex()
        assert replica.frontier == opened.facts.frontier


def _ids_of(frontier_pack: bytes, lineage: bytes) -> list[bytes]:
    from roomlog.core.pack import decode_pack

    try:
        return [node.id for node in decode_pack(frontier_pack, NodeHasher(lineage))][:64]
    except Reject:
        return []


def check_heads(data: bytes) -> None:
    """Several heads, some of whose ids name list items: ghosts that are heads, too."""
    choices = Choices(data)
    heads = sorted(
        {
            make_node(HASHER, ADA, CHANGE, 5 + choices.below(2), [], [MapSet("k", number)])
            for number in range(1 + choices.below(5))
        },
        key=lambda node: node.id,
    )
    state = SnapshotState(max(node.clock for node in heads), choices.below(3))
    named = [*(node.id for node in heads), bytes(32), b"\xff" * 32]
    items = {
        (choices.one_of(named), choices.below(3)): choices.take(2) or b"\x80"
        for _ in range(choices.below(8))
    }
    ordered = sorted(
        ((*place, position, place[1]) for place, position in items.items()),
        key=lambda item: (item[2], item[0], item[1]),
    )
    state.lists.append(("l", list(ordered)))
    encoded = encode_state(state)
    opened = opened_with(encoded, decode_state(encoded), heads)
    replica = Replica.from_snapshot("room", ADA, LINEAGE, opened)
    assert replica.state_hash().hex == opened.facts.state_hash.hex()
    assert replica.state()["lists"]["l"] == [item[3] for item in ordered]
    above = [node.id for node in heads]
    operations: list[Operation] = [
        ListDelete("l", ItemReference(item[0], item[1])) for item in ordered[::2]
    ]
    operations.append(MapSet("new", 1))
    node = make_node(HASHER, ADA, CHANGE, state.clock + 1, above, operations)
    assert replica.add_nodes([node]).accepted == [node.id]
    assert replica.state()["lists"]["l"] == [item[3] for item in ordered[1::2]]


def seeds() -> Iterable[bytes]:
    """Every snapshot of the vectors, and every state that is refused."""
    for entry in entries("snapshot", "snapshots", "states"):
        yield bytes((STATE,)) + bytes.fromhex(entry["data"])
    for entry in entries("snapshot", "snapshots", "rejected"):
        fields = ("frontier_pack", "state_hash", "digest", "signature")
        yield b"".join(
            (
                bytes((MESSAGE,)),
                piece(bytes.fromhex(entry["server_key"])),
                piece(bytes.fromhex(entry["lineage"])),
                (int(entry["seq"]) % (1 << 64)).to_bytes(8, "big"),
                *(piece(bytes.fromhex(entry[field])) for field in fields),
                bytes.fromhex(entry["data"]),
            )
        )
    for size in range(1, 40, 6):
        yield bytes((HEADS,)) + bytes(range(size, 2 * size))


def mutate(data: bytes, most_bytes: int, random: Random) -> bytes | None:
    """Change a field of a state, or one field of a message, and write it well-formed again."""
    if not data or data[0] % 3 == HEADS:
        return None
    if data[0] % 3 == STATE:
        state = _edited_state(data[1:], random)
        return None if state is None else data[:1] + state
    choices = Choices(data[1:])
    head = [choices.piece(), choices.piece()]
    seq = choices.take(8)
    fields = [choices.piece() for _ in range(4)]
    state = choices.rest()
    dice = random.random()
    if dice < 0.3:
        fields[0] = edited_pack(fields[0], random) or fields[0]
    elif dice < 0.6:
        place = random.randrange(4)
        fields[place] = edited_bytes(fields[place], random)
    elif dice < 0.7:
        seq = edited_bytes(seq, random)[:8].rjust(8, b"\0")
    else:
        state = _edited_state(state, random) or state
    return b"".join((data[:1], *map(piece, head), seq, *map(piece, fields), state))


def _edited_state(data: bytes, random: Random) -> bytes | None:
    try:
        value = msgspec.msgpack.decode(data)
        return canonical.encode(edited_value(value, random))
    except (msgspec.MsgspecError, ValueError, TypeError, RecursionError):
        return None


TARGET = Target(check, seeds, mutate=mutate)
