"""The server's side of one session as a pure state machine: frames and answers in, effects out.

Nothing here does I/O, tells time or is random. A peer's fault becomes an `error` frame, a close or
both; calling a method in a state that does not have it is the caller's bug: `ProtocolMisuse`.

    CREATED -start-> GREETING -hello-> OPENING -room_opened-> OPEN -drain-> DRAINING
    and from each of them, by a close effect, CLOSED, where everything is ignored.
"""

from __future__ import annotations

from typing import final

from roomlog.core.reject import Reject, RejectClass
from roomlog.core.signing import Signer
from roomlog.protocol import messages
from roomlog.protocol.capabilities import Offer, meet
from roomlog.protocol.checkpoint import Checkpoints
from roomlog.protocol.close_codes import CloseCode
from roomlog.protocol.codec import (
    Codec,
    FrameReader,
    MessageRefused,
    Undecodable,
    client_frames,
)
from roomlog.protocol.effects import (
    Admit,
    DeliverSignal,
    OpenRoom,
    Read,
    ReadBodies,
    ReadHash,
    ReadSnapshot,
    ServerEffect,
)
from roomlog.protocol.greeting import Greeting
from roomlog.protocol.limits import LEAST_FRAME_BYTES, SessionLimits
from roomlog.protocol.message_cost import LEAST_COST, cost_of
from roomlog.protocol.message_rate import MessageRate
from roomlog.protocol.presence_data import Social, social_effect
from roomlog.protocol.push_intake import Flood, PushIntake
from roomlog.protocol.pushed_packs import ProtocolMisuse
from roomlog.protocol.refusals import not_negotiated
from roomlog.protocol.requests import Requests
from roomlog.protocol.room_facts import RoomFacts
from roomlog.protocol.session_lifetime import SessionLifetime, State
from roomlog.protocol.subscription_list import accepted_patterns

__all__ = ["ENVELOPE_BYTES", "HELD_BYTES", "HELD_FRAMES", "ServerSession", "State"]

HELD_FRAMES = 8
"""Frames other than packs that may arrive before the welcome they should have waited for."""
HELD_BYTES = 64 * 1024
"""How long they may be together."""
ENVELOPE_BYTES = 1024
"""Room in a frame for everything of a pack message but its nodes."""


