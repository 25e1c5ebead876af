"""Handshakes: the transcript, what the hello proves with it, and what the welcome signs over it.

"transcript" is made of the fields before it; an empty "client_seed" is an anonymous session, which
has no proof. "proof" is by the client's key, "welcome_signature" by the server's, over
"welcome_payload". "frontier" is given as it may arrive, in any order.
"""

from __future__ import annotations

from blake3 import blake3
from scripts.vectors._material import LINEAGE, SEEDS

from roomlog.identity import Identity
from roomlog.protocol.codec import Codec
from roomlog.protocol.handshake import hello_proof, sign_welcome, transcript, welcome_payload

SERVER_SEED = bytes([9]) * 32
SERVER_NONCE = bytes(range(32))
CLIENT_NONCE = bytes(range(32, 64))
EPOCH = bytes(range(64, 80))
IDS = [blake3(bytes([number])).digest() for number in range(3)]


def vectors() -> dict[str, object]:
    """Handshakes that hold."""
    return {
        "server_seed": SERVER_SEED.hex(),
        "handshakes": [
            handshake("msgpack, an empty room"),
            handshake("json", codec=Codec.JSON),
            handshake("another origin", origin="wss://rooms.example"),
            handshake("an address of IPv6", origin="ws://[::1]:7878"),
            handshake("a label beyond ASCII", label="Küche \U0001f375"),
            handshake("a token", token="a token of any length " * 9),
            handshake("a room with history", seq=260_000, frontier=IDS),
            handshake("heads in another order", seq=260_000, frontier=IDS[::-1]),
            handshake("anonymous", client_seed=b"", seq=1, frontier=IDS[:1]),
        ],
    }


def handshake(
    name: str,
    *,
    codec: Codec = Codec.MSGPACK,
    origin: str = "ws://127.0.0.1:7878",
    client_seed: bytes = SEEDS[0],
    label: str = "",
    token: str = "",
    seq: int = 0,
    frontier: list[bytes] | None = None,
) -> dict[str, object]:
    """One handshake with everything that enters it."""
    server = Identity.from_seed(SERVER_SEED)
    client = Identity.from_seed(client_seed) if client_seed else None
    said = transcript(
        server_nonce=SERVER_NONCE,
        client_nonce=CLIENT_NONCE,
        origin=origin,
        room_id="vectors",
        subprotocol=codec.subprotocol,
        server_key=server.public_key,
        client_key=client.public_key if client else b"",
        label=label,
        token=token,
    )
    heads = frontier or []
    payload = welcome_payload(said, lineage=LINEAGE, epoch=EPOCH, seq=seq, frontier=heads)
    return {
        "name": name,
        "server_nonce": SERVER_NONCE.hex(),
        "client_nonce": CLIENT_NONCE.hex(),
        "origin": origin,
        "room_id": "vectors",
        "subprotocol": codec.subprotocol,
        "server_key": server.public_key.hex(),
        "client_seed": client_seed.hex(),
        "client_key": client.public_key.hex() if client else "",
        "label": label,
        "token": token,
        "transcript": said.hex(),
        "proof": hello_proof(client, said).hex() if client else "",
        "lineage": LINEAGE.hex(),
        "epoch": EPOCH.hex(),
        "seq": seq,
        "frontier": [head.hex() for head in heads],
        "welcome_payload": payload.hex(),
        "welcome_signature": sign_welcome(server, payload).hex(),
    }
