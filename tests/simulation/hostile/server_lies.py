"""What a hostile server may tell the real SDK, each lie an action "hostile server LIE".

It takes the place of an honest server for a while, mostly with its key: pinned as it is, it may say
anything. Nobody's own writes may be lost by it, and once the honest one is back all agree again.
"""

from __future__ import annotations

from typing import Any

import msgspec

from roomlog.core.node import Node
from roomlog.core.pack import encode_pack
from roomlog.core.reject import RejectClass, RejectKind
from roomlog.identity import Identity
from roomlog.protocol.checkpoint import sign_checkpoint
from roomlog.protocol.close_codes import CloseCode
from roomlog.protocol.messages import (
    After,
    Checkpoint,
    Credit,
    Deprecation,
    Drain,
    Error,
    Message,
    Moved,
    Notice,
    Pack,
    PackAck,
    PeerJoined,
    Pong,
    PresenceShown,
    PushPack,
    RejectedNode,
    Request,
    RequestEnd,
    Snapshot,
    StateHashReport,
    SubscribeAck,
    Welcome,
)
from tests.simulation.hostile.false_server import FalseServer, FalseSession
from tests.simulation.hostile.lie import YEARS_MS, lie
from tests.simulation.network import BINARY, TEXT


@lie("a look-alike", has_key=False)
class LookAlike(FalseSession):
    """Everything as it should be, but for the key."""