@final
class ServerSession(SessionLifetime):
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
        super().__init__(Codec.JSON if codec is None else codec)
        self.room_id = room_id
        self.session_id = session_id
        self.hello: messages.Hello | None = None
        """What the client said, once it was accepted."""
        self.caps: Offer = {}
        """The capabilities both sides have, once the hello was accepted."""
        self.catch_up = ""
        """How the client catches up, once it was welcomed."""
        self.patterns: tuple[str, ...] = ()
        """The keys whose bodies the client gets, as canonical globs; () for everything."""
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
        self._draining: Reject | None = None
        self._room: RoomFacts
        self._checkpoints: Checkpoints
        self._intake: PushIntake
        self._requests: Requests
        self._messages: MessageRate

    @property
    def author(self) -> bytes | None:
        """The proven public key, None for a session that only reads."""
        return None if self.hello is None else self.hello.pubkey

    @property
    def packs_in_flight(self) -> int:
        """Pushed packs without an answer."""
        return len(self._intake) if self.is_welcomed else 0

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
        return [self._answers.send(self._greeting.challenge(self._software))]

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
            caps = meet(self._offer, hello.caps)
            if "header_only_nodes" in caps:
                self.patterns = accepted_patterns(hello.subscribe, self._limits)
        except Reject as reject:
            return self._refuse(reject, hello.ref)
        self.hello = hello
        self.caps = caps
        self.state = State.OPENING
        is_new_here = hello.lineage is None and hello.cursor is None
        may_create = hello.pubkey is not None and is_new_here
        return [OpenRoom(self.room_id, may_create, self._greeting.evidence(hello))]

    def room_opened(self, room: RoomFacts, now_ms: int) -> list[ServerEffect]:
        """The room's whole index is loaded: the welcome, or a refusal of what the hello claims."""
        if self.state is State.CLOSED:
            return []
        if self.state is not State.OPENING or self.hello is None:
            raise ProtocolMisuse(f"room_opened in state {self.state.value}")
        hello = self.hello
        intake = PushIntake(
            self._limits,
            self._messages,
            lineage=room.lineage,
            author=hello.pubkey,
            pending=hello.pending or messages.Pending(),
            now_ms=now_ms,
        )
        try:
            welcome = self._greeting.welcome(
                hello,
                self._handshake,
                room,
                caps=self.caps,
                limits=self._limits,
                credit=intake.announce(),
                session_id=self.session_id,
                patterns=self.patterns,
            )
        except Reject as reject:
            return self._refuse(reject, hello.ref)
        self._room = room
        self._intake = intake
        self._requests = Requests(
            self._limits,
            room,
            caps=self.caps,
            most_nodes=self.pack_nodes_limit,
            patterns=self.patterns,
        )
        self._checkpoints = Checkpoints(
            welcome.seq, now_ms, interval_ms=self._limits.checkpoint_interval_ms
        )
        self.state = State.OPEN
        self.catch_up = welcome.catch_up
        effects: list[ServerEffect] = [self._answers.send(welcome)]
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
            if self.is_welcomed:
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

    def receive_control(self, now_ms: int) -> list[ServerEffect]:
        """A WebSocket ping or pong, which draws on the messages a session may send."""
        if self.state is State.CREATED or self.state is State.CLOSED:
            return []
        return self._rate_limited(LEAST_COST, None, now_ms)

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
        held_bytes = sum(map(len, self._held)) + len(frame)
        if len(self._held) >= HELD_FRAMES or held_bytes > HELD_BYTES:
            reject = Reject(RejectClass.RATE_MESSAGES, "too many messages before the welcome")
            return self._refuse(reject, ref, CloseCode.RATE_LIMIT_EXCEEDED)
        self._held.append(frame)
        return []

    def _converse(self, frame: bytes, now_ms: int) -> list[ServerEffect]:
        try:
            message = self._frames.read(frame)
        except MessageRefused as refusal:
            limited = self._rate_limited(cost_of(None, len(frame)), refusal.ref, now_ms)
            if _is_error(refusal):
                # Nothing answers an error, lest two sides go on for ever; a flood still ends.
                return limited if self.is_closed else []
            return limited or [self._answers.error(refusal.reject, refusal.ref)]
        if isinstance(message, messages.PushPack):
            return self._push(message, now_ms)
        limited = self._rate_limited(cost_of(message, len(frame)), message.ref, now_ms)
        if limited:
            return limited
        if isinstance(message, messages.Ping):
            pong = messages.Pong(ref=message.ref, t=message.t, seq=self._room.head_seq)
            return [self._answers.send(pong)]
        try:
            return [self._effect_of(message)]
        except Reject as reject:
            return [self._answers.error(reject, message.ref)]

    def _effect_of(
        self, message: messages.Hello | messages.Request | messages.Subscribe | Social
    ) -> ServerEffect:
        """What a message asks of the shell, or its answer. Raises `Reject`."""
        if isinstance(message, messages.Request):
            asked = self._requests.accept(message)
            if isinstance(asked, messages.RequestEnd):
                return self._answers.send(asked)
            return asked
        if isinstance(message, messages.Subscribe):
            return self._requests.subscribe(message)
        if isinstance(message, messages.Hello):
            raise Reject(RejectClass.INVALID_MESSAGE, "this session has had its hello")
        if "presence_ttl" not in self.caps:
            raise not_negotiated("presence_ttl")
        if self.author is None:
            raise Reject(RejectClass.PROOF_MISSING, "a session without a key shows nothing")
        return social_effect(message, self._limits)

    def _rate_limited(self, cost: int, ref: str | None, now_ms: int) -> list[ServerEffect]:
        """The refusal of a message beyond the rate, and of too many such the end."""
        reject = self._messages.take(cost, now_ms)
        if reject is None:
            return []
        if self._messages.is_flooded:
            return self._refuse(reject, ref, CloseCode.RATE_LIMIT_EXCEEDED)
        return [self._answers.error(reject, ref)]

    # pushing

    def _push(self, message: messages.PushPack, now_ms: int) -> list[ServerEffect]:
        try:
            pushed, fault = self._intake.receive(message, now_ms, self._draining)
        except Flood as flood:
            return self._refuse(flood.reject, message.ref, CloseCode.RATE_LIMIT_EXCEEDED)
        if fault is not None:
            return self.pack_refused(pushed.ticket, fault)
        author = self.author
        assert author is not None
        return [Admit(pushed.ticket, message.nodes, message.lineage, author)]

    def pack_settled(self, ticket: int, ack: messages.PackAck) -> list[ServerEffect]:
        """The pack of an `Admit` is decided and durable; `ack` lacks only ref and credit."""
        return self._answer(ticket, ack)

    def pack_refused(self, ticket: int, reject: Reject) -> list[ServerEffect]:
        """Nothing of the pack of an `Admit` was taken."""
        return self._answer(ticket, reject)

    def _answer(self, ticket: int, answer: messages.PackAck | Reject) -> list[ServerEffect]:
        if self.state is State.CLOSED:
            return []
        effects: list[ServerEffect] = []
        for ref, ready in self._intake.answer(ticket, answer):
            if isinstance(ready, messages.PackAck):
                ready.ref = ref
                ready.credit = self._intake.announce()
                effects.append(self._answers.send(ready))
            else:
                effects.append(self._answers.error(ready, ref))
        if self.state is State.DRAINING and not self._intake:
            effects += self._leave()
        return effects

    # reading

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
        return [self._answers.send(pack)]

    def snapshot_chunk(self, read: ReadSnapshot, chunk: messages.Snapshot) -> list[ServerEffect]:
        """One chunk of the answer to `read`; `chunk` lacks only its ref."""
        if self.state is State.CLOSED:
            return []
        chunk.ref = read.ref
        return [self._answers.send(chunk)]

    def state_hash(
        self, read: ReadHash, frontier: list[bytes], digest: str, coverage: dict[str, object]
    ) -> list[ServerEffect]:
        """The answer to `read`, before its end: the hash at `frontier`, ascending."""
        if self.state is State.CLOSED:
            return []
        report = messages.StateHashReport(
            ref=read.ref, frontier=frontier, hash=digest, coverage=coverage
        )
        return [self._answers.send(report)]

    def subscribed(self, read: ReadBodies, seq: int) -> list[ServerEffect]:
        """The patterns of `read` hold for every node after `seq`, the reading position."""
        if self.state is State.CLOSED:
            return []
        self._requests.subscribed(read)
        self.patterns = read.patterns
        ack = messages.SubscribeAck(ref=read.ref, seq=seq, patterns=list(read.patterns))
        return [self._answers.send(ack)]

    def request_done(
        self, read: Read, seq: int, missing: tuple[bytes, ...] = ()
    ) -> list[ServerEffect]:
        """`read` is answered in full; `seq` is the session's reading position."""
        if self.state is State.CLOSED:
            return []
        self._requests.finish(read)
        end = messages.RequestEnd(ref=read.ref, seq=seq, missing=list(missing))
        return [self._answers.send(end)]

    def request_failed(self, read: Read, reject: Reject) -> list[ServerEffect]:
        """`read` cannot be answered in full; what was sent of it stands.

        A subscription that is in force, but whose bodies did not all come, ends the session.
        """
        if self.state is State.CLOSED:
            return []
        can_go_on = self._requests.fail(read)
        effects: list[ServerEffect] = [self._answers.error(reject, read.ref)]
        return effects if can_go_on else effects + self.resync("a subscription was not filled")

    def signal_failed(self, signal: DeliverSignal, reject: Reject) -> list[ServerEffect]:
        """A signal reached nobody; `reject` says why."""
        if self.state is State.CLOSED:
            return []
        return [self._answers.error(reject, signal.ref)]

    # time, and the end

    def tick(self, now_ms: int) -> list[ServerEffect]:
        """Time has passed: the hello limit, credit for one who is short of it, checkpoints."""
        if self.state is State.GREETING:
            if now_ms - self._started_ms >= self._limits.hello_wait_ms:
                return self._refuse(Reject(RejectClass.TIMEOUT, "no hello in time"))
        elif self.state is State.OPEN:
            effects: list[ServerEffect] = []
            totals = self._intake.top_up(now_ms)
            if totals is not None:
                credit = messages.Credit(nodes=totals.nodes, bytes=totals.bytes)
                effects.append(self._answers.send(credit))
            checkpoint = self._checkpoints.due(self._room, now_ms)
            if checkpoint is not None:
                effects.append(self._answers.send(checkpoint))
            return effects
        return []

    def drain(self, deadline_ms: int, retry_after_ms: int) -> list[ServerEffect]:
        """The server is about to stop: notice, answers to the packs in flight, 1012."""
        if self.state is State.CLOSED or self.state is State.DRAINING:
            return []
        notice = messages.Notice(
            drain=messages.Drain(deadline_ms=deadline_ms, retry_after_ms=retry_after_ms)
        )
        effects: list[ServerEffect] = [self._answers.send(notice)]
        if self.state is not State.OPEN:
            return effects + self._close(CloseCode.SERVICE_RESTART, "drained")
        self.state = State.DRAINING
        detail: dict[str, object] = {"retry_after_ms": retry_after_ms}
        self._draining = Reject(RejectClass.DRAINING, "the server is about to close", detail)
        return effects if self._intake else effects + self._leave()

    def _leave(self) -> list[ServerEffect]:
        """Everything is answered: the last checkpoint, and the close."""
        last = self._checkpoints.newest(self._room)
        effects: list[ServerEffect] = [] if last is None else [self._answers.send(last)]
        return effects + self._close(CloseCode.SERVICE_RESTART, "drained")

    def disconnected(self) -> None:
        """The socket is gone, whoever closed it."""
        if self.is_welcomed:
            self._intake.clear()
        self._held.clear()
        super().disconnected()


def _is_error(refusal: MessageRefused) -> bool:
    return refusal.reject.detail.get("type") == "error"
