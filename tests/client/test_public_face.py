"""What `import roomlog` gives, and what it does not load."""

from __future__ import annotations

import subprocess
import sys

import pytest

import roomlog


def test_every_exported_name_is_there() -> None:
    for name in roomlog.__all__:
        assert getattr(roomlog, name) is getattr(roomlog, name)
        assert name in dir(roomlog)
    with pytest.raises(AttributeError, match="nothing"):
        roomlog.nothing  # type: ignore[attr-defined]  # noqa: B018


def test_a_replica_loads_no_network_code() -> None:
    program = (
        "import sys, roomlog; roomlog.Replica('demo', roomlog.Identity.generate());"
        "sys.exit(any(name in sys.modules for name in ('aiohttp', 'asyncio', 'sqlite3')))"
    )
    done = subprocess.run([sys.executable, "-c", program], check=False, timeout=60)
    assert done.returncode == 0
