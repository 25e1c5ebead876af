"""Nodes that are not what they say: forged, bent, stolen, from elsewhere, or from another time."""

from __future__ import annotations

from collections.abc import Callable

import msgspec

from roomlog.core.clock import CLOCK_LIMIT, UNITS_PER_MS
from roomlog.core.node import CHANGE, MAX_NODE_BYTES, MERGE, Node, encode_header
from roomlog.core.operation import MapSet, TextInsert
from roomlog.core.pack import Layout, PackBlocks, encode_pack
from roomlog.core.pack.rows import encode_body_rows, encode_header_rows
from roomlog.core.reject import RejectClass
from roomlog.core.signing import Purpose
from tests.simulation.hostile.attack import Attacker, attack
from tests.simulation.hostile.raw_session import RawSession

DAY_UNITS = 24 * 3600 * 1000 * UNITS_PER_MS

Forger = Callable[[Attacker, RawSession], tuple[list[Node], bytes]]
"""The nodes of a pack that must all be refused, and its bytes."""
FORGERIES: dict[str, tuple[Forger, tuple[RejectClass, ...]]] = {}


def forgery(*classes: RejectClass) -> Callable[[Forger], Forger]:
    """Register one, with what it may be refused for."""

    def register(function: Forger) -> Forger:
        FORGERIES[function.__name__.replace("_", " ")] = (function, classes)
        return function

    return register


def bent(session: RawSession, *, sign: bool = True, **fields: object) -> Node:
    """A node with any fields at all, its id and signature made for them."""
    honest = session.write()
    values: dict[str, object] = {
        "author": honest.author,
        "clock": honest.clock,
        "kind": honest.kind,
        "parents": honest.parents,
        "body": honest.body,
        **fields,
    }
    body, parents = values["body"], values["parents"]
    assert isinstance(body, bytes)
    assert isinstance(parents, tuple)
    body_hash = session.hasher.body_hash(body)
    header = encode_header(
        values["kind"],  # type: ignore[arg-type]
        values["author"],  # type: ignore[arg-type]
        values["clock"],  # type: ignore[arg-type]
        parents,
        body_hash,
    )
    node_id = session.hasher.node_id(header)
    assert session.identity is not None
    signature = session.identity.sign(Purpose.NODE, node_id) if sign else bytes(64)
    return Node(
        node_id,
        values["author"],  # type: ignore[arg-type]
        values["clock"],  # type: ignore[arg-type]
        values["kind"],  # type: ignore[arg-type]
        parents,
        body_hash,
        body,
        signature,
    )


def packed(*nodes: Node) -> tuple[list[Node], bytes]:
    """As an honest writer would pack them."""
    return list(nodes), encode_pack(nodes, layout=Layout.ROWS)


@forgery(RejectClass.SIGNATURE_INVALID)
def a_signature_of_nobody(attacker: Attacker, session: RawSession) -> tuple[list[Node], bytes]:
    return packed(bent(session, sign=False))


@forgery(RejectClass.SIGNATURE_INVALID, RejectClass.AUTHOR_NOT_SESSION)
def the_name_of_another(attacker: Attacker, session: RawSession) -> tuple[list[Node], bytes]:
    victim = attacker.victim() or attacker.stranger().public_key
    return packed(bent(session, author=victim))


@forgery(RejectClass.SIGNATURE_INVALID)
def the_signature_of_another_node(
    attacker: Attacker, session: RawSession
) -> tuple[list[Node], bytes]:
    one, other = session.write(), session.write()
    one.signature = other.signature
    return packed(one)


@forgery(RejectClass.SIGNATURE_INVALID)
def a_signature_for_another_purpose(
    attacker: Attacker, session: RawSession
) -> tuple[list[Node], bytes]:
    node = session.write()
    node.signature = attacker.identity.sign(Purpose.HELLO, node.id)
    return packed(node)


@forgery(RejectClass.SIGNATURE_MISSING)
def no_signature(attacker: Attacker, session: RawSession) -> tuple[list[Node], bytes]:
    node = session.write()
    return [node], encode_pack([node], signatures=False)


@forgery(RejectClass.BODY_MISSING)
def no_body(attacker: Attacker, session: RawSession) -> tuple[list[Node], bytes]:
    node = session.write()
    return [node], encode_pack([node], bodies=False)


@forgery(RejectClass.HASH_MISMATCH)
def the_body_of_another_node(attacker: Attacker, session: RawSession) -> tuple[list[Node], bytes]:
    node, other = session.write(), session.write()
    assert node.signature is not None
    blocks = PackBlocks(
        1,
        False,
        encode_header_rows([node]),
        node.signature,
        encode_body_rows([other]),
        node.body_hash,
    )
    return [node], blocks.encode()


