"""Real servers on loopback for the SDK's tests."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from roomlog.identity import Identity
from roomlog.server.config import ServerConfig, load_config
from roomlog.server.service import Service

ADA = Identity.from_seed(b"a" * 32)
BOB = Identity.from_seed(b"b" * 32)


def server_config(port: int = 0, **flags: object) -> ServerConfig:
    return load_config({"bind": f"127.0.0.1:{port}", "log_level": "error", **flags}, {}, None)


@pytest.fixture
async def service() -> AsyncIterator[Service]:
    async with Service(server_config()) as started:
        yield started
