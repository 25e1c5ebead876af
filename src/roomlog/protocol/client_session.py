"""The client's side of one session as a state machine: frames in, frames and events out.

It trusts nothing that the server says: what breaks the protocol ends the session with a typed
fault, what a newer server may send is passed over. It knows no sockets, clocks or replicas.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable
from enum import Enum
from typing import Any, final

from roomlog.core.node import Node
from roomlog.core.reject import Reject, RejectClass, RejectKind
from roomlog.core.signing import Signer
from roomlog.protocol import messages
from roomlog.protocol.capabilities import Offer, meet, own_offer
from roomlog.protocol.client_events import (
    ClientEvent,
    ErrorReceived,
    Fault,
    Faulted,
    Ignored,
    Opened,
    PongReceived,
    ServerFault,
    broken,
)
from roomlog.protocol.client_handshake import ClientHandshake
from roomlog.protocol.codec import Codec, MessageRefused, Undecodable, encode
from roomlog.protocol.cut_search import SPACED_PAIRS, SPACED_PAIRS_JSON
from roomlog.protocol.held_log import HeldLog, Past
from roomlog.protocol.history_reader import HistoryReader
from roomlog.protocol.limits import DEFAULT_LIMITS, SessionLimits
from roomlog.protocol.log_reader import LogReader
from roomlog.protocol.messages import Cursor, Error, Message, Pending, SignedCheckpoint, Welcome
from roomlog.protocol.opened_room import OpenedRoom, most_frontier_ids, opened_queue
from roomlog.protocol.pack_answer import kind_of, read_ack, refuse_all
from roomlog.protocol.push_queue import PushQueue
from roomlog.protocol.received_pack import PackOpener
from roomlog.protocol.room_news import (
    NEWS,
    PING_REF,
    PRESENCE_REF,
    SIGNAL_REF,
    read_news,
    read_notice,
    read_refusal,
)
from roomlog.protocol.server_numbers import bounded_server_frames
from roomlog.protocol.side_questions import SideQuestions
from roomlog.protocol.subscription_change import SubscriptionChange


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
    the client holds of the room's log, and `held` answers what lies behind them; all absent for one
    that has never met the room. `checkpoint` is the newest one it has. `pending` is the backlog it
    brings. `nonce` is 32 random bytes. `offer` is what it can do (None: all that this build can);
    `subscribe` are the patterns of the keys whose bodies it wants. `wants_snapshot`: a newcomer may
    begin with one. `wants_signatures` False: old history may come without.
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
        held: HeldLog | None = None,
        checkpoint: SignedCheckpoint | None = None,
        pending: Pending | None = None,
        subscribe: tuple[str, ...] = (),
        offer: Offer | None = None,
        wants_snapshot: bool = False,
        wants_signatures: bool = True,
        label: str = "",
        token: str = "",
        software: messages.Software | None = None,
        limits: SessionLimits = DEFAULT_LIMITS,
    ) -> None:
        heads = sorted(frontier)[: limits.frontier_ids]
        if signer is None and (label or pending is not None):
            raise ValueError("a session without a key has neither a label nor pending nodes")
        if lineage is None and (cursor is not None or heads or checkpoint is not None):
            raise ValueError("a cursor, frontier or checkpoint belongs to a lineage")
        self.phase = Phase.AWAIT_CHALLENGE
        self.last_error: ErrorReceived | None = None
        """What the server reported last: why it closed, when it did."""
        self.caps: Offer = {}
        """The capabilities both sides have, from the welcome on."""
        self._offer = own_offer(limits) if offer is None else offer
        if "cursor_resume" not in self._offer:
            cursor = None
        self._past = Past(cursor, heads, held)
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
            offer=self._offer,
            subscribe=subscribe if "header_only_nodes" in self._offer else (),
            checkpoint=checkpoint,
        )
        self._has_key = signer is not None
        self._codec = codec
        self._pending = pending
        self._limits = limits
        self._wants_snapshot = wants_snapshot
        self._wants_signatures = wants_signatures
        self._frame_limit = limits.frame_limit(codec.subprotocol)
        self._read = bounded_server_frames(codec)
        self._frames: list[bytes] = []
        self._room: OpenedRoom
        self._reader: LogReader | None = None
        self._questions: SideQuestions | None = None
        self._queue = PushQueue(1, 0)
        self._pings: set[int] = set()
        self._told = 0
        self._handlers: dict[type[Message], Callable[[Any], list[ClientEvent]]] = {
            messages.Credit: self._on_credit,
            messages.Pack: self._on_pack,
            messages.PackAck: self._on_pack_ack,
            messages.Pong: self._on_pong,
            messages.RequestEnd: self._on_request_end,
            messages.Snapshot: self._on_snapshot,
            messages.SubscribeAck: self._on_subscribe_ack,
            messages.StateHashReport: self._on_state_hash,
            messages.Checkpoint: self._on_checkpoint,
            messages.Notice: read_notice,
            **dict.fromkeys(NEWS, self._on_news),
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
    def subscribed(self) -> tuple[str, ...]:
        """The patterns that the server follows, () for everything."""
        return () if self._questions is None else self._questions.subscription.patterns

    @property
    def packs_in_flight(self) -> int:
        """How many pushed packs have no answer yet."""
        return self._queue.in_flight

    def take_frames(self) -> list[bytes]:
        """Frames to write now, in order."""
        frames = self._frames
        self._frames = []
        return frames

    # pushing

    def push(self, nodes: Iterable[Node]) -> None:
        """Send own nodes, parents first, as credit allows; only while the session is open."""
        self._demand_key("push")
        self._queue.add(nodes)
        self._send_packs()

    def push_back(self, nodes: Iterable[Node]) -> None:
        """Send nodes of anybody that the server lost and asked for by `MissingAsked`.

        Parents first, whole and signed; answered as what is pushed. Raises ValueError for others.
        """
        self._demand_key("push back")
        if not self._room.takes_any_author:
            raise ValueError("the server misses nothing")
        kept = list(nodes)
        if any(node.signature is None or node.body is None for node in kept):
            raise ValueError("only whole and signed nodes can be pushed back")
        self._queue.add(kept)
        self._send_packs()

    def withdraw(self, ids: Collection[bytes]) -> None:
        """Forget nodes that were not sent yet."""
        self._queue.withdraw(ids)

    def is_pushing(self, node_id: bytes) -> bool:
        """Whether a node was given to `push` and has no answer yet."""
        return node_id in self._queue

    # asking

    def ping(self, t: int) -> None:
        """Ask for the head of the log; `PongReceived` or `PingRefused` with this `t` answers."""
        self._demand_open("ping")
        self._pings.add(t)
        self._send(messages.Ping(t=t, ref=f"{PING_REF}{t}"))

    def ask_history_before(self, seq: int) -> None:
        """Ask for one page below `seq`, the newest of it; `HistoryPage`s and `HistoryEnd` answer.

        Raises ValueError while another page is under way.
        """
        self._send(self._demand_open("ask for history").history.ask(seq))

    def ask_state_hash(self, patterns: tuple[str, ...] = ()) -> None:
        """Ask for the state hash of these keys; answered by `StateHashReceived`.

        Raises ValueError while another is under way.
        """
        self._send(self._demand_open("ask for a state hash").ask_state_hash(patterns))

    def subscribe(self, patterns: tuple[str, ...]) -> None:
        """Want the bodies of these keys from now on, of all for ().

        Answered by `SubscriptionChanged`, `BodiesFilled` and `SubscriptionComplete`. While an
        answer is under way only the newest of later wishes is kept, and sent when it is complete.
        """
        questions = self._demand_open("subscribe")
        self._demand_capability("header_only_nodes")
        message = questions.subscription.ask(patterns)
        if message is not None:
            self._send(message)

    # others in the room

    def show_presence(self, data: object, ttl_ms: int | None = None) -> None:
        """Show `data` to the room for `ttl_ms`; None takes it away.

        `PresenceRefused` when it was not taken.
        """
        self._demand_key("show presence")
        self._demand_capability("presence_ttl")
        self._send(messages.Presence(ref=self._next_ref(PRESENCE_REF), data=data, ttl_ms=ttl_ms))

    def send_signal(self, pubkey: bytes, label: str, data: object) -> str:
        """Send `data` to every session of one identity; the ref that a `SignalRefused` has."""
        self._demand_key("signal")
        self._demand_capability("presence_ttl")
        ref = self._next_ref(SIGNAL_REF)
        to = messages.Identity(pubkey=pubkey, label=label)
        self._send(messages.Signal(ref=ref, to=to, data=data))
        return ref

    def _next_ref(self, prefix: str) -> str:
        self._told += 1
        return f"{prefix}{self._told}"

    def _demand_open(self, what: str) -> SideQuestions:
        if not self.is_open or self._questions is None:
            raise ValueError(f"only an open session can {what}")
        return self._questions

    def _demand_key(self, what: str) -> None:
        if not self.is_open or not self._has_key:
            raise ValueError(f"only an open session with a key can {what}")

    def _demand_capability(self, name: str) -> None:
        if name not in self.caps:
            raise ValueError(f"the server does not have {name}, or it was not offered")

    # frames

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
            if isinstance(message, messages.Challenge):
                return self._on_challenge(message)
        elif self.phase is Phase.AWAIT_WELCOME:
            if isinstance(message, Welcome):
                return self._on_welcome(message)
            if isinstance(message, messages.Notice):
                return read_notice(message)
        else:
            handler = self._handlers.get(type(message))
            if handler is not None:
                return handler(message)
        raise broken(_tag_of(message), f"not expected by a session that is {self.phase.value}")

    def _on_challenge(self, challenge: messages.Challenge) -> list[ClientEvent]:
        self._send(self._handshake.hello(challenge, self._past, self._pending))
        self.phase = Phase.AWAIT_WELCOME
        return []

    def _on_welcome(self, welcome: Welcome) -> list[ClientEvent]:
        is_proven = self._handshake.check(welcome)
        challenge, limits = self._handshake.challenge, self._limits
        self.phase = Phase.OPEN
        self.caps = meet(self._offer, welcome.caps)
        self._room = OpenedRoom(welcome, challenge.server_pubkey, is_proven=is_proven)
        self._queue = opened_queue(welcome, self.caps, limits, self._codec)
        opener = PackOpener(welcome.lineage, limits.pack_nodes)
        allows_unsigned = not self._wants_signatures and "unsigned_bulk" in self.caps
        history = HistoryReader(
            welcome.epoch, opener, allows_unsigned=allows_unsigned, page_nodes=limits.pack_nodes
        )
        subscription = SubscriptionChange(tuple(welcome.subscribed), opener)
        self._questions = SideQuestions(history, subscription)
        reader = LogReader(
            welcome,
            self._past,
            opener,
            caps=self.caps,
            wants_snapshot=self._wants_snapshot and not welcome.subscribed,
            allows_unsigned=allows_unsigned,
            spaced_pairs=SPACED_PAIRS_JSON if self._codec.is_text else SPACED_PAIRS,
            frontier_ids=most_frontier_ids(welcome, limits),
        )
        self._reader = reader
        self._send_requests()
        opened = Opened(
            lineage=welcome.lineage,
            epoch=welcome.epoch,
            seq=welcome.seq,
            frontier=tuple(welcome.frontier),
            server_key=challenge.server_pubkey,
            server_name=challenge.server.name,
            server_version=challenge.server.version,
            session=welcome.session,
            catch_up=reader.catch_up,
            is_proven=is_proven,
            subscribed=subscription.patterns,
            resend_window_ms=welcome.limits.get("resend_window_ms", 0),
            limits=welcome.limits,
        )
        return [opened, *self._room.first_news(welcome, hears_peers="presence_ttl" in self.caps)]

    def _on_pack(self, pack: messages.Pack) -> list[ClientEvent]:
        reader, questions = self._open_parts()
        reader.opener.check(pack)
        if (answer := questions.take(pack)) is not None:
            return [answer]
        events = reader.take(pack)
        self._send_requests()
        return events

    def _on_request_end(self, end: messages.RequestEnd) -> list[ClientEvent]:
        reader, questions = self._open_parts()
        events = questions.end(end)
        if events is None:
            events = reader.end(end)
            self._send_requests()
        self._send_waiting_subscription()
        return events

    def _on_snapshot(self, chunk: messages.Snapshot) -> list[ClientEvent]:
        return self._open_parts()[0].take_chunk(chunk)

    def _on_subscribe_ack(self, ack: messages.SubscribeAck) -> list[ClientEvent]:
        return [self._open_parts()[1].subscription.acknowledge(ack)]

    def _on_state_hash(self, report: messages.StateHashReport) -> list[ClientEvent]:
        return [self._open_parts()[1].report(report)]

    def _on_checkpoint(self, checkpoint: messages.Checkpoint) -> list[ClientEvent]:
        return self._room.take_checkpoint(checkpoint)

    def _on_news(self, message: Message) -> list[ClientEvent]:
        if "presence_ttl" not in self.caps:
            return [Ignored(_tag_of(message))]
        return read_news(message)

    def _on_credit(self, credit: messages.Credit) -> list[ClientEvent]:
        self._queue.grant(credit.nodes, credit.bytes)
        self._send_packs()
        return []

    def _on_pack_ack(self, ack: messages.PackAck) -> list[ClientEvent]:
        pack = self._queue.settle(ack.ref)
        if pack is None:
            raise broken("pack-ack", "not for the oldest pack in flight")
        answers = read_ack(pack, ack, self._open_parts()[0].position)
        if ack.credit is not None:
            self._queue.grant(ack.credit.nodes, ack.credit.bytes)
        self._send_packs()
        return list(answers)

    def _on_pong(self, pong: messages.Pong) -> list[ClientEvent]:
        if pong.t not in self._pings:
            return []
        self._pings.discard(pong.t)
        return [PongReceived(pong.t, pong.seq)]

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
        if error.ref is None or not self.is_open:
            return [received]
        events: list[ClientEvent] = [received]
        reader, questions = self._open_parts()
        pack = self._queue.settle_any(error.ref)
        if pack is not None:
            if received.kind is RejectKind.FINAL and len(pack.nodes) > 1:
                # One of them is to blame: find out which.
                self._queue.resend_singly(pack)
            else:
                events.append(refuse_all(pack, error))
            self._send_packs()
            return events
        refused = questions.refuse(error)
        if refused is not None:
            self._send_waiting_subscription()
            events.append(refused)
        elif reader.awaits(error.ref):
            events += reader.refuse(error)
            self._send_requests()
        else:
            events += read_refusal(received, error.ref)
        return events

    def _open_parts(self) -> tuple[LogReader, SideQuestions]:
        assert self._reader is not None
        assert self._questions is not None
        return self._reader, self._questions

    def _send_requests(self) -> None:
        reader = self._open_parts()[0]
        for request in reader.requests:
            self._send(request)
        reader.requests.clear()

    def _send_waiting_subscription(self) -> None:
        message = self._open_parts()[1].subscription.take_waiting()
        if message is not None:
            self._send(message)

    def _send_packs(self) -> None:
        while (pack := self._queue.next_pack()) is not None:
            self._send(messages.PushPack(ref=pack.ref, lineage=self._room.lineage, nodes=pack.data))

    def _send(self, message: Message) -> None:
        self._frames.append(encode(self._codec, message))


def _tag_of(message: Message) -> str:
    return str(type(message).__struct_config__.tag)
