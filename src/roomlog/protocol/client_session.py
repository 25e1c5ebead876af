"""The client's side of one session as a state machine: frames in, frames and events out.

It trusts nothing that the server says: what breaks the protocol ends the session with a typed
fault, what a newer server may send is passed over. It knows no sockets, clocks or replicas.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable
from enum import Enum
from typing import Any, Final, final

from roomlog.core.node import Node
from roomlog.core.reject import Reject, RejectClass, RejectKind
from roomlog.core.signing import Signer
from roomlog.protocol.capabilities import meet, own_offer
from roomlog.protocol.client_events import (
    ClientEvent,
    Deprecated,
    Draining,
    ErrorReceived,
    Fault,
    Faulted,
    Ignored,
    Moved,
    Opened,
    PongReceived,
    ServerFault,
    broken,
)
from roomlog.protocol.client_handshake import ClientHandshake
from roomlog.protocol.codec import Codec, MessageRefused, Undecodable, encode, server_frames
from roomlog.protocol.limits import DEFAULT_LIMITS, SessionLimits
from roomlog.protocol.log_reader import LogReader
from roomlog.protocol.messages import (
    Challenge,
    Credit,
    Cursor,
    Error,
    Message,
    Notice,
    Pack,
    PackAck,
    Pending,
    Ping,
    Pong,
    PushPack,
    RequestEnd,
    Software,
    Welcome,
)
from roomlog.protocol.pack_answer import kind_of, read_ack, refuse_all
from roomlog.protocol.push_queue import PushQueue

_ENVELOPE_BYTES: Final = 256
"""More than a frame takes beside `pack.nodes`."""


class Phase(Enum):
    """Where a session stands."""

    AWAIT_CHALLENGE = "waiting for the challenge"
    AWAIT_WELCOME = "waiting for the welcome"
    OPEN = "open"
    OVER = "over"


@final
class ClientSession:
    """One session of one room.

    `origin` is what was dialled, as `ws://host[:port]`. `lineage`, `cursor` and `frontier` say what
    the client holds of the room's log; all absent for one that has never met the room. `pending`
    is the backlog it brings. `nonce` is 32 random bytes.
    """

    def __init__(
        self,
        *,
        room_id: str,
        origin: str,
        nonce: bytes,
        signer: Signer | None = None,
        codec: Codec = Codec.MSGPACK,
        pinned_key: bytes | None = None,
        lineage: bytes | None = None,
        cursor: Cursor | None = None,
        frontier: Iterable[bytes] = (),
        pending: Pending | None = None,
        label: str = "",
        token: str = "",
        software: Software | None = None,
        limits: SessionLimits = DEFAULT_LIMITS,
    ) -> None:
        self._frontier = sorted(frontier)[: limits.frontier_ids]
        if signer is None and (label or pending is not None):
            raise ValueError("a session without a key has neither a label nor pending nodes")
        if lineage is None and (cursor is not None or self._frontier):
            raise ValueError("a cursor or frontier belongs to a lineage")
        self.phase = Phase.AWAIT_CHALLENGE
        self.last_error: ErrorReceived | None = None
        """What the server reported last: why it closed, when it did."""
        self._handshake = ClientHandshake(
            room_id=room_id,
            origin=origin,
            nonce=nonce,
            signer=signer,
            codec=codec,
            pinned_key=pinned_key,
            lineage=lineage,
            label=label,
            token=token,
            software=software,
            limits=limits,
        )
        self._can_push = signer is not None
        self._codec = codec
        self._cursor = cursor
        self._pending = pending
        self._limits = limits
        self._frame_limit = limits.frame_limit(codec.subprotocol)
        self._read = server_frames(codec).read
        self._frames: list[bytes] = []
        self._lineage = b""
        self._reader: LogReader | None = None
        self._queue = PushQueue(1, 0)
        self._pings: set[int] = set()
        self._handlers: dict[type[Message], Callable[[Any], list[ClientEvent]]] = {
            Credit: self._on_credit,
            Pack: self._on_pack,
            PackAck: self._on_pack_ack,
            Pong: self._on_pong,
            RequestEnd: self._on_request_end,
            Notice: self._on_notice,
        }

    @property
    def is_open(self) -> bool:
        """Whether the welcome has come and nothing ended the session since."""
        return self.phase is Phase.OPEN

    @property
    def is_live(self) -> bool:
        """Whether the session is open and has caught up."""
        return self.is_open and self._reader is not None and self._reader.is_live

    @property
    def cursor(self) -> Cursor | None:
        """Up to where everything was received or acknowledged; None while nothing is known."""
        return None if self._reader is None else self._reader.cursor

    @property
    def held_seq(self) -> int:
        """Greatest seq of this log at and below which everything is held; -1 until it is live."""
        return self._reader.position.seq if self._reader is not None and self.is_live else -1

    @property
    def packs_in_flight(self) -> int:
        """How many pushed packs have no answer yet."""
        return self._queue.in_flight

    def take_frames(self) -> list[bytes]:
        """Frames to write now, in order."""
        frames = self._frames
        self._frames = []
        return frames

    def push(self, nodes: Iterable[Node]) -> None:
        """Send own nodes, parents first, as credit allows; only while the session is open."""
        if not self.is_open or not self._can_push:
            raise ValueError("only an open session with a key can push")
        self._queue.add(nodes)
        self._send_packs()

    def withdraw(self, ids: Collection[bytes]) -> None:
        """Forget nodes that were not sent yet."""
        self._queue.withdraw(ids)

    def is_pushing(self, node_id: bytes) -> bool:
        """Whether a node was given to `push` and has no answer yet."""
        return node_id in self._queue

    def ping(self, t: int) -> None:
        """Ask for the head of the log; answered by `PongReceived` with the same `t`."""
        if not self.is_open:
            raise ValueError("only an open session can ping")
        self._pings.add(t)
        self._send(Ping(t=t))

    def receive(self, frame: bytes) -> list[ClientEvent]:
        """Take one frame. A fault of the server is an event, never an exception."""
        if self.phase is Phase.OVER:
            return []
        try:
            return self._take(frame)
        except ServerFault as fault:
            self.phase = Phase.OVER
            self._frames.clear()
            return [Faulted(fault.fault, fault.reject)]

    def _take(self, frame: bytes) -> list[ClientEvent]:
        if len(frame) > self._frame_limit:
            reject = Reject(RejectClass.MESSAGE_TOO_LARGE, f"a frame of {len(frame)} bytes")
            raise ServerFault(Fault.TOO_BIG, reject)
        try:
            message = self._read(frame)
        except Undecodable as unreadable:
            raise broken("frame", str(unreadable)) from None
        except MessageRefused as refused:
            if refused.reject.reject_class is RejectClass.UNKNOWN_TYPE:
                return [Ignored(str(refused.reject.detail["type"]))]
            raise ServerFault(Fault.PROTOCOL, refused.reject) from None
        if isinstance(message, Error):
            return self._on_error(message)
        if self.phase is Phase.AWAIT_CHALLENGE:
            if isinstance(message, Challenge):
                return self._on_challenge(message)
        elif self.phase is Phase.AWAIT_WELCOME:
            if isinstance(message, Welcome):
                return self._on_welcome(message)
            if isinstance(message, Notice):
                return self._on_notice(message)
        else:
            handler = self._handlers.get(type(message))
            if handler is not None:
                return handler(message)
        name = str(type(message).__struct_config__.tag)
        raise broken(name, f"not expected by a session that is {self.phase.value}")

    def _on_challenge(self, challenge: Challenge) -> list[ClientEvent]:
        hello = self._handshake.hello(challenge, self._cursor, self._frontier, self._pending)
        self._send(hello)
        self.phase = Phase.AWAIT_WELCOME
        return []

    def _on_welcome(self, welcome: Welcome) -> list[ClientEvent]:
        is_proven = self._handshake.check(welcome)
        challenge = self._handshake.challenge
        self.phase = Phase.OPEN
        self._lineage = welcome.lineage
        self._open_queue(welcome)
        reader = LogReader(welcome, self._cursor, self._frontier, self._limits.pack_nodes)
        self._reader = reader
        self._send_requests()
        return [
            Opened(
                lineage=welcome.lineage,
                epoch=welcome.epoch,
                seq=welcome.seq,
                server_key=challenge.server_pubkey,
                server_name=challenge.server.name,
                server_version=challenge.server.version,
                session=welcome.session,
                catch_up=reader.catch_up,
                is_proven=is_proven,
            )
        ]

    def _open_queue(self, welcome: Welcome) -> None:
        met = meet(own_offer(self._limits), welcome.caps)
        payload_bytes = _smaller(self._frame_limit, met.get("max_frame_bytes")) - _ENVELOPE_BYTES
        if self._codec.is_text:
            payload_bytes = payload_bytes // 4 * 3
        pack_nodes = _smaller(self._limits.pack_nodes, met.get("max_pack_nodes"))
        self._queue = PushQueue(pack_nodes, payload_bytes)
        self._queue.grant(welcome.credit.nodes, welcome.credit.bytes)

    def _on_pack(self, pack: Pack) -> list[ClientEvent]:
        assert self._reader is not None
        received = self._reader.take(pack)
        self._send_requests()
        return [] if received is None else [received]

    def _on_request_end(self, end: RequestEnd) -> list[ClientEvent]:
        assert self._reader is not None
        caught_up = self._reader.end(end)
        self._send_requests()
        return [] if caught_up is None else [caught_up]

    def _on_credit(self, credit: Credit) -> list[ClientEvent]:
        self._queue.grant(credit.nodes, credit.bytes)
        self._send_packs()
        return []

    def _on_pack_ack(self, ack: PackAck) -> list[ClientEvent]:
        assert self._reader is not None
        pack = self._queue.settle(ack.ref)
        if pack is None:
            raise broken("pack-ack", "not for the oldest pack in flight")
        answers = read_ack(pack, ack, self._reader.position)
        if ack.credit is not None:
            self._queue.grant(ack.credit.nodes, ack.credit.bytes)
        self._send_packs()
        return list(answers)

    def _on_pong(self, pong: Pong) -> list[ClientEvent]:
        if pong.t not in self._pings:
            return []
        self._pings.discard(pong.t)
        return [PongReceived(pong.t, pong.seq)]

    def _on_notice(self, notice: Notice) -> list[ClientEvent]:
        events: list[ClientEvent] = []
        if notice.drain is not None:
            drain = notice.drain
            events.append(Draining(max(0, drain.deadline_ms), max(0, drain.retry_after_ms)))
        if notice.deprecation is not None:
            events.append(Deprecated(notice.deprecation.what, notice.deprecation.until))
        if notice.moved is not None:
            events.append(Moved(notice.moved.url))
        return events

    def _on_error(self, error: Error) -> list[ClientEvent]:
        received = ErrorReceived(
            reject_class=error.reject_class,
            message=error.message,
            kind=kind_of(error.reject_class, error.kind),
            retry_after_ms=error.retry_after_ms,
            detail=error.detail,
            incident=error.incident,
            ref=error.ref,
        )
        self.last_error = received
        events: list[ClientEvent] = [received]
        if error.ref is None or self._reader is None:
            return events
        pack = self._queue.settle_any(error.ref)
        if pack is not None:
            if received.kind is RejectKind.FINAL and len(pack.nodes) > 1:
                # One of them is to blame: find out which.
                self._queue.resend_singly(pack)
            else:
                events.append(refuse_all(pack, error))
            self._send_packs()
        elif self._reader.awaits(error.ref):
            reject_class = RejectClass.from_wire(error.reject_class) or RejectClass.INVALID_MESSAGE
            reject = Reject(reject_class, f"no history was sent: {error.message}")
            raise ServerFault(Fault.PROTOCOL, reject)
        return events

    def _send_requests(self) -> None:
        assert self._reader is not None
        for request in self._reader.requests:
            self._send(request)
        self._reader.requests.clear()

    def _send_packs(self) -> None:
        while (pack := self._queue.next_pack()) is not None:
            self._send(PushPack(ref=pack.ref, lineage=self._lineage, nodes=pack.data))

    def _send(self, message: Message) -> None:
        self._frames.append(encode(self._codec, message))


def _smaller(ours: int, met: object) -> int:
    return min(ours, met) if isinstance(met, int) else ours
