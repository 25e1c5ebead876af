"""Where a document gets what is not its own doing: randomness, a socket, a place on disk."""

from __future__ import annotations

import random
import secrets
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from roomlog.client.local_store import LocalStore
from roomlog.client.websocket import WebSocket
from roomlog.protocol.codec import Codec


class Socket(Protocol):
    """What is used of a WebSocket; `WebSocket` says what each raises."""

    async def receive(self) -> bytes: ...
    async def send(self, frame: bytes) -> None: ...
    async def close(self, code: int) -> None: ...


Dial = Callable[[str, Codec, int], AbstractAsyncContextManager[Socket]]
"""From a URL, a codec and the longest frame in bytes."""
OpenStore = Callable[[Path, str, bytes], LocalStore]
"""From a path, a room id and the lineage of a new draft."""


@dataclass(frozen=True, kw_only=True)
class Host:
    """`Host()` is this machine."""

    random_bytes: Callable[[int], bytes] = secrets.token_bytes
    """So many bytes that nobody can guess."""
    random: Callable[[], float] = random.random
    """A float in [0, 1), to spread what many do at once."""
    dial: Dial = WebSocket
    open_store: OpenStore = LocalStore
