"""Lies in negotiation: cursors, heads, cuts and walks of logs that never were."""

from __future__ import annotations

from typing import Any

from roomlog.core.operation import MapSet
from roomlog.core.reject import RejectClass
from roomlog.protocol.messages import Error, RequestEnd, Welcome
from tests.simulation.hostile.attack import Attacker, attack

GREATEST = (1 << 63) - 1


@attack("false pasts")
async def false_pasts(attacker: Attacker) -> None:
    """Hellos with a past that does not fit: each is welcomed, with what there is. T31, T62."""
    first = attacker.session()
    welcome = await first.join()
    strange = [attacker.chance.randbytes(32) for _ in range(attacker.how.get("heads", 1024))]
    head = welcome.frontier[0] if welcome.frontier else strange[0]
    here, there = welcome.epoch, attacker.chance.randbytes(16)
    pasts: list[dict[str, Any]] = [
        {"cursor": {"epoch": here, "seq": GREATEST, "id": head}},
        {"cursor": {"epoch": here, "seq": welcome.seq, "id": strange[0]}},
        {"cursor": {"epoch": here, "seq": welcome.seq, "id": head}, "frontier": strange},
        {"cursor": {"epoch": there, "seq": 1, "id": head}, "frontier": [head]},
        {"cursor": {"epoch": here, "seq": 0, "id": strange[0]}, "frontier": [head, head]},
        {"frontier": strange},
        {"frontier": [head, *strange[:3]]},
        {"pending": {"nodes": GREATEST, "bytes": GREATEST}},
    ]
    for past in pasts:
        session = attacker.session()
        answer = await session.greet(lineage=welcome.lineage, **past)
        if isinstance(answer, Error):
            attacker.demand_class(answer)
            continue
        limits = answer.limits
        attacker.demand(
            answer.credit.nodes <= limits["slice_nodes"] + limits["backlog_nodes"],
            "a claim was granted more than there is",
        )
        attacker.demand(
            all(0 <= index < len(past.get("frontier", [])) for index in answer.unknown),
            "unknown ids that nobody sent",
        )
        session.leave()


@attack("false questions")
async def false_questions(attacker: Attacker) -> None:
    """Requests about logs, cuts and nodes that do not exist, or that contradict each other."""
    session = attacker.session()
    welcome = await session.join()
    strange = [attacker.chance.randbytes(32) for _ in range(1024)]
    here, there, prefix = welcome.epoch, attacker.chance.randbytes(16), bytes(8)
    refused: list[tuple[dict[str, Any], RejectClass]] = [
        ({"after": {"epoch": there, "seq": 0}}, RejectClass.EPOCH_UNKNOWN),
        ({"before": {"epoch": there, "seq": 1}}, RejectClass.EPOCH_UNKNOWN),
        ({"after": {"epoch": here, "seq": GREATEST}}, RejectClass.INVALID_FIELD),
        ({"before": {"epoch": here, "seq": GREATEST}}, RejectClass.INVALID_FIELD),
        ({"after": {"epoch": here, "seq": -1}}, RejectClass.INVALID_FIELD),
        ({"have": [[1, prefix], [3, prefix], [2, prefix]]}, RejectClass.INVALID_FIELD),
        ({"have": [[5, prefix], [5, prefix]]}, RejectClass.INVALID_FIELD),
        ({"have": [[0, prefix]]}, RejectClass.INVALID_FIELD),
        ({"have": []}, RejectClass.INVALID_FIELD),
        ({"have": [[seq, prefix] for seq in range(1, 258)]}, RejectClass.INVALID_FIELD),
        ({"frontier": [*strange, strange[0]]}, RejectClass.INVALID_FIELD),
        ({"ids": [*strange, strange[0]]}, RejectClass.INVALID_FIELD),
        ({"stop_at_unknown": True, "ids": strange[:1]}, RejectClass.INVALID_FIELD),
        ({}, RejectClass.INVALID_FIELD),
        ({"snapshot": True, "hash": {}}, RejectClass.INVALID_FIELD),
        ({"page": 0, "ids": []}, RejectClass.INVALID_FIELD),
        ({"hash": {"patterns": ["a//b"]}}, RejectClass.SUBSCRIPTION_INVALID),
    ]
    for question, reject_class in refused:
        answer = await session.ask(**question)
        attacker.demand(isinstance(answer, Error), f"{question} was answered: {answer!r}")
        attacker.demand_class(answer, reject_class)
    end = await session.ask(ids=strange)
    if isinstance(end, RequestEnd):
        attacker.demand(sorted(end.missing) == sorted(strange), "nodes that do not exist")
    # Another cut each time: it never has to end.
    for number in range(attacker.how.get("count", 20)):
        seqs = range(1 + number, 257 + number)
        pairs = [[seq, attacker.chance.randbytes(8)] for seq in seqs]
        end = await session.ask(have=pairs if number % 2 else pairs[::-1])
        if isinstance(end, RequestEnd):
            attacker.demand(end.cut == 0, f"a cut at {end.cut} in a log that never was")
        heads = [attacker.chance.randbytes(32) for _ in range(8)]
        end = await session.ask(frontier=heads, stop_at_unknown=True)
        if isinstance(end, RequestEnd):
            attacker.demand(len(end.unknown) == len(heads), "heads that never were are known")


