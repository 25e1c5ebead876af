"""One socket: carries out what its session asks for, and writes straight to the transport."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final, final

from aiohttp.abc import AbstractStreamWriter

from roomlog.core.patterns import pattern_set
from roomlog.core.reject import Reject, RejectClass
from roomlog.protocol.close_codes import CloseCode
from roomlog.protocol.effects import (
    Admit,
    Close,
    DeliverSignal,
    OpenRoom,
    Read,
    ReadAfter,
    ReadBefore,
    ReadBodies,
    ReadHash,
    ReadMissing,
    ReadNodes,
    ReadSnapshot,
    Send,
    ServerEffect,
    ShowPresence,
)
from roomlog.protocol.greeting import WELCOME_PEERS
from roomlog.protocol.messages import Identity, PackAck
from roomlog.protocol.server_session import ServerSession, State
from roomlog.server.admission import Refusals
from roomlog.server.answers import Answer, answer_before, answer_missing, answer_nodes
from roomlog.server.company import Member
from roomlog.server.feeder import Feeder
from roomlog.server.reader import Reader, opcode_of
from roomlog.server.room import RETRY_AFTER_MS, Room
from roomlog.server.snapshots import SnapshotAnswer
from roomlog.server.websocket_frame import CLOSE, PING, PONG, server_frame

if TYPE_CHECKING:
    from roomlog.server.hub import Hub

CLOSE_WAIT_SECONDS: Final = 2.0
"""How long a client has to answer a close before its socket is cut."""
MAX_CLOSE_REASON_BYTES: Final = 120
NO_STATUS: Final = 1005
"""Stands for a close without a code; never on the wire (RFC 6455, 7.4.1)."""
ANSWERS_BYTES: Final = 16 * 1024 * 1024
"""What may wait for a reader beyond relayed packs: a batch of them, and answers to its requests."""
_RATE_CLASSES: Final = {
    RejectClass.RATE_BYTES: "bytes",
    RejectClass.RATE_NODES: "nodes",
    RejectClass.RATE_MESSAGES: "messages",
}


@final
class Connection:
    """Between a `ServerSession`, its room and its socket."""

    def __init__(
        self,
        hub: Hub,
        session: ServerSession,
        transport: asyncio.Transport,
        writer: AbstractStreamWriter,
        address: str,
    ) -> None:
        self.hub = hub
        self.session = session
        self.transport = transport
        self.address = address
        self.refusals = Refusals()
        self.room: Room | None = None
        self.reader: Reader | None = None
        self._member: Member | None = None
        self.opened = hub.monotonic()
        self.peer_close_code: int | None = None
        self.is_dead = False
        self.frame_fault: int | None = None
        """The close code of a frame that could not be read, 1009 for one that is too long."""
        self._feeder = Feeder(self, writer)
        self._opcode = opcode_of(session.codec)
        self._outbox: list[bytes] = []
        self._opening: asyncio.Task[None] | None = None
        self._last_seen = self.opened
        self._last_ping = self.opened
        self._written_bytes = 0
        self._flushed_bytes = 0
        self._progress_at = self.opened

    # from the socket

    def start(self) -> None:
        """Say hello to the socket."""
        self._do(self.session.start(self.hub.monotonic_ms()))

    def receive(self, frame: bytes, *, is_text: bool) -> None:
        """One data frame."""
        now = self._last_seen = self.hub.monotonic()
        session = self.session
        if is_text is session.codec.is_text:
            self._do(session.receive(frame, int(now * 1000)))
        else:
            self._do(session.receive_wrong_kind())

    def receive_ping(self, payload: bytes) -> None:
        """A WebSocket ping: a sign of life, answered within the message rate."""
        now = self._last_seen = self.hub.monotonic()
        effects = self.session.receive_control(int(now * 1000))
        if not effects and self.session.close_code is None:
            self._outbox.append(server_frame(PONG, payload))
        self._do(effects)

    def receive_pong(self) -> None:
        """A WebSocket pong: a sign of life."""
        now = self._last_seen = self.hub.monotonic()
        self._do(self.session.receive_control(int(now * 1000)))

    def receive_close(self, code: int | None) -> None:
        """The client closes, or answers our close; None when it gives no code."""
        self.peer_close_code = NO_STATUS if code is None else code
        if self.session.close_code is None:
            answer = b"" if code is None else code.to_bytes(2, "big")
            self._outbox.append(server_frame(CLOSE, answer))
            self.flush()

    def socket_failed(self, code: int) -> None:
        """The socket broke, or a frame was none of RFC 6455's; `code` says which."""
        if code != CloseCode.ABNORMAL.code:
            self.frame_fault = code

    def _do(self, effects: list[ServerEffect]) -> None:
        self.perform(effects)
        self.flush()

    # what the session asks for

    def perform(self, effects: list[ServerEffect]) -> None:
        """Carry out effects in order; frames wait in the outbox until `flush`."""
        for effect in effects:
            _PERFORM[type(effect)](self, effect)

    def _send(self, effect: Send) -> None:
        self._outbox.append(server_frame(self._opcode, effect.frame))
        if effect.refused is not None:
            self._count_error(effect.refused)

    def _admit(self, effect: Admit) -> None:
        assert self.room is not None
        self.room.push(self, effect.ticket, effect.pack)

    def _begin_opening(self, effect: OpenRoom) -> None:
        self._opening = asyncio.create_task(self._open_room(effect))

    def flush(self) -> None:
        """Write what waits in one piece."""
        outbox = self._outbox
        if outbox:
            data = outbox[0] if len(outbox) == 1 else b"".join(outbox)
            outbox.clear()
            self.write(data)

    def write(self, data: bytes) -> None:
        """Write whole frames after everything that was flushed before."""
        if not self.transport.is_closing():
            self.transport.write(data)
            self._written_bytes += len(data)

    def _count_error(self, reject_class: RejectClass) -> None:
        metrics = self.hub.metrics
        metrics.errors_total.labels(reject_class.wire).inc()
        kind = _RATE_CLASSES.get(reject_class)
        if kind is not None:
            metrics.rate_limited_total.labels(kind).inc()

    async def _open_room(self, effect: OpenRoom) -> None:
        try:
            room = await self.hub.open_room(effect)
            self.hub.check_room_space(room)
        except Reject as reject:
            self._do(self.session.room_refused(reject))
        except Exception as error:
            self.fail(error)
        else:
            self._enter(room)

    def _enter(self, room: Room) -> None:
        session = self.session
        if session.is_closed:
            return
        # The welcome speaks of the whole log: nothing of it is to be relayed to this reader.
        room.publish_now()
        effects = session.room_opened(room, self.hub.monotonic_ms())
        if session.state is State.OPEN:
            self.room = room
            room.sessions.add(self)
            self.reader = Reader(
                session.codec,
                self.transport,
                self._feeder.wake,
                pattern_set(session.patterns),
                pack_bytes_limit=session.pack_bytes_limit,
                pack_nodes_limit=session.pack_nodes_limit,
            )
            room.readers.go_live(self.reader)
            self.hub.count_welcome(self)
            # The welcome leaves before anything that the room has to say.
            self._do(effects[:1])
            effects = effects[1:]
            self._join_company(room)
        self._do(effects)

    def _join_company(self, room: Room) -> None:
        session = self.session
        hello = session.hello
        assert hello is not None
        if not session.caps.get("presence_ttl"):
            return
        who = None if hello.pubkey is None else Identity(pubkey=hello.pubkey, label=hello.label)
        self._member = self._feeder.news = room.company.enter(
            self,
            codec=session.codec,
            session_id=session.session_id,
            identity=who,
            kind=hello.peer_type,
            known_peers=WELCOME_PEERS,
        )

    def _show_presence(self, effect: ShowPresence) -> None:
        room, member = self.room, self._member
        assert room is not None
        assert member is not None
        room.company.show(member, effect.data, self.hub.monotonic() + effect.ttl_ms / 1000)

    def _deliver_signal(self, effect: DeliverSignal) -> None:
        room, member = self.room, self._member
        assert room is not None
        assert member is not None
        to = Identity(pubkey=effect.pubkey, label=effect.label)
        taken = room.company.signal(member, to, effect.data)
        if taken is None:
            reject = Reject(RejectClass.PEER_UNKNOWN, "nobody of that key and label is here")
            self.perform(self.session.signal_failed(effect, reject))
        elif not taken:
            detail: dict[str, object] = {"retry_after_ms": RETRY_AFTER_MS}
            reject = Reject(RejectClass.QUEUE_FULL, "that peer reads too slowly", detail)
            self.perform(self.session.signal_failed(effect, reject))

    # What was asked before is answered before: each read flushes.

    def _read_after(self, effect: ReadAfter) -> None:
        self.flush()
        self._feeder.move_back(effect, effect.seq)

    def _read_bodies(self, effect: ReadBodies) -> None:
        self.flush()
        self._feeder.subscribe(effect)

    def _read_snapshot(self, effect: ReadSnapshot) -> None:
        self.flush()
        room = self.room
        assert room is not None
        snapshot = room.snapshots.offered(room.snapshot_policy)
        # The session has asked the room in the same turn.
        assert snapshot is not None
        answer = SnapshotAnswer(effect, snapshot, self.session.pack_bytes_limit)
        room.snapshots.send(answer)
        self._feeder.move_back(effect, snapshot.seq, answer)

    def _read_hash(self, effect: ReadHash) -> None:
        self.flush()
        assert self.room is not None
        self.hub.state_hashes.begin(self, self.room, effect)

    def hash_found(
        self, read: ReadHash, frontier: list[bytes], digest: str, coverage: dict[str, object]
    ) -> None:
        """The state hash that `read` asks for."""
        self.perform(self.session.state_hash(read, frontier, digest, coverage))
        self._do(self.session.request_done(read, self._feeder.position()))

    def hash_failed(self, read: ReadHash, reject: Reject) -> None:
        """The state hash that `read` asks for cannot be had."""
        self._do(self.session.request_failed(read, reject))

    def _answer(self, effect: Read) -> None:
        self.flush()
        self._feeder.answer(_ANSWERS[type(effect)](effect, self.hub.monotonic()))

    def wake(self) -> None:
        """Something waits for the socket to drain."""
        self._feeder.wake()

    # what the room answers

    @property
    def author(self) -> bytes:
        """The proven key of a session that pushes."""
        author = self.session.author
        assert author is not None
        return author

    def settle(self, ticket: int, ack: PackAck) -> None:
        """A pushed pack is decided and durable."""
        self.perform(self.session.pack_settled(ticket, ack))
        self.hub.flush_later(self)

    def refuse(self, ticket: int, reject: Reject) -> None:
        """Nothing of a pushed pack was taken."""
        self.perform(self.session.pack_refused(ticket, reject))
        self.hub.flush_later(self)

    # time, and the end

    def tick(self, now: float) -> None:
        """Look after the session's timers, the client's life and the socket's progress."""
        if self.transport.is_closing():
            return
        limits = self.hub.config.limits
        self._do(self.session.tick(int(now * 1000)))
        interval = limits.ping_interval_ms / 1000
        if now - self._last_seen >= interval * (limits.pings_missed + 1):
            self.cut()
        elif now - max(self._last_seen, self._last_ping) >= interval:
            self._last_ping = now
            self.write(server_frame(PING, b""))
        self._check_progress(now, limits.send_stall_ms / 1000)

    def _check_progress(self, now: float, stall_seconds: float) -> None:
        if self.transport.is_closing():
            return
        waiting_bytes = self.transport.get_write_buffer_size()
        relayed_bytes = 0 if self.reader is None else self.reader.written_bytes
        flushed_bytes = self._written_bytes + relayed_bytes - waiting_bytes
        # Packs stop at the reader's bound, but a client that reads a little can ask for more
        # answers than it takes.
        is_drowning = waiting_bytes > self.hub.config.reader_buffer_bytes + ANSWERS_BYTES
        if waiting_bytes == 0 or (flushed_bytes > self._flushed_bytes and not is_drowning):
            self._flushed_bytes = flushed_bytes
            self._progress_at = now
        elif is_drowning or now - self._progress_at >= stall_seconds:
            self.hub.metrics.resyncs_total.labels("send_stall").inc()
            self._do(self.session.stall())
            self.cut()

    def drain(self, deadline_ms: int, retry_after_ms: int) -> None:
        """The server is about to stop."""
        self._do(self.session.drain(deadline_ms, retry_after_ms))

    def end_epoch(self) -> None:
        """The room has another epoch than this session was welcomed to."""
        self._do(self.session.epoch_renewed())

    def turn_away(self, reject: Reject) -> None:
        """The server cannot have this session now."""
        self._do(self.session.turn_away(reject))

    def fail(self, error: BaseException) -> None:
        """A fault of our own: in the log with an incident id, which the client is told."""
        incident = self.hub.report(error, session=self.session.session_id)
        self._do(self.session.fail(incident))

    def cut(self) -> None:
        """End the socket without waiting for anybody."""
        self.is_dead = True
        self.transport.abort()

    def _begin_close(self, effect: Close) -> None:
        reason = effect.reason.encode()[:MAX_CLOSE_REASON_BYTES]
        self._outbox.append(server_frame(CLOSE, effect.code.code.to_bytes(2, "big") + reason))
        self._leave()
        asyncio.get_running_loop().call_later(CLOSE_WAIT_SECONDS, self.transport.abort)

    def _leave(self) -> None:
        self._feeder.stop()
        if self._opening is not None and self._opening is not asyncio.current_task():
            self._opening.cancel()
        room = self.room
        if room is not None:
            self.room = None
            room.sessions.discard(self)
            room.abandon(self)
            room.last_used = self.hub.monotonic()
            if self.reader is not None:
                room.readers.leave(self.reader, 0)
            if self._member is not None:
                room.company.leave(self._member)
                self._member = None

    @property
    def waiting_bytes(self) -> int:
        """Bytes in the socket's send buffer."""
        return 0 if self.transport.is_closing() else self.transport.get_write_buffer_size()

    def ending(self) -> tuple[str, int, str]:
        """Who ended the session, with which code and why."""
        session = self.session
        if session.close_code is not None:
            return "server", session.close_code.code, session.close_reason
        if self.frame_fault is not None:
            return "server", self.frame_fault, "frame"
        if self.is_dead:
            return "server", CloseCode.ABNORMAL.code, "no sign of life"
        if self.peer_close_code is not None:
            return "client", self.peer_close_code, ""
        return "socket", CloseCode.ABNORMAL.code, "gone"

    def closed(self) -> None:
        """The socket is gone."""
        self.session.disconnected()
        self._leave()


_ANSWERS: Final[dict[type, Callable[[Any, float], Answer]]] = {
    ReadMissing: answer_missing,
    ReadNodes: answer_nodes,
    ReadBefore: answer_before,
}
"""How a request that is answered beside the log is answered: from the read and the time."""
_PERFORM: Final[dict[type, Callable[[Connection, Any], None]]] = {
    Send: Connection._send,
    Close: Connection._begin_close,
    OpenRoom: Connection._begin_opening,
    Admit: Connection._admit,
    ReadAfter: Connection._read_after,
    ReadSnapshot: Connection._read_snapshot,
    ReadHash: Connection._read_hash,
    ReadBodies: Connection._read_bodies,
    ShowPresence: Connection._show_presence,
    DeliverSignal: Connection._deliver_signal,
    **dict.fromkeys(_ANSWERS, Connection._answer),
}
"""What to do for each effect of a session."""
