"""Bytes of sockets and pipes: masked WebSocket frames, and the frames of a worker process."""

from __future__ import annotations

import io
from collections.abc import Iterable
from functools import cache
from random import Random
from typing import Final, final

import msgspec

from roomlog.core.node import CHANGE, Node, make_node
from roomlog.core.operation import MapSet, Operation, TextInsert
from roomlog.core.pack import encode_pack
from roomlog.server.masked_frames import MaskGuard
from roomlog.server.worker_frames import (
    DONE,
    FAILED,
    HEAD_BYTES,
    HashFound,
    ReplayTask,
    SnapshotFound,
    frame,
    read_head,
    room_frames,
)
from roomlog.server.worker_process import room_of, serve
from roomlog.store.interface import Append, NewRoom
from roomlog.store.memory import MemoryStore
from tests.fuzz.built_nodes import AUTHORS, HASHER, LINEAGE
from tests.fuzz.choices import Choices, piece
from tests.fuzz.target import Target

FRAMES, RAW, WORK = range(3)
EPOCH: Final = b"e" * 16
LOG: Final = 6


@final
class Recorder:
    """A parser and a queue that keep what they are given."""

    def __init__(self) -> None:
        self.data = b""
        self.faults = 0

    def feed_data(self, data: bytes) -> tuple[bool, bytes]:
        assert not self.faults, "fed after the fault"
        self.data += data
        return False, b""

    def feed_eof(self) -> None:
        """Nothing is kept of it."""

    def set_exception(self, exc: BaseException) -> None:
        self.faults += 1


def check(data: bytes) -> None:
    """The first byte says what the others are."""
    which = data[0] % 3 if data else RAW
    if which == WORK:
        check_worker(Choices(data[1:]))
        return
    choices = Choices(data[1:])
    cuts = [1 + each for each in choices.piece()[:40]]
    check_guard(stream_of(choices) if which == FRAMES else choices.rest(), cuts)


