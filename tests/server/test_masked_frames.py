"""Client frames have to be masked; however the bytes are cut."""

from __future__ import annotations

import asyncio

from hypothesis import given
from hypothesis import strategies as st

from roomlog.server.masked_frames import MaskGuard
from tests.server.conftest import Start, eventually

UPGRADE = (
    b"GET /ws/room HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n"
    b"Sec-WebSocket-Protocol: roomlog.v1+msgpack\r\n\r\n"
)


class Recorder:
    def __init__(self) -> None:
        self.data = b""
        self.faults: list[BaseException] = []

    def feed_data(self, data: bytes) -> tuple[bool, bytes]:
        self.data += data
        return False, b""

    def feed_eof(self) -> None:
        self.data += b"EOF"

    def set_exception(self, exc: BaseException) -> None:
        self.faults.append(exc)


def frame(size: int, *, masked: bool) -> bytes:
    flag = 0x80 if masked else 0
    if size < 126:
        head = bytes((0x82, flag | size))
    elif size < 65_536:
        head = bytes((0x82, flag | 126)) + size.to_bytes(2)
    else:
        head = bytes((0x82, flag | 127)) + size.to_bytes(8)
    # A payload that looks like the head of an unmasked frame.
    return head + (b"mask" if masked else b"") + b"\x82\x01" * (size // 2) + b"\x00" * (size % 2)


@given(
    sizes=st.lists(st.sampled_from([0, 1, 2, 125, 126, 127, 500, 65_535, 65_536]), max_size=4),
    bad=st.none() | st.sampled_from([0, 1, 126, 65_536]),
    cuts=st.lists(st.integers(1, 40), max_size=60),
)
def test_exactly_what_lies_before_the_first_unmasked_frame_passes(
    sizes: list[int], bad: int | None, cuts: list[int]
) -> None:
    good = b"".join(frame(size, masked=True) for size in sizes)
    sent = good if bad is None else good + frame(bad, masked=False) + frame(3, masked=True)
    recorder = Recorder()
    guard = MaskGuard(recorder, recorder)
    position = 0
    for cut in cuts:
        guard.feed_data(sent[position : position + cut])
        position += cut
    guard.feed_data(sent[position:])
    if bad is None:
        assert (recorder.data, recorder.faults) == (good, [])
    else:
        # Half a head cannot be judged, so its first byte may have passed.
        assert recorder.data[: len(good)] == good
        assert len(recorder.data) <= len(good) + 1
        assert len(recorder.faults) == 1
    guard.feed_eof()
    assert recorder.data.endswith(b"EOF")


async def test_an_unmasked_frame_is_answered_with_1002(start: Start) -> None:
    service = await start()
    for tail in (b"", b"\x89\x00"):
        reader, writer = await asyncio.open_connection("127.0.0.1", service.port)
        # With the upgrade, or after it.
        writer.write(UPGRADE + tail)
        await reader.readuntil(b"\r\n\r\n")
        if not tail:
            writer.write(b"\x89\x00")
        async with asyncio.timeout(5):
            answered = await reader.read(-1)
        assert b"\x03\xea" in answered[-40:]
        writer.close()
    await eventually(lambda: b'closes_total{code="1002"} 2.0' in service.metrics.exposition())