@lie("withheld nodes")
class Withholding(FalseSession):
    """A log that ends long before the real one does."""

    @classmethod
    def prepare(cls, server: FalseServer) -> None:
        server.hold(server.log[: len(server.log) // 2])


@lie("two histories")
class TwoFaced(FalseSession):
    """One log for these clients, another one for those, under the same epoch and numbers."""

    has_two_faces = True


@lie("another order")
class OtherOrder(FalseSession):
    """The same nodes under other numbers of the same epoch."""

    @classmethod
    def prepare(cls, server: FalseServer) -> None:
        left, here, order = list(server.log), set[bytes](), []
        server.chance.shuffle(left)
        while left:
            ready = next(node for node in left if here.issuperset(node.parents))
            left.remove(ready)
            here.add(ready.id)
            order.append(ready)
        server.hold(order)


@lie("promises")
class EmptyPromises(FalseSession):
    """Acknowledges everything, and keeps nothing."""

    promised = 0

    def on_pushed(self, pack: PushPack) -> None:
        count = pack.nodes[2] & 0x7F
        first = self.server.head + self.promised + 1
        self.promised += count
        self.send(PackAck(ref=pack.ref, from_seq=first, to_seq=first + count - 1))


@lie("refusals")
class Refuser(FalseSession):
    """Takes nothing, for any reason, known or not."""

    @classmethod
    def prepare(cls, server: FalseServer) -> None:
        def refuse(node: Node) -> RejectedNode | None:
            reject_class = server.chance.choice([*RejectClass, None])
            kind = server.chance.choice([each.value for each in RejectKind] + ["", "whatever"])
            detail: dict[str, object] = server.chance.choice(
                [{}, {"retry_after_ms": YEARS_MS}, {"ops": [0, 7, -1]}, {"ops": "all"}]
            )
            wire = "no_such_class" if reject_class is None else reject_class.wire
            if server.chance.random() < 0.2:
                return None
            return RejectedNode(
                id=node.id, reject_class=wire, kind=kind, detail=detail, root=bytes(32)
            )

        server.refuse = refuse

    def on_pushed(self, pack: PushPack) -> None:
        if self.chance.random() < 0.3:
            error = Error(
                ref=pack.ref, reject_class="invalid_field", message="all of it", kind="final"
            )
            self.send(error)
        else:
            super().on_pushed(pack)


@lie("strange acks")
class StrangeAcks(FalseSession):
    """Acknowledges what was not asked, twice, in another order, or with other numbers."""

    def on_pushed(self, pack: PushPack) -> None:
        kind = self.chance.randrange(6)
        if kind == 0:
            self.send(PackAck(ref="nobody", from_seq=1, to_seq=1))
        elif kind == 1:
            self.send(PackAck(ref=pack.ref, from_seq=5, to_seq=2))
        elif kind == 2:
            self.send(PackAck(ref=pack.ref, duplicates=[(0, 1), (0, 2), (4_000, 3)]))
        elif kind == 3:
            self.send(PackAck(ref=pack.ref, from_seq=1 << 62, to_seq=1 << 62))
        elif kind == 4:
            self.send(PackAck(ref=pack.ref))
        else:
            super().on_pushed(pack)
            self.send(PackAck(ref=pack.ref, from_seq=1, to_seq=1))


@lie("gaps and repeats")
class Juggler(FalseSession):
    """Numbers that leave some out, come again, or cannot be."""

    def _send_pack(self, after: int, to_seq: int, ref: str | None) -> None:
        kind = self.chance.randrange(6)
        nodes = self.server.log[after:to_seq]
        if not nodes:
            return
        if kind == 0:
            self.send_nodes(nodes, after + 3, to_seq + 2, ref)
        elif kind == 1:
            super()._send_pack(after, to_seq, ref)
            super()._send_pack(after, to_seq, ref)
        elif kind == 2:
            self.send_nodes(nodes, after + 1, to_seq + 5, ref)
        elif kind == 3:
            self.send_nodes(nodes, 0, len(nodes) - 1, ref)
        elif kind == 4:
            self.send_nodes(nodes[-1:], to_seq, to_seq, ref)
        else:
            super()._send_pack(after, to_seq, "nobody asked" if ref is None else None)


@lie("bent packs")
class BentPacks(FalseSession):
    """Live nodes without bodies, signatures or parents, or with the wrong ones."""

    def _send_pack(self, after: int, to_seq: int, ref: str | None) -> None:
        nodes = self.server.log[after:to_seq]
        kind = self.chance.randrange(6)
        if ref is not None or not nodes:
            # A pinned server's history is taken on its word.
            super()._send_pack(after, to_seq, ref)
            return
        packs = [
            encode_pack(nodes, bodies=False),
            encode_pack(nodes, signatures=False),
            encode_pack(nodes)[:-7],
            b"",
            encode_pack([_unsigned(node) for node in nodes]),
            encode_pack(nodes),
        ]
        lineage = bytes(32) if kind == 5 else self.server.lineage
        self.send(
            Pack(ref=ref, lineage=lineage, nodes=packs[kind], from_seq=after + 1, to_seq=to_seq)
        )


def _unsigned(node: Node) -> Node:
    return Node(
        node.id,
        node.author,
        node.clock,
        node.kind,
        node.parents,
        node.body_hash,
        node.body,
        bytes(64),
    )


@lie("strange welcomes")
class StrangeWelcome(FalseSession):
    """Another room, protocol, epoch, place or promise than there can be."""

    def welcome(self, welcome: Welcome) -> Any:
        changes: list[dict[str, Any]] = [
            {"room": "another-room"},
            {"proto": 2},
            {"signature": bytes(64)},
            {"epoch": self.chance.randbytes(16)},
            {"seq": welcome.seq + 1},
            {"catch_up": "a new way"},
            {"catch_up": "none"},
            {"catch_up": "cut"},
            {"catch_up": "walk", "unknown": [0, 5, 1 << 40, -1]},
            {"catch_up": "snapshot"},
            {"frontier": [bytes(32)] * 3},
            {"caps": {"codec_msgpack": 7, "no such capability": True, "max_pack_nodes": -1}},
            {"limits": {"frontier_ids": 0, "frame_bytes": 1, "pack_nodes": 0}},
            {"subscribed": ["never/asked"]},
            {"missing": After(epoch=bytes(16), seq=0)},
            {"checkpoint": bytes(64)},
        ]
        change = changes[self.number % len(changes)] if self.number else {}
        return msgspec.structs.replace(welcome, **change)


@lie("deaf and dumb")
class Mute(FalseSession):
    """Says nothing any more: from the beginning, after the hello, or after the welcome."""

    def start(self) -> None:
        self.words = self.number % 3
        super().start()

    def send(self, message: Any) -> None:
        if self.words > 0:
            self.words -= 1
            super().send(message)


@lie("nonsense")
class Nonsense(FalseSession):
    """Frames of the wrong kind, that cannot be read, or are much too long. T43"""

    def on_request(self, request: Request) -> None:
        self.send_any({"type": "a message of tomorrow", "ref": request.ref})
        super().on_request(request)
        self._babble()

    def on_pushed(self, pack: PushPack) -> None:
        super().on_pushed(pack)
        self._babble()

    def _babble(self) -> None:
        wrong = BINARY if self.codec.is_text else TEXT
        kind = self.chance.randrange(8)
        if kind == 0:
            self.outgoing.append((wrong, b"{}"))
        elif kind == 1:
            self.outgoing.append(b"\xc1\xff")
        elif kind == 2:
            self.outgoing.append(bytes(1_600_000))
        elif kind == 3:
            self.send_any([1, 2, 3])
        elif kind == 4:
            self.send_any({"type": "pack", "lineage": "short"})
        else:
            self.send_any({"type": f"tomorrow {kind}", "field": {"deep": [{}] * 5}})


@lie("words nobody asked for")
class Unasked(FalseSession):
    """Answers without a question, and news of what is not there."""

    def on_pushed(self, pack: PushPack) -> None:
        super().on_pushed(pack)
        server = self.server
        key = Identity.from_seed(bytes(32)).public_key
        lineage, epoch = server.lineage, server.epoch
        unasked: list[Message] = [
            Pong(t=12345, seq=1 << 60),
            RequestEnd(ref="never", seq=1),
            SubscribeAck(ref="never", seq=1, patterns=["x"]),
            StateHashReport(frontier=[], hash="not a hash", coverage={"awaited": "?"}),
            Snapshot(chunk=7, data=b"x"),
            Credit(nodes=0, bytes=0),
            Credit(nodes=1 << 62, bytes=1 << 62),
            PeerJoined(pubkey=key, label="nobody"),
            PresenceShown(pubkey=key, session="none", data=[[[[{}]]]]),
            Notice(drain=Drain(deadline_ms=-1, retry_after_ms=-1)),
            Notice(moved=Moved(url="javascript:"), deprecation=Deprecation(what="everything")),
            Error(ref=pack.ref, reject_class="rate_nodes", message="", kind="retry"),
            Error(reject_class="internal", message="x" * 9_999, kind="", incident="no"),
            Checkpoint(
                lineage=lineage, epoch=epoch, seq=1, frontier=[bytes(32)], signature=bytes(64)
            ),
            Checkpoint(lineage=bytes(32), epoch=epoch, seq=1, frontier=[], signature=bytes(64)),
        ]
        self.send(self.chance.choice(unasked))


@lie("every close code")
class Closer(FalseSession):
    """Sends everybody away, for every reason there is and some that are none."""

    def on_request(self, request: Request) -> None:
        self._close()

    def on_pushed(self, pack: PushPack) -> None:
        super().on_pushed(pack)
        self._close()

    def _close(self) -> None:
        codes = [*(each.code for each in CloseCode), 4242, 3000]
        kind = self.chance.randrange(3)
        if kind == 0:
            drain = Drain(deadline_ms=1, retry_after_ms=YEARS_MS)
            self.send(Notice(drain=drain))
        elif kind == 1:
            reject_class = self.chance.choice(list(RejectClass))
            self.send(
                Error(
                    reject_class=reject_class.wire,
                    message="go away",
                    kind=reject_class.kind.value,
                    retry_after_ms=self.chance.choice([None, -5, YEARS_MS]),
                )
            )
        self.close_code = self.chance.choice(codes)


@lie("checkpoints of nothing")
class FalseCheckpoints(FalseSession):
    """Its own word on a log that never was: whoever shows it later proves a loss. T63"""

    def on_pushed(self, pack: PushPack) -> None:
        super().on_pushed(pack)
        server = self.server
        frontier = sorted(self.chance.randbytes(32) for _ in range(2))
        seq = server.head + 1_000
        facts: dict[str, Any] = {
            "lineage": server.lineage,
            "epoch": server.epoch,
            "seq": seq,
            "frontier": frontier,
        }
        signature = sign_checkpoint(server.identity, **facts)
        assert signature is not None
        self.send(Checkpoint(**facts, signature=signature))
