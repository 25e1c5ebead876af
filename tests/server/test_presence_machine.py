"""What sessions show and what their clients see: as a dict with times would have it."""

from __future__ import annotations

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from roomlog.client.presence import Presence as SeenPresence
from roomlog.protocol.client_events import PresenceChanged, PresenceGone
from roomlog.protocol.codec import Codec, encode, server_frames
from roomlog.protocol.messages import Identity, PresenceLeft, PresenceShown, PresenceSnapshot
from roomlog.server.presence import EXPIRED, LEFT, Presence, left, snapshot_page
from tests.state_machines import machine_test

SESSIONS = ["s1", "s2", "s3"]
sessions = st.sampled_from(SESSIONS)
data = st.sampled_from([0, "é", [1, [None]], {"x": 0.5, "y": {"z": True}}])


def identity_of(session: str) -> Identity:
    return Identity(pubkey=session.encode() * 16, label=session)


class PresenceMachine(RuleBasedStateMachine):
    """A room's presence, told in either codec to one who is there and to others who come."""

    def __init__(self) -> None:
        super().__init__()
        self.presence = Presence()
        self.seen = SeenPresence(can_show=False)
        self.codec = Codec.MSGPACK
        self.shown: dict[str, tuple[object, float]] = {}
        self.now = 0.0

    @initialize(codec=st.sampled_from(Codec))
    def begin(self, codec: Codec) -> None:
        self.codec = codec

    def tell(self, watcher: SeenPresence, payload: bytes) -> None:
        """A frame's payload, as a client reads it."""
        message = server_frames(self.codec).read(payload)
        if isinstance(message, PresenceShown):
            watcher.changed(
                PresenceChanged(
                    pubkey=message.pubkey,
                    label=message.label,
                    session=message.session,
                    data=message.data,
                )
            )
        elif isinstance(message, PresenceLeft):
            watcher.gone(
                PresenceGone(
                    pubkey=message.pubkey,
                    label=message.label,
                    session=message.session,
                    reason=message.reason,
                )
            )
        else:
            assert isinstance(message, PresenceSnapshot)
            for entry in message.entries:
                watcher.changed(
                    PresenceChanged(
                        pubkey=entry.pubkey,
                        label=entry.label,
                        session=entry.session,
                        data=entry.data,
                    )
                )

    @rule(session=sessions, value=data, lasts_s=st.sampled_from([0.5, 1.0, 1.0, 30.0]))
    def show(self, session: str, value: object, lasts_s: float) -> None:
        expires_at = self.now + lasts_s
        shown = self.presence.show(session, identity_of(session), value, expires_at)
        self.shown[session] = value, expires_at
        self.tell(self.seen, encode(self.codec, shown.message(self.codec)))

    @rule(session=sessions)
    def take_away(self, session: str) -> None:
        assert self.presence.take_away(session) == (session in self.shown)
        self.shown.pop(session, None)
        self.tell(self.seen, encode(self.codec, left(session, identity_of(session), LEFT)))

    @rule(later_s=st.sampled_from([0.0, 0.4, 0.5, 1.0, 29.0, 60.0]))
    def time_passes(self, later_s: float) -> None:
        self.now += later_s
        over = {each for each, (_, expires_at) in self.shown.items() if expires_at <= self.now}
        expired = self.presence.expire(self.now)
        assert {each.session_id for each in expired} == over
        assert len(expired) == len(over)
        for each in expired:
            assert each.identity == identity_of(each.session_id)
            del self.shown[each.session_id]
            message = left(each.session_id, each.identity, EXPIRED)
            self.tell(self.seen, encode(self.codec, message))

    @rule()
    def reconnect(self) -> None:
        """The connection is lost; what is there is told in pages."""
        self.seen.disconnected()
        assert not self.seen
        for shown in self.presence.entries.values():
            self.tell(self.seen, snapshot_page(self.codec, [shown]))

    @invariant()
    def everybody_sees_what_is_shown(self) -> None:
        expected = {session: value for session, (value, _) in self.shown.items()}
        newcomer = SeenPresence(can_show=False)
        self.tell(newcomer, snapshot_page(self.codec, list(self.presence.entries.values())))
        for watcher in (self.seen, newcomer):
            assert {each.session: each.data for each in watcher.values()} == expected
            for session, shown in watcher.items():
                assert (shown.pubkey, shown.label) == (session.encode() * 16, session)


TestPresenceIsADictWithTimes = machine_test(PresenceMachine, weight=3)
