"""The server's side of one session as a pure state machine: frames and answers in, effects out.

Nothing here does I/O, tells time or is random. A peer's fault becomes an `error` frame, a close or
both; calling a method in a state that does not have it is the caller's bug: `ProtocolMisuse`.

    CREATED -start-> GREETING -hello-> OPENING -room_opened-> OPEN -drain-> DRAINING
    and from each of them, by a close effect, CLOSED, where everything is ignored.
"""

from __future__ import annotations

from enum import Enum
from typing import final

from roomlog.core.reject import Reject, RejectClass, RejectKind
from roomlog.core.signing import Signer
from roomlog.protocol import messages
from roomlog.protocol.capabilities import Offer, meet
from roomlog.protocol.close_codes import CloseCode, close_code_of
from roomlog.protocol.codec import (
    Codec,
    FrameReader,
    MessageRefused,
    Undecodable,
    client_frames,
    encode,
)
from roomlog.protocol.credit import PushCredit
from roomlog.protocol.effects import (
    Admit,
    Close,
    OpenRoom,
    Read,
    Send,
    ServerEffect,
)
from roomlog.protocol.greeting import Greeting
from roomlog.protocol.limits import LEAST_FRAME_BYTES, SessionLimits
from roomlog.protocol.message_rate import REQUEST_COST, MessageRate
from roomlog.protocol.pushed_packs import ProtocolMisuse, PushedPacks, claimed_count
from roomlog.protocol.requests import Requests, field_reject
from roomlog.protocol.room_facts import RoomFacts

HELD_FRAMES = 8
"""Frames other than packs that may arrive before the welcome they should have waited for."""
ENVELOPE_BYTES = 1024
"""Room in a frame for everything of a pack message but its nodes."""


class State(Enum):
    """Where a session stands."""

    CREATED = "created"
    GREETING = "greeting"
    OPENING = "opening"
    OPEN = "open"
    DRAINING = "draining"
    CLOSED = "closed"


