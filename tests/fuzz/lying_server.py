"""A server that says what an input chooses: the truth, lies, and frames that say nothing."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any, final

from blake3 import blake3

from roomlog.core.pack import decode_pack, encode_pack
from roomlog.protocol import messages
from roomlog.protocol.checkpoint import sign_checkpoint
from roomlog.protocol.client_events import (
    ClientEvent,
    Faulted,
    HistoryPage,
    Received,
    SnapshotReceived,
)
from roomlog.protocol.client_session import ClientSession, Phase
from roomlog.protocol.codec import Codec, client_frames, encode
from roomlog.protocol.messages import Message
from tests.fuzz.choices import Choices
from tests.fuzz.frame_edits import edited_frame
from tests.fuzz.server_log import (
    HELD,
    LOG,
    MOST_FRAMES_A_STEP,
    log_nodes,
    lying_snapshot,
    own_nodes,
    snapshot_of_log,
)
from tests.fuzz.vectors import entries
from tests.protocol.client_wire import EPOCH, HASHER, LINEAGE, SERVER, Wire


@cache
def templates(codec: Codec) -> list[bytes]:
    """Frames of a server, as the vectors have them."""
    name = "json" if codec.is_text else "msgpack"
    texts = [entry[name] for entry in entries("messages", "server") if name in entry]
    return [text.encode() if codec.is_text else bytes.fromhex(text) for text in texts]


@final
class Server:
    """Says what an input chooses; knows what it was asked last."""

    def __init__(
        self,
        wire: Wire,
        choices: Choices,
        *,
        handle: Callable[[list[ClientEvent]], None] = lambda events: None,
        wish: Callable[[], None] | None = None,
    ) -> None:
        self.wire = wire
        self.choices = choices
        self.handle = handle
        self.wish = self.wish_of_session if wish is None else wish
        self.requests: list[Any] = []
        self.packs: list[Any] = []
        self.chunks_sent = 0
        self.lies = choices.is_one_in(6)

    @property
    def session(self) -> ClientSession:
        return self.wire.session

    def take_frames(self) -> None:
        """Everything that the client has sent is a message a client may send."""
        frames = self.session.take_frames()
        assert len(frames) <= MOST_FRAMES_A_STEP
        for frame in frames:
            message = client_frames(self.wire.codec).read(frame)
            if isinstance(message, messages.Request | messages.Subscribe):
                self.requests.append(message)
            elif isinstance(message, messages.PushPack):
                self.packs.append(message)

    def receive(self, frame: bytes) -> None:
        was_over = self.session.phase is Phase.OVER
        events = self.session.receive(frame)
        assert not (was_over and events)
        for event in events:
            self.look_at(event)
        if any(isinstance(event, Faulted) for event in events):
            assert self.session.phase is Phase.OVER
            assert isinstance(events[-1], Faulted)
            assert self.session.take_frames() == []
        self.handle(events)
        self.take_frames()

    def look_at(self, event: ClientEvent) -> None:
        """What a shell relies on without looking."""
        if isinstance(event, Received | HistoryPage):
            assert 1 <= event.from_seq <= event.to_seq
            assert len(event.nodes) == event.to_seq - event.from_seq + 1
        elif isinstance(event, SnapshotReceived):
            assert blake3(event.state).digest() == event.digest
            assert len(event.signature) == 64

    def say(self, message: Message) -> None:
        frame = encode(self.wire.codec, message)
        if self.choices.is_one_in(6):
            frame = edited_frame(frame, self.choices, self.wire.codec)
        self.receive(frame)

    def welcome(self, subscribe: tuple[str, ...]) -> None:
        """A welcome that is signed, of any other content."""
        choices = self.choices
        log = log_nodes()
        seq = choices.one_of((LOG, LOG, HELD, 0, 1))
        fields: dict[str, Any] = {"frontier": [log[seq - 1].id] if seq else []}
        if choices.is_one_in(4):
            fields["subscribed"] = list(subscribe)
        if choices.is_one_in(4):
            fields["missing"] = messages.After(epoch=bytes(16), seq=3)
        if choices.is_one_in(4):
            fields["unknown"] = [choices.below(3) for _ in range(choices.below(3))]
        if choices.is_one_in(6):
            names = ("frontier_ids", "pack_nodes", "frame_bytes", "presence_ttl_ms")
            names += ("presence_ttl_max_ms", "messages_per_second", "resend_window_ms")
            fields["limits"] = {choices.one_of(names): self.wide_number() for _ in range(3)}
            fields["limits"][choices.one_of(names)] = choices.below(3) - 1
        if choices.is_one_in(6):
            fields["caps"] = {"log_cut": True, "max_pack_nodes": choices.below(2) or True}
        catch_up = choices.one_of(("cursor", "cut", "walk", "snapshot", "none", "unheard of"))
        credit = choices.one_of(((4096, 1 << 23), (2, 500), (0, 0)))
        self.say(self.wire.welcome_message(seq=seq, catch_up=catch_up, credit=credit, **fields))

    def step(self) -> None:
        """One frame of the server, or one wish of the client."""
        choices = self.choices
        kind = choices.below(16)
        if kind == 0:
            self.receive(choices.piece())
        elif kind <= 2:
            frame = choices.one_of(templates(self.wire.codec))
            self.receive(edited_frame(frame, choices, self.wire.codec) if kind == 2 else frame)
        elif kind <= 5:
            self.send_pack()
        elif kind <= 8:
            if choices.is_one_in(2):
                self.answer_truly()
            else:
                self.say(self.request_end())
        elif kind == 9:
            self.refuse()
        elif kind == 10:
            self.acknowledge()
        elif kind == 11:
            for _ in range(choices.below(4)):
                self.send_plain_chunk()
            self.send_chunk()
        elif kind == 12:
            patterns = choices.one_of(([], ["a"], ["a/**", "k"]))
            if choices.is_one_in(3):
                self.send_checkpoint()
                return
            self.say(
                messages.SubscribeAck(ref=self.ref(), seq=choices.below(40), patterns=patterns)
            )
        elif kind == 13 and choices.is_one_in(4):
            drain = messages.Drain(
                deadline_ms=self.wide_number(), retry_after_ms=self.wide_number()
            )
            self.say(messages.Notice(drain=drain))
        elif kind == 13:
            heads = [log_nodes()[choices.below(LOG)].id]
            self.say(
                messages.StateHashReport(
                    ref=self.ref(), frontier=heads, hash="0" * 64, coverage={"held": 0}
                )
            )
        else:
            self.wish()

    def ref(self) -> str | None:
        """Mostly that of an open question."""
        choices = self.choices
        if choices.is_one_in(8):
            return choices.one_of((None, "r1", "h1", "b1", "q1", "p1", "v1", "s1", "r2"))
        if not self.requests:
            return None
        recent = self.requests[-3:]
        ref = recent[-1 - choices.below(len(recent))].ref
        assert ref is None or isinstance(ref, str)
        return ref

    def send_pack(self) -> None:
        choices = self.choices
        first = choices.below(LOG)
        nodes = log_nodes()[first : first + choices.below(8)]
        if choices.is_one_in(8):
            nodes = own_nodes()[: choices.below(5)]
        shift = choices.one_of((0, 0, 0, 0, 1, -1, 1 << 40))
        from_seq = max(0, first + 1 + shift)
        to_seq = max(0, from_seq + len(nodes) - 1 + choices.one_of((0, 0, 0, 0, 0, 1, -1)))
        data = encode_pack(
            nodes, signatures=not choices.is_one_in(6), bodies=not choices.is_one_in(6)
        )
        ref = self.ref() if not choices.is_one_in(3) else None
        self.say(
            messages.Pack(ref=ref, lineage=LINEAGE, nodes=data, from_seq=from_seq, to_seq=to_seq)
        )

    def request_end(self) -> messages.RequestEnd:
        choices = self.choices
        request = self.requests[-1] if self.requests else None
        unknown: list[int] = []
        cut: int | None = None
        asked = getattr(request, "frontier", None) or []
        while choices.is_one_in(2) and len(unknown) < 6:
            unknown.append(choices.below(len(asked) + 2) if asked else choices.byte())
        have = getattr(request, "have", None)
        if have and not choices.is_one_in(8):
            cut = choices.one_of([0, *(seq for seq, _ in have)])
        elif choices.is_one_in(8):
            cut = choices.below(40)
        seq = choices.one_of((LOG, LOG, HELD, 0, 1, LOG + 1, (1 << 63) - 1))
        return messages.RequestEnd(ref=self.ref(), seq=seq, unknown=unknown, cut=cut)

    def refuse(self) -> None:
        choices = self.choices
        wire_class = choices.one_of(
            ("internal", "invalid_field", "queue_full", "epoch_unknown", "new_class", "rate_nodes")
        )
        ref = self.ref()
        if self.packs and choices.is_one_in(3):
            ref = choices.one_of(self.packs).ref
        kind = choices.one_of(("final", "retry", "resend", "rebase", "other"))
        self.say(
            messages.Error(
                ref=ref,
                reject_class=wire_class,
                message="no",
                kind=kind,
                retry_after_ms=self.wide_number(),
                detail={"n": self.wide_number()},
            )
        )

    def acknowledge(self) -> None:
        choices = self.choices
        pack = self.packs.pop(0) if self.packs else None
        ref = None if pack is None else pack.ref
        if pack is not None and choices.is_one_in(2):
            self.acknowledge_truly(pack)
            return
        count = choices.below(5)
        first = choices.one_of((LOG + 1, 0, 1, HELD))
        ack = messages.PackAck(ref=ref, from_seq=first, to_seq=max(0, first + count - 1))
        if choices.is_one_in(3):
            ack.duplicates = [(choices.below(6), choices.below(40))]
        if choices.is_one_in(3):
            refused = messages.RejectedNode(
                id=choices.one_of(own_nodes()).id, reject_class="parent_missing"
            )
            ack.rejected = [refused]
        if choices.is_one_in(2):
            ack.credit = messages.CreditTotals(nodes=choices.below(99), bytes=choices.number(3))
        self.say(ack)

    def acknowledge_truly(self, pack: messages.PushPack) -> None:
        """Some of the nodes were there, some are refused, the others are new."""
        choices = self.choices
        ack = messages.PackAck(
            ref=pack.ref, credit=messages.CreditTotals(nodes=9999, bytes=1 << 24)
        )
        admitted = 0
        for index, node in enumerate(decode_pack(pack.nodes, HASHER)):
            fate = choices.below(4)
            if fate == 0:
                seq = self.wide_number() if choices.is_one_in(6) else choices.below(LOG + 1)
                ack.duplicates.append((index, seq))
            elif fate == 1:
                detail: dict[str, object] = {"message": "no", "ops": [0, self.choices.byte()]}
                if self.choices.is_one_in(3):
                    detail[self.choices.one_of(("n", "ops", "retry_after_ms"))] = self.wide_number()
                wire_class, kind = self.choices.one_of(
                    (
                        ("write_forbidden", "rebase"),
                        ("parent_missing", "resend"),
                        ("rate_nodes", "retry"),
                        ("body_invalid", "final"),
                        ("policy_violation", "rebase"),
                    )
                )
                ack.rejected.append(
                    messages.RejectedNode(
                        id=node.id, reject_class=wire_class, detail=detail, kind=kind
                    )
                )
            else:
                admitted += 1
        if admitted:
            ack.from_seq, ack.to_seq = LOG + 1, LOG + admitted
        self.say(ack)

    def answer_truly(self) -> None:
        """What a server with this log says to the last question."""
        request = self.requests[-1] if self.requests else None
        if isinstance(request, messages.Subscribe):
            ack = messages.SubscribeAck(ref=request.ref, seq=LOG, patterns=request.patterns)
            self.say(ack)
            self.send_log(request.ref, 0, LOG)
        if not isinstance(request, messages.Request):
            self.say(messages.RequestEnd(ref=self.ref(), seq=LOG))
            return
        log = log_nodes()
        places = {node.id: seq for seq, node in enumerate(log, 1)}
        end = messages.RequestEnd(ref=request.ref, seq=LOG)
        if request.have is not None:
            same = [seq for seq, start in request.have if start == log[seq - 1].id[:8]]
            end.cut = max(same, default=0)
        elif request.frontier is not None:
            ids = request.frontier
            end.unknown = [index for index, each in enumerate(ids) if each not in places]
            if not end.unknown:
                self.send_log(request.ref, max((places[each] for each in ids), default=0), LOG)
        elif request.after is not None:
            self.send_log(request.ref, request.after.seq, LOG)
        elif request.before is not None:
            self.send_log(request.ref, 0, request.before.seq - 1)
        elif request.snapshot:
            self.chunks_sent = 0
            for _ in range(3):
                self.send_plain_chunk()
            self.send_log(request.ref, HELD, LOG)
        else:
            report = messages.StateHashReport(
                ref=request.ref, frontier=[log[-1].id], hash="0" * 64, coverage={"held": 0}
            )
            self.say(report)
        self.say(end)

    def send_log(self, ref: str | None, after: int, until: int) -> None:
        """The log's nodes, those that were added here aside."""
        nodes = log_nodes()[after:until]
        if nodes:
            pack = messages.Pack(
                ref=ref,
                lineage=LINEAGE,
                nodes=encode_pack(nodes),
                from_seq=after + 1,
                to_seq=after + len(nodes),
            )
            self.say(pack)

    def send_plain_chunk(self) -> None:
        """The next of a snapshot that is as it should be."""
        taken = lying_snapshot() if self.lies else snapshot_of_log()
        last = self.chunks_sent % 3
        self.chunks_sent += 1
        third = len(taken.data) // 3 + 1
        data = taken.data[third * last : third * (last + 1)]
        chunk = messages.Snapshot(ref=self.ref(), chunk=last, data=data)
        if not last:
            chunk.chunks, chunk.size_bytes, chunk.seq = 3, len(taken.data), taken.seq
            chunk.frontier = taken.frontier_pack
            chunk.state_hash, chunk.digest = taken.state_hash, taken.digest
            chunk.signature = taken.sign(SERVER)
        self.say(chunk)

    def wide_number(self) -> int:
        """Any number, up to those that only text can carry."""
        number = self.choices.one_of((9, 0, 400_000, (1 << 63) - 1, (1 << 64) - 1, 10**30, 10**400))
        return number if self.wire.codec.is_text else min(number, (1 << 63) - 1)

    def send_checkpoint(self) -> None:
        """The server's signed word, mostly about this log."""
        choices = self.choices
        seq = choices.below(LOG + 2)
        frontier = sorted(node.id for node in log_nodes()[: choices.below(3)])
        if choices.is_one_in(4):
            frontier.reverse()
        epoch = EPOCH if not choices.is_one_in(4) else bytes(16)
        signature = sign_checkpoint(
            SERVER, lineage=LINEAGE, epoch=epoch, seq=seq, frontier=frontier
        )
        assert signature is not None
        self.say(
            messages.Checkpoint(
                lineage=LINEAGE, epoch=epoch, seq=seq, frontier=frontier, signature=signature
            )
        )

    def send_chunk(self) -> None:
        choices = self.choices
        state = b"the state of a room"
        seq = choices.one_of((HELD, LOG, LOG + 1, 0))
        chunks = choices.one_of((1, 2, 2, 0, 40))
        chunk = messages.Snapshot(
            ref=self.ref(), chunk=choices.below(3), data=state[: choices.below(len(state) + 1)]
        )
        if not choices.is_one_in(3):
            chunk.chunks = chunks
            chunk.size_bytes = choices.one_of((len(chunk.data), len(state), 0, 1 << 62))
            chunk.seq = seq
            heads = log_nodes()[: 1 + choices.below(3)]
            chunk.frontier = encode_pack(heads if not choices.is_one_in(8) else [])
            chunk.state_hash = bytes(32)
            chunk.digest = blake3(chunk.data if chunks == 1 else state).digest()
            chunk.signature = bytes(64)
        else:
            chunk.data = state[choices.below(len(state)) :]
        self.say(chunk)

    def wish_of_session(self) -> None:
        """What the client's own shell asks for; a wish at the wrong time is a ValueError."""
        choices, session = self.choices, self.session
        wish = choices.below(8)
        try:
            if wish == 0:
                session.push(own_nodes()[: choices.below(6)])
            elif wish == 1:
                session.ping(choices.byte())
            elif wish == 2:
                session.ask_history_before(choices.below(30))
            elif wish == 3:
                session.ask_state_hash(choices.one_of(((), ("a",))))
            elif wish == 4:
                session.subscribe(choices.one_of(((), ("a",), ("a/**", "k"))))
            elif wish == 5:
                session.show_presence({"x": choices.byte()}, 5)
            elif wish == 6:
                session.send_signal(bytes(32), "desk", "hi")
            else:
                session.push_back(log_nodes()[: choices.below(4)])
        except ValueError:
            pass
        self.take_frames()
