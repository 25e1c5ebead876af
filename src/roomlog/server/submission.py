"""A pushed pack on its way through a room, and who waits for its answer."""

from __future__ import annotations

from typing import Protocol, final

from roomlog.core.node import Node
from roomlog.core.reject import Reject
from roomlog.protocol.messages import PackAck
from roomlog.server.admission import Refusals, Verdict
from roomlog.server.reader import Reader
from roomlog.server.signature_turns import CheckedSignatures
from roomlog.store.interface import Append


class Submitter(Protocol):
    """Who pushed a pack and hears what became of it."""

    @property
    def author(self) -> bytes: ...
    @property
    def reader(self) -> Reader | None: ...
    @property
    def refusals(self) -> Refusals: ...
    def settle(self, ticket: int, ack: PackAck) -> None: ...
    def refuse(self, ticket: int, reject: Reject) -> None: ...


@final
class Submission:
    """A pushed pack from its arrival to its answer."""

    __slots__ = (
        "append",
        "attempts",
        "data",
        "nodes",
        "received",
        "signatures",
        "submitter",
        "ticket",
        "verdict",
    )

    def __init__(
        self, submitter: Submitter, ticket: int, data: bytes, nodes: list[Node], received: float
    ) -> None:
        self.submitter = submitter
        self.ticket = ticket
        self.data = data
        self.nodes = nodes
        self.received = received
        self.verdict = Verdict()
        self.append: Append | None = None
        self.attempts = 0
        self.signatures: CheckedSignatures | None = None


@final
class MergeSubmitter:
    """The server itself, for merge nodes; at most one is under way."""

    reader = None

    def __init__(self, author: bytes) -> None:
        self.author = author
        self.refusals = Refusals()
        self.is_busy = False

    def settle(self, ticket: int, ack: PackAck) -> None:
        self.is_busy = False

    def refuse(self, ticket: int, reject: Reject) -> None:
        self.is_busy = False