@final
class ServerSession:
    """One session in one room.

    `codec` None: the client offered no subprotocol of ours, and is told so. `nonce` is 32 random
    bytes, `session_id` names the session in logs and in `welcome`. `origins` are the names under
    which clients may have dialled this server, the first one being its own choice.
    """

    def __init__(
        self,
        *,
        room_id: str,
        codec: Codec | None,
        signer: Signer,
        origins: tuple[str, ...],
        nonce: bytes,
        session_id: str,
        limits: SessionLimits,
        offer: Offer,
        software: messages.Software,
    ) -> None:
        if not origins:
            raise ProtocolMisuse("a server session needs an origin")
        self.room_id = room_id
        self.session_id = session_id
        self.state = State.CREATED
        self.codec = Codec.JSON if codec is None else codec
        self.hello: messages.Hello | None = None
        """What the client said, once it was accepted."""
        self.caps: Offer = {}
        """The capabilities both sides have, once the hello was accepted."""
        self.catch_up = ""
        """How the client catches up, once it was welcomed."""
        self.close_code: CloseCode | None = None
        """Why this side closed, None while it has not."""
        self.close_reason = ""
        self._is_codec_known = codec is not None
        self._greeting = Greeting(
            room_id=room_id, codec=self.codec, signer=signer, origins=origins, nonce=nonce
        )
        self._limits = limits
        self._offer = offer
        self._software = software
        self._frames: FrameReader[messages.ClientMessage] = client_frames(self.codec)
        self._started_ms = 0
        self._handshake = b""
        self._held: list[bytes] = []
        self._pushed = PushedPacks()
        self._requests = Requests(limits)
        self._retry_after_ms = 0
        self._room: RoomFacts
        self._credit: PushCredit
        self._messages: MessageRate

    @property
    def author(self) -> bytes | None:
        """The proven public key, None for a session that only reads."""
        return None if self.hello is None else self.hello.pubkey

    @property
    def packs_in_flight(self) -> int:
        """Pushed packs without an answer."""
        return len(self._pushed)

    @property
    def is_closed(self) -> bool:
        """Whether the session is over."""
        return self.state is State.CLOSED

    @property
    def pack_bytes_limit(self) -> int:
        """Most bytes of `pack.nodes` that fit into a frame both sides accept."""
        agreed = self.caps.get("max_frame_bytes")
        frame_bytes = agreed if isinstance(agreed, int) else self._limits.frame_bytes
        return max(frame_bytes, LEAST_FRAME_BYTES) - ENVELOPE_BYTES

    @property
    def pack_nodes_limit(self) -> int:
        """Most nodes in a pack that both sides accept."""
        agreed = self.caps.get("max_pack_nodes")
        return agreed if isinstance(agreed, int) else self._limits.pack_nodes

    # the handshake

    def start(self, now_ms: int) -> list[ServerEffect]:
        """The socket is open: the challenge."""
        if self.state is not State.CREATED:
            raise ProtocolMisuse(f"start in state {self.state.value}")
        self._started_ms = now_ms
        self._messages = MessageRate(self._limits.messages_per_second, now_ms)
        self.state = State.GREETING
        if not self._is_codec_known:
            detail: dict[str, object] = {"subprotocols": [each.subprotocol for each in Codec]}
            reject = Reject(RejectClass.UNSUPPORTED_PROTOCOL, "no subprotocol in common", detail)
            return self._refuse(reject)
        return [self._send(self._greeting.challenge(self._software))]

    def _greet(self, frame: bytes) -> list[ServerEffect]:
        """The first frame of the client, which must be an acceptable hello."""
        try:
            hello = self._frames.read(frame)
        except MessageRefused as refusal:
            if _is_error(refusal):
                return self._close(CloseCode.NOT_A_HELLO, "an error instead of a hello")
            return self._refuse(refusal.reject, refusal.ref, CloseCode.NOT_A_HELLO)
        if not isinstance(hello, messages.Hello):
            reject = Reject(RejectClass.INVALID_MESSAGE, "the first message must be hello")
            return self._refuse(reject, hello.ref, CloseCode.NOT_A_HELLO)
        try:
            self._handshake = self._greeting.judge(hello)
        except Reject as reject:
            return self._refuse(reject, hello.ref)
        self.hello = hello
        self.caps = meet(self._offer, hello.caps)
        self.state = State.OPENING
        is_new_here = hello.lineage is None and hello.cursor is None
        return [OpenRoom(self.room_id, may_create=hello.pubkey is not None and is_new_here)]

    def room_opened(self, room: RoomFacts, now_ms: int) -> list[ServerEffect]:
        """The room's whole index is loaded: the welcome, or a refusal of what the hello claims."""
        if self.state is State.CLOSED:
            return []
        if self.state is not State.OPENING or self.hello is None:
            raise ProtocolMisuse(f"room_opened in state {self.state.value}")
        hello = self.hello
        pending = hello.pending or messages.Pending()
        self._room = room
        self._credit = PushCredit(
            self._limits,
            backlog_nodes=pending.nodes,
            backlog_bytes=pending.bytes,
            now_ms=now_ms,
        )
        try:
            welcome = self._greeting.welcome(
                hello,
                self._handshake,
                room,
                caps=self.caps,
                limits=self._limits,
                credit=self._credit.announce(),
                session_id=self.session_id,
            )
        except Reject as reject:
            return self._refuse(reject, hello.ref)
        self.state = State.OPEN
        self.catch_up = welcome.catch_up
        effects: list[ServerEffect] = [self._send(welcome)]
        held, self._held = self._held, []
        for frame in held:
            effects += self.receive(frame, now_ms)
        return effects

    def room_refused(self, reject: Reject) -> list[ServerEffect]:
        """The room cannot be opened: the error, and the close that goes with its class."""
        if self.state is State.CLOSED:
            return []
        if self.state is not State.OPENING or self.hello is None:
            raise ProtocolMisuse(f"room_refused in state {self.state.value}")
        return self._refuse(reject, self.hello.ref)

    # what the client sends

    def receive(self, frame: bytes, now_ms: int) -> list[ServerEffect]:
        """One frame of the client, of the kind its codec has."""
        state = self.state
        try:
            if state is State.OPEN or state is State.DRAINING:
                return self._converse(frame, now_ms)
            if state is State.GREETING:
                return self._greet(frame)
            if state is State.OPENING:
                return self._hold(frame)
        except Undecodable:
            return self._close(CloseCode.BAD_PAYLOAD, "undecodable frame")
        if state is State.CLOSED:
            return []
        raise ProtocolMisuse(f"receive in state {state.value}")

    def receive_wrong_kind(self) -> list[ServerEffect]:
        """A text frame in a binary session, or the reverse."""
        return self._close(CloseCode.UNSUPPORTED_DATA, f"not a {self.codec.subprotocol} frame")

    def receive_control(self, now_ms: int) -> list[ServerEffect]:
        """A WebSocket ping or pong, which draws on the messages a session may send."""
        if self.state is State.CREATED or self.state is State.CLOSED:
            return []
        return self._rate_limited(1, None, now_ms)

    def _hold(self, frame: bytes) -> list[ServerEffect]:
        """A frame between hello and welcome: nobody has credit yet, the rest waits."""
        ref = None
        try:
            message = self._frames.read(frame)
        except MessageRefused:
            pass
        else:
            if isinstance(message, messages.PushPack):
                reject = Reject(RejectClass.RATE_NODES, "no credit before the welcome")
                return self._refuse(reject, message.ref, CloseCode.RATE_LIMIT_EXCEEDED)
            ref = message.ref
        if len(self._held) >= HELD_FRAMES:
            reject = Reject(RejectClass.RATE_MESSAGES, "too many messages before the welcome")
            return self._refuse(reject, ref, CloseCode.RATE_LIMIT_EXCEEDED)
        self._held.append(frame)
        return []

    def _converse(self, frame: bytes, now_ms: int) -> list[ServerEffect]:
        try:
            message = self._frames.read(frame)
        except MessageRefused as refusal:
            limited = self._rate_limited(1, refusal.ref, now_ms)
            if _is_error(refusal):
                # Nothing answers an error, lest two sides go on for ever; a flood still ends.
                return limited if self.is_closed else []
            return limited or [self._error(refusal.reject, refusal.ref)]
        if isinstance(message, messages.PushPack):
            return self._push(message, now_ms)
        cost = REQUEST_COST if isinstance(message, messages.Request) else 1
        limited = self._rate_limited(cost, message.ref, now_ms)
        if limited:
            return limited
        if isinstance(message, messages.Ping):
            return [
                self._send(messages.Pong(ref=message.ref, t=message.t, seq=self._room.head_seq))
            ]
        if isinstance(message, messages.Request):
            return self._request(message)
        reject = Reject(RejectClass.INVALID_MESSAGE, "this session has had its hello")
        return [self._error(reject, message.ref)]

    def _rate_limited(self, cost: int, ref: str | None, now_ms: int) -> list[ServerEffect]:
        """The refusal of a message beyond the rate, and of too many such the end."""
        reject = self._messages.take(cost, now_ms)
        if reject is None:
            return []
        if self._messages.is_flooded:
            return self._refuse(reject, ref, CloseCode.RATE_LIMIT_EXCEEDED)
        return [self._error(reject, ref)]

    # pushing

    def _push(self, message: messages.PushPack, now_ms: int) -> list[ServerEffect]:
        credit = self._credit
        credit.refill(now_ms)
        size_bytes = len(message.nodes)
        if not credit.spend_bytes(size_bytes):
            reject = Reject(RejectClass.RATE_BYTES, "more bytes than granted")
            return self._refuse(reject, message.ref, CloseCode.RATE_LIMIT_EXCEEDED)
        nodes = 0
        fault: Reject | None = None
        try:
            nodes = claimed_count(message.nodes)
            self._check_push(message, nodes)
        except Reject as refusal:
            fault = refusal
        if not credit.spend_nodes(nodes):
            reject = Reject(RejectClass.RATE_NODES, "more nodes than granted")
            return self._refuse(reject, message.ref, CloseCode.RATE_LIMIT_EXCEEDED)
        if nodes == 0 or fault is not None:
            # It costs no credit, or buys nothing with it: then it is a message like any other.
            fault = self._messages.take(1, now_ms) or fault
            if fault is not None and self._messages.is_flooded:
                return self._refuse(fault, message.ref, CloseCode.RATE_LIMIT_EXCEEDED)
        pushed = self._pushed.push(message.ref, nodes, size_bytes)
        if fault is not None:
            return self.pack_refused(pushed.ticket, fault)
        author = self.author
        assert author is not None
        return [Admit(pushed.ticket, message.nodes, message.lineage, author)]

    def _check_push(self, message: messages.PushPack, nodes: int) -> None:
        if self.state is State.DRAINING:
            detail: dict[str, object] = {"retry_after_ms": self._retry_after_ms}
            raise Reject(RejectClass.DRAINING, "the server is about to close", detail)
        if self.author is None:
            raise Reject(RejectClass.PROOF_MISSING, "a session without a key only reads")
        if message.lineage != self._room.lineage:
            raise Reject(RejectClass.LINEAGE_MISMATCH, "the pack is of another lineage")
        if nodes > self._limits.pack_nodes:
            raise field_reject("nodes", f"more than {self._limits.pack_nodes} nodes")

    def pack_settled(self, ticket: int, ack: messages.PackAck) -> list[ServerEffect]:
        """The pack of an `Admit` is decided and durable; `ack` lacks only ref and credit."""
        return self._answer(ticket, ack)

    def pack_refused(self, ticket: int, reject: Reject) -> list[ServerEffect]:
        """Nothing of the pack of an `Admit` was taken."""
        return self._answer(ticket, reject)

    def _answer(self, ticket: int, answer: messages.PackAck | Reject) -> list[ServerEffect]:
        if self.state is State.CLOSED:
            return []
        pushed = self._pushed.find(ticket)
        pushed.answer = answer
        self._credit.settle(pushed.nodes, pushed.size_bytes)
        effects: list[ServerEffect] = []
        while (ready := self._pushed.pop_answered()) is not None:
            answer_now = ready.answer
            if isinstance(answer_now, messages.PackAck):
                answer_now.ref = ready.ref
                answer_now.credit = self._credit.announce()
                effects.append(Send(encode(self.codec, answer_now)))
            else:
                assert answer_now is not None
                effects.append(self._error(answer_now, ready.ref))
        if self.state is State.DRAINING and not self._pushed:
            effects += self._close(CloseCode.SERVICE_RESTART, "drained")
        return effects

    # reading

    def _request(self, message: messages.Request) -> list[ServerEffect]:
        try:
            return [self._requests.accept(message, self._room, self.pack_nodes_limit)]
        except Reject as reject:
            return [self._error(reject, message.ref)]

    def page(self, read: Read, nodes: bytes, from_seq: int, to_seq: int) -> list[ServerEffect]:
        """One pack of the answer to `read`."""
        if self.state is State.CLOSED:
            return []
        pack = messages.Pack(
            ref=read.ref,
            lineage=self._room.lineage,
            nodes=nodes,
            from_seq=from_seq,
            to_seq=to_seq,
        )
        return [self._send(pack)]

    def request_done(
        self, read: Read, seq: int, missing: tuple[bytes, ...] = ()
    ) -> list[ServerEffect]:
        """`read` is answered in full; `seq` is the session's reading position."""
        if self.state is State.CLOSED:
            return []
        self._requests.finish(read)
        return [self._send(messages.RequestEnd(ref=read.ref, seq=seq, missing=list(missing)))]

    def request_failed(self, read: Read, reject: Reject) -> list[ServerEffect]:
        """`read` cannot be answered in full; what was sent of it stands."""
        if self.state is State.CLOSED:
            return []
        self._requests.finish(read)
        return [self._error(reject, read.ref)]

    # time, and the end

    def tick(self, now_ms: int) -> list[ServerEffect]:
        """Time has passed: the hello limit, and credit for a client that is short of it."""
        if self.state is State.GREETING:
            if now_ms - self._started_ms >= self._limits.hello_wait_ms:
                return self._refuse(Reject(RejectClass.TIMEOUT, "no hello in time"))
        elif self.state is State.OPEN and self.author is not None:
            self._credit.refill(now_ms)
            if self._credit.is_worth_announcing():
                totals = self._credit.announce()
                return [self._send(messages.Credit(nodes=totals.nodes, bytes=totals.bytes))]
        return []

    def drain(self, deadline_ms: int, retry_after_ms: int) -> list[ServerEffect]:
        """The server is about to stop: notice, answers to the packs in flight, 1012."""
        if self.state is State.CLOSED or self.state is State.DRAINING:
            return []
        notice = messages.Notice(
            drain=messages.Drain(deadline_ms=deadline_ms, retry_after_ms=retry_after_ms)
        )
        effects: list[ServerEffect] = [self._send(notice)]
        if self._pushed:
            self.state = State.DRAINING
            self._retry_after_ms = retry_after_ms
            return effects
        return effects + self._close(CloseCode.SERVICE_RESTART, "drained")

    def stall(self) -> list[ServerEffect]:
        """The client has not read for too long: it comes back with its cursor."""
        return self._close(CloseCode.RESYNC_REQUIRED, "send stall")

    def turn_away(self, reject: Reject) -> list[ServerEffect]:
        """The server cannot take this session now; `reject` says why."""
        if self.state is State.CLOSED:
            return []
        return self._refuse(reject)

    def fail(self, incident: str) -> list[ServerEffect]:
        """A fault of the server's own; `incident` finds it in the log."""
        if self.state is State.CLOSED:
            return []
        error = messages.Error(
            reject_class=RejectClass.INTERNAL.wire,
            message="a fault of the server",
            kind=RejectKind.FINAL.value,
            incident=incident,
        )
        effects: list[ServerEffect] = [Send(encode(self.codec, error), RejectClass.INTERNAL)]
        return effects + self._close(CloseCode.INTERNAL_ERROR, incident)

    def disconnected(self) -> None:
        """The socket is gone, whoever closed it."""
        self.state = State.CLOSED
        self._pushed.clear()
        self._held.clear()

    def _send(self, message: messages.Message) -> Send:
        return Send(encode(self.codec, message))

    def _error(self, reject: Reject, ref: str | None) -> Send:
        hint = reject.detail.get("retry_after_ms")
        error = messages.Error(
            ref=ref,
            reject_class=reject.reject_class.wire,
            message=reject.message,
            kind=reject.reject_class.kind.value,
            retry_after_ms=hint if isinstance(hint, int) else None,
            detail=reject.detail,
        )
        return Send(encode(self.codec, error), reject.reject_class)

    def _refuse(
        self, reject: Reject, ref: str | None = None, code: CloseCode | None = None
    ) -> list[ServerEffect]:
        """The error, then the close its class has unless `code` says otherwise."""
        if code is None:
            code = close_code_of(reject.reject_class)
        effects: list[ServerEffect] = [self._error(reject, ref)]
        return effects + self._close(code, reject.reject_class.wire)

    def _close(self, code: CloseCode, reason: str) -> list[ServerEffect]:
        if self.state is State.CLOSED:
            return []
        self.disconnected()
        self.close_code = code
        self.close_reason = reason
        return [Close(code, reason)]


def _is_error(refusal: MessageRefused) -> bool:
    return refusal.reject.detail.get("type") == "error"
