"""Who is in a room: identities (key and label), however many sessions each has."""

from __future__ import annotations

from typing import Generic, TypeVar, final

from roomlog.protocol.messages import Identity, Peer

Session = TypeVar("Session")


@final
class Peers(Generic[Session]):
    """The identities of one room. An identity joins with its first session, leaves with its last.

    What kind of participant it is, is what its first session said.
    """

    def __init__(self) -> None:
        self._sessions: dict[Identity, dict[Session, None]] = {}
        self._kinds: dict[Identity, str] = {}

    def __len__(self) -> int:
        return len(self._sessions)

    def __contains__(self, identity: Identity) -> bool:
        return identity in self._sessions

    def join(self, identity: Identity, kind: str, session: Session) -> bool:
        """A session has come; whether it is the first of its identity."""
        sessions = self._sessions.get(identity)
        if sessions is not None:
            sessions[session] = None
            return False
        self._sessions[identity] = {session: None}
        self._kinds[identity] = kind
        return True

    def leave(self, identity: Identity, session: Session) -> str | None:
        """A session is gone; the kind of the identity if that was its last one, else None."""
        sessions = self._sessions[identity]
        del sessions[session]
        if sessions:
            return None
        del self._sessions[identity]
        return self._kinds.pop(identity)

    def sessions_of(self, identity: Identity) -> list[Session]:
        """Every session of an identity; none when it is not here."""
        return list(self._sessions.get(identity, ()))

    def kind_of(self, identity: Identity) -> str:
        """What an identity that is here says it is."""
        return self._kinds[identity]

    def all(self) -> list[Peer]:
        """Everybody, those who came first first."""
        return [
            Peer(pubkey=identity.pubkey, label=identity.label, peer_type=kind)
            for identity, kind in self._kinds.items()
        ]
