"""The client's half of the handshake: the hello it sends, and what it takes as a welcome."""

from __future__ import annotations

from typing import Final, final

from roomlog.core.reject import Reject, RejectClass
from roomlog.core.signing import Signer
from roomlog.protocol.capabilities import PROTOCOL_VERSION, Offer
from roomlog.protocol.client_events import Fault, ServerFault, broken
from roomlog.protocol.codec import Codec
from roomlog.protocol.handshake import check_welcome, hello_proof, transcript, welcome_payload
from roomlog.protocol.held_log import Past
from roomlog.protocol.messages import (
    Challenge,
    Hello,
    Pending,
    SignedCheckpoint,
    Software,
    Welcome,
)

_MOST_FRONTIER_IDS: Final = 0xFFFF


@final
class ClientHandshake:
    """What a client says about itself, and the origin, room and key it wants to meet."""

    def __init__(
        self,
        *,
        room_id: str,
        origin: str,
        nonce: bytes,
        signer: Signer | None,
        codec: Codec,
        pinned_key: bytes | None,
        lineage: bytes | None,
        label: str,
        token: str,
        software: Software | None,
        offer: Offer,
        subscribe: tuple[str, ...],
        checkpoint: SignedCheckpoint | None,
    ) -> None:
        self._room_id = room_id
        self._origin = origin
        self._nonce = nonce
        self._signer = signer
        self._codec = codec
        self._pinned_key = pinned_key
        self._lineage = lineage
        self._label = label
        self._token = token
        self._software = software
        self._offer = offer
        self._subscribe = subscribe
        self._checkpoint = checkpoint
        self._challenge: Challenge | None = None

    @property
    def challenge(self) -> Challenge:
        """What the server opened with."""
        assert self._challenge is not None
        return self._challenge

    def hello(self, challenge: Challenge, past: Past, pending: Pending | None) -> Hello:
        """The answer to the challenge. Raises `ServerFault`: no common protocol, another key."""
        if PROTOCOL_VERSION not in challenge.protos:
            raise ServerFault(
                Fault.UNSUPPORTED_PROTOCOL,
                Reject(
                    RejectClass.UNSUPPORTED_PROTOCOL,
                    f"the server speaks protocols {challenge.protos[:8]}",
                ),
            )
        if self._pinned_key is not None and challenge.server_pubkey != self._pinned_key:
            raise ServerFault(
                Fault.SERVER_KEY_CHANGED,
                Reject(
                    RejectClass.PROOF_INVALID,
                    f"the server at {self._origin} has another key than before",
                    {"pinned": self._pinned_key, "offered": challenge.server_pubkey},
                ),
            )
        self._challenge = challenge
        signer = self._signer
        return Hello(
            proto=PROTOCOL_VERSION,
            nonce=self._nonce,
            origin=self._origin,
            pubkey=None if signer is None else signer.public_key,
            proof=None if signer is None else hello_proof(signer, self._transcript()),
            label=self._label,
            client=self._software,
            caps=self._offer,
            token=self._token or None,
            lineage=self._lineage,
            cursor=past.cursor,
            frontier=past.frontier,
            pending=pending,
            checkpoint=self._checkpoint,
            subscribe=list(self._subscribe),
        )

    def check(self, welcome: Welcome) -> bool:
        """Whether the server proved the welcome; False only for an anonymous session.

        Raises `ServerFault`: unproven, another room, another lineage, patterns nobody asked for.
        """
        if len(welcome.frontier) > _MOST_FRONTIER_IDS:
            raise broken("welcome", "a frontier of more than 65,535 ids")
        is_proven = self._is_proven(welcome)
        if not is_proven and self._signer is not None:
            raise ServerFault(
                Fault.WELCOME_UNPROVEN,
                Reject(
                    RejectClass.PROOF_INVALID,
                    f"the welcome is not signed for a handshake with {self._origin}",
                ),
            )
        if welcome.proto != PROTOCOL_VERSION or welcome.room != self._room_id:
            raise broken("welcome", "another protocol version or room than asked for")
        if self._lineage is not None and welcome.lineage != self._lineage:
            raise ServerFault(
                Fault.LINEAGE_MISMATCH,
                Reject(
                    RejectClass.LINEAGE_MISMATCH,
                    "the server's room is another one than this client has history of",
                    {"held": self._lineage, "offered": welcome.lineage},
                ),
            )
        if welcome.subscribed and set(welcome.subscribed) != set(self._subscribe):
            raise broken("welcome", "other patterns than asked for")
        return is_proven

    def _is_proven(self, welcome: Welcome) -> bool:
        payload = welcome_payload(
            self._transcript(),
            lineage=welcome.lineage,
            epoch=welcome.epoch,
            seq=welcome.seq,
            frontier=welcome.frontier,
        )
        return check_welcome(self.challenge.server_pubkey, payload, welcome.signature)

    def _transcript(self) -> bytes:
        return transcript(
            server_nonce=self.challenge.nonce,
            client_nonce=self._nonce,
            origin=self._origin,
            room_id=self._room_id,
            subprotocol=self._codec.subprotocol,
            server_key=self.challenge.server_pubkey,
            client_key=b"" if self._signer is None else self._signer.public_key,
            label=self._label,
            token=self._token,
        )
