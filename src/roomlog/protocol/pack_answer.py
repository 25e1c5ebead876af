"""What the answer to a pushed pack says about each of its nodes."""

from __future__ import annotations

from typing import Final

from roomlog.core.reject import RejectClass, RejectKind
from roomlog.protocol.client_events import Acknowledged, Refused, RefusedNode, broken
from roomlog.protocol.messages import Error, PackAck, RejectedNode
from roomlog.protocol.push_queue import OutgoingPack
from roomlog.protocol.reading_position import ReadingPosition

_MOST_SEQ: Final = (1 << 63) - 1


def read_ack(
    pack: OutgoingPack, ack: PackAck, position: ReadingPosition
) -> list[Acknowledged | Refused]:
    """Match an ack with its pack; what is in the log is noted in `position`.

    Raises `ServerFault` when the numbers do not fit.
    """
    rejected = {node.id: node for node in ack.rejected}
    duplicates = dict(ack.duplicates)
    seqs: dict[bytes, int] = {}
    refused: list[RefusedNode] = []
    next_seq = ack.from_seq
    last_admitted = b""
    for index, node in enumerate(pack.nodes):
        if node.id in rejected:
            refused.append(_refused_node(rejected[node.id]))
            continue
        seq = duplicates.pop(index, None)
        if seq is None:
            seq = next_seq
            next_seq += 1
            last_admitted = node.id
        elif not 1 <= seq <= _MOST_SEQ:
            raise broken("pack-ack", f"a duplicate with seq {seq}")
        else:
            _hold(position, seq, seq, node.id)
        seqs[node.id] = seq
    if last_admitted:
        fits = ack.from_seq > 0 and ack.to_seq + 1 == next_seq
    else:
        fits = ack.from_seq == ack.to_seq == 0
    if duplicates or not fits:
        raise broken("pack-ack", "its numbers do not fit the pack")
    if last_admitted:
        _hold(position, ack.from_seq, ack.to_seq, last_admitted)
    answers: list[Acknowledged | Refused] = []
    if seqs:
        answers.append(Acknowledged(seqs))
    if refused:
        answers.append(Refused(refused))
    return answers


def refuse_all(pack: OutgoingPack, error: Error) -> Refused:
    """Every node of a pack that was answered by an error."""
    detail = dict(error.detail)
    if error.retry_after_ms is not None:
        detail["retry_after_ms"] = error.retry_after_ms
    return Refused(
        [
            RefusedNode(
                id=node.id,
                reject_class=error.reject_class,
                kind=kind_of(error.reject_class, error.kind),
                message=error.message,
                detail=detail,
                root=None,
            )
            for node in pack.nodes
        ]
    )


def kind_of(wire: str, said: str = "") -> RejectKind:
    """What to do about a class: by our own table, else as the server says, else it is final."""
    known = RejectClass.from_wire(wire)
    if known is not None:
        return known.kind
    for kind in RejectKind:
        if kind.value == said:
            return kind
    return RejectKind.FINAL


def _hold(position: ReadingPosition, from_seq: int, to_seq: int, last_id: bytes) -> None:
    if not position.hold(from_seq, to_seq, last_id):
        raise broken("pack-ack", "more stretches of seq than fit")


def _refused_node(node: RejectedNode) -> RefusedNode:
    message = node.detail.get("message")
    return RefusedNode(
        id=node.id,
        reject_class=node.reject_class,
        kind=kind_of(node.reject_class, node.kind),
        message=message if isinstance(message, str) else "",
        detail=node.detail,
        root=node.root,
    )
