"""The sessions of a room that see each other: presence, peers and signals on their way.

What happens within one turn of the loop is written to each socket in one piece. A socket that is
full is not written to: its session remembers *whom* it has to be told about, not what, and is told
the newest once the socket has drained. So a slow reader costs a name for each session, however
much the others show.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Sequence
from typing import Final, NamedTuple, Protocol, final

from roomlog.protocol.codec import Codec, encode
from roomlog.protocol.messages import (
    Identity,
    Message,
    PeerJoined,
    PeerLeft,
    SignalReceived,
)
from roomlog.server.metrics import Metrics
from roomlog.server.peers import Peers
from roomlog.server.presence import EXPIRED, LEFT, Presence, Shown, left, snapshot_page
from roomlog.server.reader import opcode_of
from roomlog.server.websocket_frame import server_frame

LAGGING_BYTES: Final = 256 * 1024
"""A socket that holds back more than this gets nothing here until it has drained."""
TURN_WRITES: Final = 20_000
"""How many messages, each to each member, are written before others get their turn."""
TURN_BYTES: Final = 16 * 1024 * 1024
REST_PER_TURN: Final = 4
"""How much longer than it wrote a room rests before it writes again what it says at once."""
FREE_WRITE_SECONDS: Final = 0.002
PIECE_BYTES: Final = 64 * 1024
"""What a drained socket is told at once, and how long a page of a snapshot may become."""


class Outlet(Protocol):
    """What of a connection is needed to tell it something."""

    @property
    def waiting_bytes(self) -> int: ...
    def write(self, data: bytes) -> None: ...
    def wake(self) -> None: ...


class _Gone(NamedTuple):
    """A session that shows nothing any more."""

    identity: Identity
    reason: str


@final
class Member:
    """One session among the others. `identity` None: it sees and is not seen."""

    __slots__ = (
        "_company",
        "_peers",
        "_presence",
        "_snapshot",
        "codec",
        "entered",
        "identity",
        "outlet",
        "session_id",
    )

    def __init__(
        self,
        company: Company,
        outlet: Outlet,
        *,
        codec: Codec,
        session_id: str,
        identity: Identity | None,
        entered: int,
    ) -> None:
        self.outlet = outlet
        self.codec = codec
        self.session_id = session_id
        self.identity = identity
        self.entered = entered
        """The number of the first event it has to hear of."""
        self._company = company
        # What waits for the socket; None as nearly always.
        self._snapshot: list[str] | None = None
        self._peers: dict[Identity, str | None] | None = None
        self._presence: dict[str, _Gone | None] | None = None

    @property
    def is_waiting(self) -> bool:
        """Whether it has to be told something once the socket has drained."""
        return not (self._snapshot is None and self._peers is None and self._presence is None)

    @property
    def is_lagging(self) -> bool:
        """Whether nothing should be written to it now."""
        return self.is_waiting or self.outlet.waiting_bytes > LAGGING_BYTES

    def owe_snapshot(self, session_ids: Iterable[str]) -> None:
        """It has to be told what these sessions show."""
        self._snapshot = list(session_ids) or None

    def owe_peer(self, identity: Identity, kind: str, *, was_here: bool) -> None:
        """It has to be told about an identity, of which it knows that it was here or was not."""
        if self._peers is None:
            self._peers = {}
        if identity in self._peers:
            return
        self._peers[identity] = kind if was_here else None

    def owe_presence(self, session_id: str, gone: _Gone | None) -> None:
        """It has to be told what a session shows, or that it shows nothing."""
        if self._presence is None:
            self._presence = {}
        self._presence[session_id] = gone

    def send_some(self) -> None:
        """The socket has drained: tell it what it was owed, as it is now; one piece."""
        frames: list[bytes] = []
        size = 0
        while size < PIECE_BYTES:
            payload = self._next()
            if payload is None:
                break
            if payload:
                frame = server_frame(opcode_of(self.codec), payload)
                frames.append(frame)
                size += len(frame)
        if frames:
            self.outlet.write(b"".join(frames))

    def _next(self) -> bytes | None:
        """The next payload, b"" for what has become idle, None when nothing is owed any more."""
        company, codec = self._company, self.codec
        entries = company.presence.entries
        if self._snapshot is not None:
            page: list[Shown] = []
            size = 0
            while self._snapshot and size < PIECE_BYTES:
                shown = entries.get(self._snapshot.pop())
                if shown is not None:
                    page.append(shown)
                    size += len(shown.data)
            self._snapshot = self._snapshot or None
            return snapshot_page(codec, page) if page else b""
        if self._peers is not None:
            identity, kind = self._peers.popitem()
            self._peers = self._peers or None
            if (identity in company.peers) is (kind is not None):
                return b""
            if kind is not None:
                return encode(codec, _peer_left(identity, kind))
            return encode(codec, _peer_joined(identity, company.peers.kind_of(identity)))
        if self._presence is not None:
            session_id, gone = self._presence.popitem()
            self._presence = self._presence or None
            if gone is not None:
                return encode(codec, left(session_id, *gone))
            newest = entries.get(session_id)
            # When it has gone in this very turn, that is about to be told.
            return b"" if newest is None else encode(codec, newest.message(codec))
        return None


class _Event(NamedTuple):
    """Something to tell everybody but `origin`; `owe` notes it for a member that lags."""

    message: Callable[[Codec], Message | None]
    owe: Callable[[Member], None]
    origin: Member | None
    size_bytes: int = 0


@final
class Company:
    """Everybody in one room."""

    def __init__(self, metrics: Metrics) -> None:
        self.presence = Presence()
        self.peers: Peers[Member] = Peers()
        self._members: dict[Member, None] = {}
        self._metrics = metrics
        self._events: list[_Event] = []
        self._first_event = 0
        self._last_entered = 0
        self._waiting_shows: dict[str, int] = {}
        """The number of the event that will tell what a session shows by then."""
        self._rests_until = 0.0

    @property
    def _next_event(self) -> int:
        return self._first_event + len(self._events)

    @property
    def waiting_events(self) -> int:
        """How much happened that nobody was told yet."""
        return len(self._events)

    @property
    def is_telling(self) -> bool:
        """Whether somebody is about to be told something."""
        return bool(self._events)

    # coming and going

    def enter(
        self,
        outlet: Outlet,
        *,
        codec: Codec,
        session_id: str,
        identity: Identity | None,
        kind: str,
        known_peers: int,
    ) -> Member:
        """A session has come, whose welcome named the first `known_peers` of the others."""
        others = self.peers.all()
        if identity is not None and identity not in self.peers:
            self._metrics.presence_peers.inc()
            self._tell(
                lambda codec: _peer_joined(identity, kind),
                lambda other: other.owe_peer(identity, kind, was_here=False),
                None,
            )
        member = Member(
            self,
            outlet,
            codec=codec,
            session_id=session_id,
            identity=identity,
            entered=self._next_event,
        )
        if identity is not None:
            self.peers.join(identity, kind, member)
        self._members[member] = None
        for peer in others[known_peers:]:
            who = Identity(pubkey=peer.pubkey, label=peer.label)
            if who != identity:
                member.owe_peer(who, peer.peer_type, was_here=False)
        self._last_entered = member.entered
        member.owe_snapshot(self.presence.entries)
        if member.is_waiting:
            member.send_some()
        if member.is_waiting:
            outlet.wake()
        return member

    def leave(self, member: Member) -> None:
        """A session is gone, and what it showed with it."""
        del self._members[member]
        identity = member.identity
        if identity is None:
            return
        if self.presence.take_away(member.session_id):
            self._presence_gone(member.session_id, identity, LEFT, member)
        kind = self.peers.leave(identity, member)
        if kind is not None:
            self._metrics.presence_peers.dec()
            self._tell(
                lambda codec: _peer_left(identity, kind),
                lambda other: other.owe_peer(identity, kind, was_here=True),
                None,
            )

    # presence

    def show(self, member: Member, data: object, expires_at: float) -> None:
        """Show `data` of a session until `expires_at` (monotonic seconds); None takes it away."""
        identity = member.identity
        assert identity is not None, "who shows something is known"
        session_id = member.session_id
        if data is not None:
            shown = self.presence.show(session_id, identity, data, expires_at)
            # One that waits to be written tells the newest, unless somebody has come since.
            if self._waiting_shows.get(session_id, -1) < self._last_entered:
                self._waiting_shows[session_id] = self._next_event
                self._tell(
                    lambda codec: self._shown(session_id, codec),
                    lambda other: other.owe_presence(session_id, None),
                    member,
                    len(shown.data),
                )
        elif self.presence.take_away(session_id):
            self._presence_gone(session_id, identity, LEFT, member)

    def tick(self, now: float) -> None:
        """Time has passed (monotonic seconds): some presence is over."""
        for shown in self.presence.expire(now):
            # Also its own session hears of it: it may believe that it is still seen.
            self._presence_gone(shown.session_id, shown.identity, EXPIRED, None)

    def _presence_gone(
        self, session_id: str, identity: Identity, reason: str, origin: Member | None
    ) -> None:
        self._waiting_shows.pop(session_id, None)
        self._tell(
            lambda codec: left(session_id, identity, reason),
            lambda member: member.owe_presence(session_id, _Gone(identity, reason)),
            origin,
        )

    # signals

    def signal(self, sender: Member, to: Identity, data: object) -> bool | None:
        """Give `data` to every session of `to` that can take it.

        None when it is not here, False when every one of its sockets is full.
        """
        receivers = self.peers.sessions_of(to)
        if not receivers:
            return None
        assert sender.identity is not None
        message = SignalReceived(
            pubkey=sender.identity.pubkey,
            label=sender.identity.label,
            session=sender.session_id,
            data=data,
        )
        taken = False
        for receiver in receivers:
            if receiver.outlet.waiting_bytes <= LAGGING_BYTES:
                codec = receiver.codec
                receiver.outlet.write(server_frame(opcode_of(codec), encode(codec, message)))
                taken = True
        return taken

    def _tell(
        self,
        message: Callable[[Codec], Message | None],
        owe: Callable[[Member], None],
        origin: Member | None,
        size_bytes: int = 0,
    ) -> None:
        if not self._events:
            self._write_later()
        self._events.append(_Event(message, owe, origin, size_bytes))

    def _write_later(self) -> None:
        loop = asyncio.get_running_loop()
        rest_s = self._rests_until - loop.time()
        if rest_s > 0:
            loop.call_later(rest_s, self._write)
        else:
            loop.call_soon(self._write)

    def _write(self) -> None:
        """Tell everybody what happened, or the first of it."""
        loop = asyncio.get_running_loop()
        started = loop.time()
        self._write_events(self._take_events())
        took_s = loop.time() - started
        if took_s > FREE_WRITE_SECONDS:
            self._rests_until = loop.time() + took_s * REST_PER_TURN
        if self._events:
            self._write_later()

    def _take_events(self) -> list[_Event]:
        """As many of the oldest as may be written at once to so many members; at least one."""
        members = max(1, len(self._members))
        count = size_bytes = 0
        for event in self._events:
            size_bytes += event.size_bytes
            if count and (count * members >= TURN_WRITES or size_bytes * members > TURN_BYTES):
                break
            count += 1
        events, self._events = self._events[:count], self._events[count:]
        return events

    def _shown(self, session_id: str, codec: Codec) -> Message | None:
        """What a session shows now; None when it is gone, as the next event tells."""
        shown = self.presence.entries.get(session_id)
        return None if shown is None else shown.message(codec)

    def _write_events(self, events: Sequence[_Event]) -> None:
        first = self._first_event
        self._first_event += len(events)
        for name in [name for name, at in self._waiting_shows.items() if at < self._first_event]:
            del self._waiting_shows[name]
        own: dict[Member | None, list[int]] = {}
        for index, event in enumerate(events):
            own.setdefault(event.origin, []).append(index)
        frames: dict[Codec, list[bytes]] = {}
        whole: dict[Codec, bytes] = {}
        for member in self._members:
            if member.is_lagging:
                for number, event in enumerate(events, first):
                    if event.origin is not member and number >= member.entered:
                        event.owe(member)
                if member.is_waiting:
                    member.outlet.wake()
                continue
            codec = member.codec
            encoded = frames.get(codec)
            if encoded is None:
                opcode = opcode_of(codec)
                encoded = []
                for event in events:
                    message = event.message(codec)
                    # Nothing keeps the place of what is over.
                    payload = b"" if message is None else encode(codec, message)
                    encoded.append(server_frame(opcode, payload) if payload else b"")
                frames[codec] = encoded
                whole[codec] = b"".join(encoded)
            if member.entered <= first and member not in own:
                member.outlet.write(whole[codec])
                continue
            others = encoded.copy()
            for index in reversed(own.get(member, ())):
                del others[index]
            # Nobody has done anything before it came.
            del others[: max(0, member.entered - first)]
            if others:
                member.outlet.write(b"".join(others))


def _peer_joined(identity: Identity, kind: str) -> PeerJoined:
    return PeerJoined(pubkey=identity.pubkey, label=identity.label, peer_type=kind)


def _peer_left(identity: Identity, kind: str) -> PeerLeft:
    return PeerLeft(pubkey=identity.pubkey, label=identity.label, peer_type=kind)
