"""A network between a client and its server: slow, distant, cut at will, on this machine.

Bytes pass unchanged and in order. A link has a port of its own, so what a client dials is one of
the server's origins only if the server is told of it.
"""

from __future__ import annotations

import asyncio
import contextlib
from types import TracebackType
from typing import Final, final

_PIECE_BYTES: Final = 64 * 1024
_LOOK_S: Final = 0.05


@final
class Link:
    """`async with Link(delay_s=0.05) as link: link.target_port = server.port`.

    `delay_s` is added in each direction. `bytes_per_second` bounds what clients receive, 0 lets
    nothing through, None everything; it may be changed while bytes flow. `is_up` False refuses new
    connections.
    """

    def __init__(self, *, delay_s: float = 0.0, bytes_per_second: float | None = None) -> None:
        self.delay_s = delay_s
        self.bytes_per_second = bytes_per_second
        self.is_up = True
        self.target_port = 0
        self.port = 0
        self._server: asyncio.Server | None = None
        self._open: set[asyncio.StreamWriter] = set()
        self._tasks: set[asyncio.Task[None]] = set()

    @property
    def url(self) -> str:
        """What clients dial."""
        return f"ws://127.0.0.1:{self.port}"

    async def __aenter__(self) -> Link:
        self._server = await asyncio.start_server(self._accept, "127.0.0.1", 0)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        assert self._server is not None
        self._server.close()
        self.cut()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def cut(self) -> None:
        """Break every open connection, without a word to either side."""
        for writer in list(self._open):
            writer.transport.abort()

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if not self.is_up:
            writer.transport.abort()
            return
        try:
            far_reader, far_writer = await asyncio.open_connection("127.0.0.1", self.target_port)
        except OSError:
            writer.transport.abort()
            return
        self._open |= {writer, far_writer}
        # What a slow link has not let through stays with the server, not in here.
        pumps = [
            asyncio.ensure_future(self._pump(reader, far_writer, is_metered=False)),
            asyncio.ensure_future(self._pump(far_reader, writer, is_metered=True)),
        ]
        self._tasks |= set(pumps)
        try:
            await asyncio.wait(pumps)
        finally:
            self._tasks -= set(pumps)
            self._open -= {writer, far_writer}

    async def _pump(
        self, source: asyncio.StreamReader, sink: asyncio.StreamWriter, *, is_metered: bool
    ) -> None:
        loop = asyncio.get_running_loop()
        arrivals: asyncio.Queue[tuple[float, bytes]] = asyncio.Queue(maxsize=256)

        async def read() -> None:
            while True:
                while is_metered and self.bytes_per_second == 0:  # noqa: ASYNC110 - any may set it
                    await asyncio.sleep(_LOOK_S)
                try:
                    piece = await source.read(_PIECE_BYTES)
                except (ConnectionError, OSError):
                    # A reset ends this direction as a farewell does, or the other side never hears.
                    piece = b""
                await arrivals.put((loop.time() + self.delay_s, piece))
                if not piece:
                    return
                if is_metered and self.bytes_per_second:
                    await asyncio.sleep(len(piece) / self.bytes_per_second)

        reading = asyncio.ensure_future(read())
        try:
            while True:
                due_s, piece = await arrivals.get()
                wait_s = due_s - loop.time()
                if wait_s > 0:
                    await asyncio.sleep(wait_s)
                if not piece:
                    break
                sink.write(piece)
                await sink.drain()
        except (ConnectionError, OSError):
            pass
        finally:
            reading.cancel()
            await asyncio.gather(reading, return_exceptions=True)
            with contextlib.suppress(ConnectionError, OSError):
                sink.close()
