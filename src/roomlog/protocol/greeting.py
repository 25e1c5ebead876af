"""The server's half of the handshake: what it says, what it believes, what it vouches for."""

from __future__ import annotations

from typing import Final, final

import msgspec

from roomlog.core.reject import Reject, RejectClass
from roomlog.core.signing import Signer
from roomlog.protocol.capabilities import PROTOCOL_VERSION, Offer
from roomlog.protocol.checkpoint import check_checkpoint
from roomlog.protocol.codec import Codec
from roomlog.protocol.handshake import (
    check_hello_proof,
    sign_welcome,
    transcript,
    welcome_payload,
)
from roomlog.protocol.ladder import catch_up_of
from roomlog.protocol.limits import SessionLimits
from roomlog.protocol.messages import (
    Challenge,
    CreditTotals,
    Hello,
    SignedCheckpoint,
    Software,
    Welcome,
)
from roomlog.protocol.room_facts import RoomFacts

WELCOME_PEERS: Final = 64
"""How many of those who are here a welcome names; the others follow as `peer-joined`."""


@final
class Greeting:
    """One handshake. `origins` are the names clients may have dialled, `nonce` 32 random bytes."""

    def __init__(
        self,
        *,
        room_id: str,
        codec: Codec,
        signer: Signer,
        origins: tuple[str, ...],
        nonce: bytes,
    ) -> None:
        self._room_id = room_id
        self._codec = codec
        self._signer = signer
        self._origins = origins
        self._nonce = nonce

    def challenge(self, software: Software) -> Challenge:
        """The first message of the session."""
        return Challenge(
            nonce=self._nonce,
            server_pubkey=self._signer.public_key,
            protos=[PROTOCOL_VERSION],
            server=software,
        )

    def judge(self, hello: Hello) -> bytes:
        """The transcript under which `hello` holds, and that the welcome signs.

        An origin that the hello names is the only one that is tried, and only if it is one of this
        server's. An anonymous hello proves nothing, so a strange or missing origin refuses none:
        its welcome is signed for the first origin, and the client sees that it cannot check it.

        Raises `Reject`: unsupported_protocol, proof_missing, proof_invalid.
        """
        if hello.proto != PROTOCOL_VERSION:
            raise Reject(
                RejectClass.UNSUPPORTED_PROTOCOL,
                "no protocol version in common",
                {"protos": [PROTOCOL_VERSION]},
            )
        origins = self._origins
        if hello.origin is not None:
            origins = (hello.origin,) if hello.origin in origins else ()
        if hello.pubkey is None:
            return self._transcript(hello, (origins or self._origins)[0])
        if hello.proof is None:
            raise Reject(RejectClass.PROOF_MISSING, "a public key needs a proof")
        for origin in origins:
            handshake = self._transcript(hello, origin)
            if check_hello_proof(hello.pubkey, handshake, hello.proof):
                return handshake
        raise Reject(
            RejectClass.PROOF_INVALID,
            "the proof holds for none of this server's origins",
            {"origins": list(self._origins)},
        )

    def evidence(self, hello: Hello) -> SignedCheckpoint | None:
        """The checkpoint that `hello` shows, if this server signed it for the client's lineage.

        Anything else is a bare claim, which changes nothing and refuses nobody.
        """
        shown = hello.checkpoint
        if shown is None or shown.lineage != hello.lineage:
            return None
        return shown if check_checkpoint(self._signer.public_key, shown) else None

    def welcome(
        self,
        hello: Hello,
        handshake: bytes,
        room: RoomFacts,
        *,
        caps: Offer,
        limits: SessionLimits,
        credit: CreditTotals,
        session_id: str,
        patterns: tuple[str, ...],
    ) -> Welcome:
        """The signed answer to an accepted hello, as the room's log stands now.

        Raises `Reject` (lineage_mismatch) when the client knows another lineage.
        """
        if hello.lineage is not None and hello.lineage != room.lineage:
            detail: dict[str, object] = {"lineage": room.lineage}
            raise Reject(RejectClass.LINEAGE_MISMATCH, "the room has another lineage", detail)
        seq, frontier = room.head_seq, room.frontier_ids()
        peers = room.peers()[:WELCOME_PEERS] if "presence_ttl" in caps else []
        catch_up = catch_up_of(hello, room, caps, is_subscribed=bool(patterns))
        unknown: list[int] = []
        if catch_up == "walk":
            unknown = [at for at, head in enumerate(hello.frontier) if not room.knows(head)]
        payload = welcome_payload(
            handshake, lineage=room.lineage, epoch=room.epoch, seq=seq, frontier=frontier
        )
        return Welcome(
            ref=hello.ref,
            proto=PROTOCOL_VERSION,
            room=self._room_id,
            lineage=room.lineage,
            epoch=room.epoch,
            seq=seq,
            frontier=frontier,
            caps=caps,
            limits=msgspec.structs.asdict(limits),
            credit=credit,
            session=session_id,
            catch_up=catch_up,
            signature=sign_welcome(self._signer, payload),
            checkpoint=room.checkpoint_signature(),
            unknown=unknown,
            missing=room.missing_of(_known_epoch(hello)),
            subscribed=list(patterns),
            peers=peers,
        )

    def _transcript(self, hello: Hello, origin: str) -> bytes:
        return transcript(
            server_nonce=self._nonce,
            client_nonce=hello.nonce,
            origin=origin,
            room_id=self._room_id,
            subprotocol=self._codec.subprotocol,
            server_key=self._signer.public_key,
            client_key=hello.pubkey or b"",
            label=hello.label,
            token=hello.token or "",
        )


def _known_epoch(hello: Hello) -> bytes | None:
    """The epoch of the log that the client holds, as far as it says."""
    if hello.cursor is not None:
        return hello.cursor.epoch
    return None if hello.checkpoint is None else hello.checkpoint.epoch