def stream_of(choices: Choices) -> bytes:
    """Frames of any kind and length, few of them without a mask."""
    out = bytearray()
    while choices.are_left and len(out) < 200_000:
        size = choices.one_of((0, 1, 3, 125, 126, 127, 300, 65_535, 65_536))
        mask = 0 if choices.is_one_in(6) else 0x80
        # A longer length field than the size needs is another way to write a head.
        kind = choices.below(4)
        if size < 126 and kind != 3:
            head = bytes((choices.byte(), mask | size))
        elif size < 65_536 and kind != 2:
            head = bytes((choices.byte(), mask | 126)) + size.to_bytes(2, "big")
        else:
            head = bytes((choices.byte(), mask | 127)) + size.to_bytes(8, "big")
        out += head + (b"mask" if mask else b"") + b"\x81\x01" * (size // 2) + b"\0" * (size % 2)
    return bytes(out)


def check_guard(stream: bytes, cuts: list[int]) -> None:
    """Exactly what lies before the first unmasked frame passes, however the stream is cut."""
    good, is_failed = masked_prefix(stream)
    for pieces in (cut_up(stream, cuts), [stream]):
        recorder = Recorder()
        guard = MaskGuard(recorder, recorder)
        for each in pieces:
            guard.feed_data(each)
        assert recorder.faults == is_failed
        if is_failed:
            # Half a head cannot be judged, so its first byte may have passed.
            assert good <= len(recorder.data) <= good + 1
            assert recorder.data == stream[: len(recorder.data)]
        else:
            assert recorder.data == stream
        guard.feed_eof()


def cut_up(stream: bytes, cuts: list[int]) -> list[bytes]:
    pieces = []
    position = 0
    for cut in cuts:
        pieces.append(stream[position : position + cut])
        position += cut
    return [*pieces, stream[position:]]


def masked_prefix(stream: bytes) -> tuple[int, bool]:
    """How many bytes lie before the first unmasked frame, and whether there is one (RFC 6455)."""
    position = 0
    while position + 2 <= len(stream):
        second = stream[position + 1]
        if not second & 0x80:
            return position, True
        length = second & 0x7F
        width = {126: 2, 127: 8}.get(length, 0)
        if position + 2 + width > len(stream):
            break
        if width:
            length = int.from_bytes(stream[position + 2 : position + 2 + width], "big")
        position += 2 + width + 4 + length
    return len(stream), False


@cache
def small_room() -> MemoryStore:
    """A room of a few nodes, as the server that cannot share its store sends it."""
    store = MemoryStore(bytes(16), 0)
    store.create_rooms([NewRoom("room", LINEAGE, EPOCH, 0)])
    nodes: list[Node] = []
    for seq in range(1, LOG + 1):
        parents = [nodes[-1].id] if nodes else []
        operations: list[Operation] = [MapSet("k", seq), TextInsert("t", 0, "ab")]
        nodes.append(make_node(HASHER, AUTHORS[0], CHANGE, seq, parents, operations))
    for node_seq, node in enumerate(nodes, 1):
        pack = encode_pack([node])
        append = Append("room", EPOCH, node_seq, 1, pack, node.id, AUTHORS[0].public_key, 0)
        (outcome,) = store.commit([append])
        assert outcome.is_committed
    return store


def check_worker(choices: Choices) -> None:
    """A worker answers every task to its end, whatever room came with it."""
    task = ReplayTask(
        kind=choices.one_of(("snapshot", "hash", "other")),
        store="",
        room_id=choices.one_of(("room", "room", "room", "none")),
        server_key=choices.one_of((AUTHORS[0].public_key, b"")),
        head_seq=choices.one_of((LOG, LOG, 3, 0, LOG + 1)),
        base_seq=choices.one_of((0, 0, 2, LOG)),
        least_seq=choices.one_of((1, 2, LOG + 1)),
        most_seq=choices.one_of((LOG, LOG, 3, 0)),
        patterns=choices.one_of(((), ("k",), ("**",), ("a**b",))),
    )
    sent = [
        parsed(each)
        for each in room_frames(
            small_room(), msgspec.structs.replace(task, room_id="room", head_seq=LOG)
        )
    ]
    while choices.is_one_in(2) and sent:
        place = choices.below(len(sent))
        kind, payload = sent[place]
        if choices.is_one_in(3):
            sent[place] = (choices.one_of((b"r", b"a", b"s", b"c")), payload)
        elif choices.is_one_in(3):
            del sent[place]
        else:
            changed = bytearray(payload)
            for _ in range(1 + choices.below(3)):
                if changed:
                    changed[choices.below(len(changed))] = choices.byte()
            sent[place] = (kind, bytes(changed))
    output = io.BytesIO()
    serve([(task, sent)], output)
    answers = list(parsed_all(output.getvalue()))
    assert answers[-1][0] in (DONE, FAILED)
    assert all(kind not in (DONE, FAILED) for kind, _ in answers[:-1])
    if answers[-1][0] == DONE:
        kind = SnapshotFound if task.kind != "hash" else HashFound
        msgspec.msgpack.decode(answers[0][1], type=kind)
    else:
        answers[-1][1].decode()
    raw = choices.rest()
    if len(raw) == HEAD_BYTES:
        kind_byte, size_bytes = read_head(raw)
        assert frame(kind_byte, b"")[4:] == kind_byte
        assert 0 <= size_bytes < 1 << 32


def parsed(data: bytes) -> tuple[bytes, bytes]:
    kind, size_bytes = read_head(data[:HEAD_BYTES])
    assert len(data) == HEAD_BYTES + size_bytes
    return kind, data[HEAD_BYTES:]


def parsed_all(data: bytes) -> Iterable[tuple[bytes, bytes]]:
    while data:
        _, size_bytes = read_head(data[:HEAD_BYTES])
        yield parsed(data[: HEAD_BYTES + size_bytes])
        data = data[HEAD_BYTES + size_bytes :]


def seeds() -> Iterable[bytes]:
    """Streams in pieces of several lengths, raw frames, and tasks of each kind."""
    random = Random(17)
    for size in (4, 12, 24):
        for _ in range(8):
            yield bytes((FRAMES,)) + piece(random.randbytes(6)) + random.randbytes(size)
    good = b"\x82\x83maskabc" + b"\x82\xfe\x00\x7emask" + bytes(126)
    yield bytes((RAW,)) + piece(b"\x01\x02\x01") + good
    yield bytes((RAW,)) + piece(b"\x00") + good + b"\x81\x05hello"
    yield bytes((RAW,)) + piece(b"") + b"\x82\xff" + b"\xff" * 8 + b"mask"
    for kind in range(3):
        yield bytes((WORK, kind, 0, 0, 0, 0, 0, 0, 0))
        yield bytes((WORK, kind, 0, 0, 0, 0, 0, 0, 0)) + random.randbytes(24)
    assert room_of([]).rooms() == []


TARGET = Target(check, seeds, most_bytes=1024)