@attack("everything at once")
async def everything_at_once(attacker: Attacker) -> None:
    """More questions than may wait, and twice what may be asked only once."""
    session = attacker.session()
    welcome = await session.join(lineage=attacker.how.get("lineage"))
    here = {"epoch": welcome.epoch, "seq": 0}
    questions: list[dict[str, Any]] = [
        {"after": here},
        {"after": here},
        {"snapshot": True},
        {"hash": {}},
        {"hash": {}},
        {"frontier": []},
        {"frontier": []},
        {"before": {"epoch": welcome.epoch, "seq": welcome.seq + 1}},
        {"ids": welcome.frontier},
    ]
    refs = []
    for question in questions:
        refs.append(session.ref())
        session.send({"type": "request", "ref": refs[-1], **question})
    for patterns in (["a/*"], ["b/**"], []):
        refs.append(session.ref())
        session.send({"type": "subscribe", "ref": refs[-1], "patterns": patterns})
    waiting = set(refs)
    while waiting:
        answer = await session.receive()
        if isinstance(answer, RequestEnd | Error) and answer.ref is not None:
            waiting.discard(answer.ref)


@attack("costly patterns")
async def costly_patterns(attacker: Attacker) -> None:
    """Globs made to take for ever, too many and too long ones. T47."""
    session = attacker.session()
    await session.join()
    keys = [f"{'a' * 200}/{number}" for number in range(8)]
    await session.push_and_wait(*(session.write(MapSet(key, 1)) for key in keys))
    stars = "*a" * 100 + "b"
    accepted = [
        [stars],
        ["/".join(["**"] * 80)],
        [f"{'*a' * 60}{number}" for number in range(64)],
        [f"**/{'*a' * 60}/**/{number}" for number in range(64)],
    ]
    invalid = [
        [f"k/{number}" for number in range(65)],
        ["x" * 257],
        ["é" * 129],
        ["a//b"],
        ["a**"],
        [""],
        ["a\x00"],
        ["/"],
    ]
    for patterns in accepted:
        ref = session.ref()
        session.send({"type": "subscribe", "ref": ref, "patterns": patterns})
        while not isinstance(answer := await session.answer_to(ref), RequestEnd | Error):
            pass
        if isinstance(answer, Error):
            attacker.demand_class(answer)
    for patterns in invalid:
        ref = session.ref()
        session.send({"type": "subscribe", "ref": ref, "patterns": patterns})
        answer = await session.answer_to(ref)
        attacker.demand_class(answer, RejectClass.SUBSCRIPTION_INVALID)
    other = attacker.session()
    answer = await other.greet(subscribe=["a//b"])
    if not isinstance(answer, Welcome) or "header_only_nodes" in answer.caps:
        attacker.demand_class(answer, RejectClass.SUBSCRIPTION_INVALID)
    # What was not negotiated is refused, not guessed.
    plain = attacker.session()
    await plain.join(caps={})
    plain.send({"type": "subscribe", "ref": plain.ref(), "patterns": []})
    attacker.demand_class(await plain.receive_type(Error), RejectClass.NOT_NEGOTIATED)
    for question in ({"have": [[1, bytes(8)]]}, {"snapshot": True}):
        attacker.demand_class(await plain.ask(**question), RejectClass.NOT_NEGOTIATED)
    plain.send({"type": "presence", "ref": plain.ref(), "data": 1})
    attacker.demand_class(await plain.receive_type(Error), RejectClass.NOT_NEGOTIATED)