@forgery(RejectClass.BODY_INVALID)
def a_body_that_is_none(attacker: Attacker, session: RawSession) -> tuple[list[Node], bytes]:
    bodies = [
        b"",
        b"\x90",
        b"\xc1",
        msgspec.msgpack.encode([[1, "k", {"b": 1, "a": 2}]]),
        msgspec.msgpack.encode([[1, "a//b", 1]]),
        msgspec.msgpack.encode([[10, "t", 0, 0]]),
        msgspec.msgpack.encode([[1, "k", [[[[[[[[[[[[[[[[1]]]]]]]]]]]]]]]]]]),
    ]
    return packed(*(bent(session, body=body) for body in bodies))


@forgery(RejectClass.BODY_INVALID)
def a_merge_that_writes(attacker: Attacker, session: RawSession) -> tuple[list[Node], bytes]:
    body = session.write(MapSet("k", 1)).body
    parents = tuple(sorted(attacker.chance.randbytes(32) for _ in range(2)))
    return packed(bent(session, kind=MERGE, parents=parents, body=body))


@forgery(RejectClass.HEADER_INVALID)
def a_header_that_is_none(attacker: Attacker, session: RawSession) -> tuple[list[Node], bytes]:
    parents = tuple(sorted(attacker.chance.randbytes(32) for _ in range(65)))
    return packed(
        bent(session, kind=3),
        bent(session, clock=CLOCK_LIMIT),
        bent(session, clock=(1 << 64) - 1),
        bent(session, parents=parents),
        bent(session, parents=(parents[1], parents[0])),
        bent(session, parents=(parents[0], parents[0])),
        bent(session, kind=MERGE, parents=(), body=b"\x90"),
    )


@forgery(RejectClass.VERSION_UNSUPPORTED)
def a_header_of_tomorrow(attacker: Attacker, session: RawSession) -> tuple[list[Node], bytes]:
    honest = session.write()
    assert honest.signature is not None
    header = b"\x02" + honest.header()[1:]
    node_id = session.hasher.node_id(header)
    node = Node(
        node_id, b"", 0, 0, (), honest.body_hash, honest.body, honest.signature, None, header
    )
    return packed(node)


@forgery(RejectClass.NODE_TOO_LARGE)
def a_huge_body(attacker: Attacker, session: RawSession) -> tuple[list[Node], bytes]:
    body = msgspec.msgpack.encode([[9, "t", 0, "x" * MAX_NODE_BYTES]])
    return packed(bent(session, body=body))


@forgery(RejectClass.PARENT_MISSING)
def parents_that_do_not_exist(attacker: Attacker, session: RawSession) -> tuple[list[Node], bytes]:
    parents = tuple(sorted(attacker.chance.randbytes(32) for _ in range(64)))
    return packed(bent(session, parents=parents), bent(session, parents=parents[:1]))


@forgery(RejectClass.SIGNATURE_INVALID, RejectClass.ANCESTOR_REFUSED)
def children_of_the_refused(attacker: Attacker, session: RawSession) -> tuple[list[Node], bytes]:
    root = bent(session, sign=False)
    child = session.write(parents=[root.id])
    return packed(root, child, session.write(parents=[child.id]))


@forgery(RejectClass.CLOCK_BEHIND_PARENT, RejectClass.PARENT_MISSING)
def clocks_behind_their_parents(
    attacker: Attacker, session: RawSession
) -> tuple[list[Node], bytes]:
    heads = session.heads[:64] or [bytes(32)]
    return packed(session.write(parents=heads, clock=0), session.write(parents=heads, clock=1))


@forgery(RejectClass.SIGNATURE_INVALID, RejectClass.PARENT_MISSING)
def nodes_of_another_room(attacker: Attacker, session: RawSession) -> tuple[list[Node], bytes]:
    """T10, T54: the id depends on the lineage, and the signature on the id."""
    other = type(session.hasher)(attacker.chance.randbytes(32))
    node = session.write(MapSet("stolen", 1), parents=[], hasher=other)
    here = session.hasher.node_id(node.header())
    copy = Node(
        here, node.author, node.clock, CHANGE, (), node.body_hash, node.body, node.signature
    )
    return packed(copy)


@forgery(RejectClass.AUTHOR_NOT_SESSION)
def honest_nodes_of_another(attacker: Attacker, session: RawSession) -> tuple[list[Node], bytes]:
    """T2: signed as they should be, by a key that is not the session's."""
    return packed(session.write(TextInsert("t", 0, "x"), signer=attacker.stranger()))


