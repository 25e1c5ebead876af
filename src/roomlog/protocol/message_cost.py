"""What every message of a client costs: one table, a row for each type and kind of request.

The currency is the session's bucket of messages (`messages_per_second`, ten seconds deep). Pushed
nodes are paid with credit instead. No message is free, and none is without a row.
"""

from __future__ import annotations

from typing import Final, final

import msgspec

from roomlog.protocol import messages

FRAME_STEP_BYTES: Final = 16 * 1024
"""Each whole one of these in a frame costs one more: reading a frame is work, too."""
LEAST_COST: Final = 1
"""That of control frames, and of what cannot be read as any message."""
LEAST_REQUEST_COST: Final = 5
"""That of a request that asks for nothing."""


@final
class CostRow(msgspec.Struct, frozen=True):
    """One row: `kind` is the field of a request that makes it this kind, else empty."""

    message: type[messages.Message]
    kind: str
    cost: int
    why: str


MESSAGE_COST: Final = (
    CostRow(messages.Hello, "", 1, "after the first one, which opens the session"),
    CostRow(
        messages.PushPack, "", 1, "only if it brings no nodes or is refused: nodes cost credit"
    ),
    CostRow(messages.Request, "after", 5, "moves the reading position"),
    CostRow(messages.Request, "have", 5, "a look-up a pair"),
    CostRow(messages.Request, "before", 5, "one page of the store"),
    CostRow(messages.Request, "frontier", 5, "a look-up an id, and a walk through the graph"),
    CostRow(messages.Request, "ids", 5, "a look-up an id, and scattered reads of the store"),
    CostRow(messages.Request, "snapshot", 50, "the whole state is sent"),
    CostRow(messages.Request, "hash", 100, "a worker computes the state"),
    CostRow(messages.Subscribe, "", 50, "history is searched for what it lacks"),
    CostRow(messages.Presence, "", 2, "goes to everybody in the room"),
    CostRow(messages.Signal, "", 2, "goes to every session of a peer"),
    CostRow(messages.Ping, "", 1, "is answered"),
)

REQUEST_KINDS: Final = tuple(row.kind for row in MESSAGE_COST if row.kind)
_BY_KIND: Final = {row.kind: row.cost for row in MESSAGE_COST if row.kind}
_BY_TYPE: Final = {row.message: row.cost for row in MESSAGE_COST if not row.kind}


def kinds_of(request: messages.Request) -> list[str]:
    """What a request asks for; exactly one in a valid one."""
    return [kind for kind in REQUEST_KINDS if getattr(request, kind) not in (None, False)]


def cost_of(message: messages.Message | None, frame_bytes: int) -> int:
    """What a message in a frame of this length costs; None is one that cannot be read."""
    steps = frame_bytes // FRAME_STEP_BYTES
    if message is None:
        return steps + LEAST_COST
    if isinstance(message, messages.Request):
        costs = [_BY_KIND[kind] for kind in kinds_of(message)]
        return steps + max(costs, default=LEAST_REQUEST_COST)
    return steps + _BY_TYPE[type(message)]
