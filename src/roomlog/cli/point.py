"""`--at`: a point in a room's history, by frontier, seq or time of admission."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from typing import Final

from roomlog.cli.failure import Failure, UsageFailure
from roomlog.cli.history import History
from roomlog.cli.output import time_text
from roomlog.core.node import Node

# Milliseconds since 1970 are greater than this from 1973 on; no log is as long.
LEAST_TIME_MS: Final = 100_000_000_000
_HEXADECIMAL: Final = re.compile(r"[0-9a-fA-F]{4,64}")
SHOWN_MATCHES: Final = 4
_MOST_DIGITS: Final = 20


def nodes_at(history: History, at: str) -> list[Node]:
    """The nodes of the history at that point, parents first.

    `at` is a seq (`42`), a time (`2024-05-01T12:00:00Z`, or milliseconds), or comma-separated node
    ids or unique beginnings of them; `seq:`, `time:` or `ids:` before it leaves no doubt. Raises
    `UsageFailure` for what is none of these, `Failure` for a point that the history does not have.
    """
    kind, _, text = at.partition(":")
    if kind not in ("seq", "time", "ids"):
        kind, text = _kind_of(at), at
    if kind == "seq":
        return _up_to(history, _number(text, at))
    if kind == "time":
        return _up_to(history, _seq_at(history, _time_ms(text, at)))
    return _ancestors(history.nodes, [_find(history.nodes, each) for each in text.split(",")])


def _kind_of(at: str) -> str:
    if at.isascii() and at.isdigit():
        if len(at) >= 16:
            return "ids"
        return "seq" if int(at) < LEAST_TIME_MS else "time"
    if all(_HEXADECIMAL.fullmatch(each.strip()) for each in at.split(",")):
        return "ids"
    return "time"


def _number(text: str, at: str) -> int:
    if not (text.isascii() and text.isdigit()):
        raise UsageFailure(f"--at: {at!r}: a seq is a number")
    return _int(text, at)


def _int(digits: str, at: str) -> int:
    """The number, if it may be a seq or a time: of at most 64 bits."""
    if len(digits) > _MOST_DIGITS:
        raise UsageFailure(f"--at: {at[:_MOST_DIGITS]}...: more than {_MOST_DIGITS} digits")
    return int(digits)


def _time_ms(text: str, at: str) -> int:
    if text.isascii() and text.isdigit():
        return _int(text, at)
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise UsageFailure(
            f"--at: {at!r} is no seq, no time like 2024-05-01T12:00:00Z and no list of node ids"
        ) from None
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    return round(moment.timestamp() * 1_000)


def _up_to(history: History, seq: int) -> list[Node]:
    if not history.is_log:
        raise Failure(
            f"--at: {history.source} does not keep the server's seq; give node ids, or a store "
            "directory or URL as SOURCE"
        )
    if seq > len(history.nodes):
        raise Failure(f"--at: the log ends at seq {len(history.nodes)}, before {seq}")
    return history.nodes[:seq]


def _seq_at(history: History, time_ms: int) -> int:
    """The last seq before anything was admitted later than the time."""
    if history.admissions is None:
        raise Failure(
            f"--at: {history.source} does not know when nodes were admitted; only a store "
            "directory does"
        )
    seq = 0
    for to_seq, admitted_ms in history.admissions:
        if admitted_ms > time_ms:
            break
        seq = to_seq
    if seq == 0 and history.admissions:
        first = time_text(history.admissions[0][1])
        raise Failure(f"--at: the first node was admitted later, at {first}")
    return seq


def _find(nodes: list[Node], text: str) -> Node:
    """The node whose id begins with the hexadecimal text."""
    prefix = text.strip().lower()
    if not _HEXADECIMAL.fullmatch(prefix):
        raise UsageFailure(f"--at: {text!r} is no node id: 4 to 64 hexadecimal characters")
    matches = [node for node in nodes if node.id.hex().startswith(prefix)]
    if not matches:
        raise Failure(f"--at: no node's id begins with {prefix}")
    if len(matches) > 1:
        shown = ", ".join(node.id.hex()[: len(prefix) + 8] for node in matches[:SHOWN_MATCHES])
        raise Failure(f"--at: {len(matches)} ids begin with {prefix}: {shown} ...; give more of it")
    return matches[0]


def _ancestors(nodes: list[Node], heads: list[Node]) -> list[Node]:
    """The heads and all that lies before them, in the order of `nodes`."""
    by_id = {node.id: node for node in nodes}
    wanted = {head.id for head in heads}
    open_ids = list(wanted)
    while open_ids:
        for parent in by_id[open_ids.pop()].parents:
            if parent not in wanted and parent in by_id:
                wanted.add(parent)
                open_ids.append(parent)
    return [node for node in nodes if node.id in wanted]