ELSEWHERE = (
    RejectClass.INVALID_FIELD,
    RejectClass.ANCESTOR_REFUSED,
    RejectClass.PARENT_MISSING,
)
"""Where packs are short, or the first node was not taken, these come first."""
TAKEN_IN_A_WINDOW = {"honest nodes of another"}
"""A server that lost its log takes these, from whoever has them."""
MAYBE_LATER = {"parents that do not exist"}


@attack("forged nodes")
async def forged_nodes(attacker: Attacker) -> None:
    """Each forgery in a pack of its own; none is ever taken. T2, T3, T10, T54."""
    session = attacker.session()
    await session.join()
    # Far below every clock of a server that may be set back.
    first = session.write(parents=[], clock=attacker.how.get("clock", 1))
    await session.push_and_wait(first)
    names = attacker.how.get("only") or list(FORGERIES)
    for name in names:
        session.heads = [first.id]
        forge, classes = FORGERIES[name]
        nodes, data = forge(attacker, session)
        if name not in TAKEN_IN_A_WINDOW:
            for node in nodes:
                attacker.forbid(node, name)
        answer = await session.push_and_wait(nodes=data)
        if name in TAKEN_IN_A_WINDOW and session.welcome.missing is not None:
            continue
        attacker.demand_class(answer, *classes, *ELSEWHERE)


@attack("clocks of another day")
async def clocks_of_another_day(attacker: Attacker) -> None:
    """Far ahead is for later, and not at all if nothing comes of it; far behind is history."""
    session = attacker.session()
    await session.join()
    now = session.now_ms() * UNITS_PER_MS
    ahead = session.write(parents=[], clock=min(CLOCK_LIMIT - 1, now + 400 * DAY_UNITS))
    answer = await session.push_and_wait(ahead)
    attacker.demand_class(answer, RejectClass.CLOCK_AHEAD)
    behind = session.write(parents=[], clock=0)
    answer = await session.push_and_wait(behind)
    # A chain faster than the clock's unit is honest (T51).
    chain = [behind]
    for _ in range(40):
        chain.append(session.write(parents=[chain[-1].id], clock=chain[-1].clock + 1))
    await session.push_and_wait(*chain)


@attack("two nodes in one moment")
async def equivocation(attacker: Attacker) -> None:
    """Same key, same clock, same parents, other content, from two devices at once. T57."""
    sessions = [attacker.session(), attacker.session()]
    for session in sessions:
        await session.join(label=attacker.how.get("label", ""))
    clock = sessions[0].now_ms() * UNITS_PER_MS
    parents = sessions[0].heads[:64]
    for number in range(attacker.how.get("count", 4)):
        nodes = []
        for session in sessions:
            mark = attacker.chance.randbytes(2).hex()
            operations = [MapSet("hostile/same", mark), TextInsert("hostile/t", 0, mark)]
            nodes.append(session.write(*operations, parents=parents, clock=clock + number))
        refs = [session.push(node) for session, node in zip(sessions, nodes, strict=True)]
        for session, ref in zip(sessions, refs, strict=True):
            await session.answer_to(ref)
        parents = sorted({node.id for node in nodes})
    # And each device once more what the other wrote: duplicates, with their seqs.
    sessions[0].push(*nodes)
    await sessions[1].push_and_wait(*nodes)


@attack("wide frontier")
async def wide_frontier(attacker: Attacker) -> None:
    """Many heads, each valid: the server merges them, and nobody names them all. T37, T62."""
    session = attacker.session()
    await session.join()
    for _ in range(attacker.how.get("packs", 3)):
        nodes = [session.write(parents=[]) for _ in range(attacker.how.get("count", 30))]
        await session.push_and_wait(*nodes)


@attack("the same again")
async def replayed_packs(attacker: Attacker) -> None:
    """One pack, sent again and again, in the same session and in the next."""
    first = attacker.session()
    await first.join()
    nodes = [first.write() for _ in range(3)]
    answer = await first.push_and_wait(*nodes)
    for _ in range(5):
        first.push(*nodes)
        first.push(*nodes[:1])
    await first.push_and_wait(*reversed(nodes))
    second = attacker.session()
    await second.join()
    repeated = await second.push_and_wait(*nodes)
    if not getattr(answer, "rejected", True) and not getattr(repeated, "rejected", True):
        attacker.demand(repeated.to_seq == 0, "a replayed pack was numbered anew")  # type: ignore[union-attr]
