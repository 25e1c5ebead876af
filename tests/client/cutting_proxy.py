"""A TCP proxy between clients and a server that cuts connections where a seed says."""

from __future__ import annotations

import asyncio
import random
from types import TracebackType


class CuttingProxy:
    """`async with CuttingProxy(port, seed) as proxy`, then dial `proxy.url`.

    Each connection is cut after a number of bytes in either direction: in the handshake, in the
    middle of a frame, or later. `calm` lets all through from then on.
    """

    def __init__(self, server_port: int, seed: int, most_bytes: int = 20_000) -> None:
        self.url = ""
        self.cuts = 0
        self._server_port = server_port
        self._random = random.Random(seed)
        self._most_bytes = most_bytes
        self._is_calm = False
        self._writers: set[asyncio.StreamWriter] = set()
        self._tasks: set[asyncio.Task[None]] = set()

    async def __aenter__(self) -> CuttingProxy:
        self._server = await asyncio.start_server(self._accept, "127.0.0.1", 0)
        self.url = f"ws://127.0.0.1:{self._server.sockets[0].getsockname()[1]}"
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._server.close()
        self.cut_all()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def calm(self) -> None:
        self._is_calm = True

    def cut_all(self) -> None:
        for writer in list(self._writers):
            writer.transport.abort()

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        try:
            far_reader, far_writer = await asyncio.open_connection("127.0.0.1", self._server_port)
        except OSError:
            writer.transport.abort()
            return
        pair = (writer, far_writer)
        self._writers.update(pair)
        left = [self._random.randrange(self._most_bytes)]
        try:
            await asyncio.gather(
                self._carry(reader, far_writer, left, pair),
                self._carry(far_reader, writer, left, pair),
            )
        finally:
            self._writers.difference_update(pair)
            for each in pair:
                each.transport.abort()
            self._tasks.discard(task)

    async def _carry(
        self,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        left: list[int],
        pair: tuple[asyncio.StreamWriter, asyncio.StreamWriter],
    ) -> None:
        """Pass bytes on until the pair's share is used up; then both ends break off."""
        try:
            while data := await reader.read(4096):
                if not self._is_calm:
                    left[0] -= len(data)
                    if left[0] <= 0:
                        self.cuts += 1
                        # What was cut in the middle arrives in part.
                        writer.write(data[: len(data) // 2])
                        break
                writer.write(data)
                await writer.drain()
        except OSError:
            pass
        for each in pair:
            each.transport.abort()
