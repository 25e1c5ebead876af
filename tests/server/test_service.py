"""Starting, and failing to start."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import pytest

from roomlog.core.errors import IdentityFileError
from roomlog.server.config import load_config
from roomlog.server.logging import make_log
from roomlog.server.service import STORE_REPLACED, Service, open_store
from roomlog.store.errors import StoreLocked
from roomlog.store.interface import NewRoom
from tests.server.conftest import Join, Start


def service_of(path: Path | None = None, **keys: Any) -> Service:
    values = {"bind": "127.0.0.1:0", "log_level": "error", "store": path and str(path), **keys}
    return Service(load_config(values, {}))


async def test_a_started_server_tells_its_port_and_url(start: Start) -> None:
    service = await start()
    assert service.port > 0
    assert service.url == f"ws://127.0.0.1:{service.port}"
    assert service.url in service.hub.origins


async def test_an_ipv6_server_is_dialled_in_brackets(start: Start, enter: Join) -> None:
    try:
        service = await start(bind="[::1]:0")
    except OSError:
        pytest.skip("this machine has no IPv6 loopback")
    assert service.url == f"ws://[::1]:{service.port}"
    assert (await enter(service)).welcome["type"] == "welcome"


async def test_a_port_in_use_is_an_error_that_leaves_the_store_free(
    start: Start, tmp_path: Path
) -> None:
    busy = await start()
    failing = service_of(tmp_path / "store", bind=f"127.0.0.1:{busy.port}")
    with pytest.raises(OSError, match="address already in use"):
        await failing.start()
    async with service_of(tmp_path / "store") as service:
        assert service.port


async def test_two_servers_never_share_a_store(tmp_path: Path) -> None:
    async with service_of(tmp_path / "store"):
        with pytest.raises(StoreLocked):
            await service_of(tmp_path / "store").start()


async def test_t27_a_key_that_others_can_read_stops_the_start_and_frees_the_store(
    tmp_path: Path,
) -> None:
    path = tmp_path / "store"
    async with service_of(path):
        pass
    (path / "server.key").chmod(0o644)
    with pytest.raises(IdentityFileError):
        await service_of(path).start()
    (path / "server.key").chmod(0o600)
    async with service_of(path) as service:
        assert service.port


def test_a_store_with_rooms_is_never_given_another_key(tmp_path: Path) -> None:
    config = load_config({"store": str(tmp_path / "store")}, {})
    store, identity = open_store(config)
    store.create_rooms([NewRoom("demo", bytes(32), bytes(16), 1)])
    store.close()
    key = tmp_path / "store" / "server.key"
    key.rename(tmp_path / "elsewhere")
    with pytest.raises(IdentityFileError, match=r"server\.key: missing"):
        open_store(config)
    assert not key.exists()
    (tmp_path / "elsewhere").rename(key)
    store, again = open_store(config)
    store.close()
    assert again == identity


def test_a_store_keeps_the_key_it_was_made_with(tmp_path: Path) -> None:
    config = load_config({"store": str(tmp_path / "store")}, {})
    keys = []
    for _ in range(2):
        store, identity = open_store(config)
        keys.append(identity.public_key)
        store.close()
    assert keys[0] == keys[1]
    assert open_store(load_config({}, {}))[1].public_key != keys[0]


async def test_a_server_says_loudly_that_it_found_a_key_without_its_database(
    tmp_path: Path,
) -> None:
    path = tmp_path / "store"
    lines = io.StringIO()
    config = load_config({"bind": "127.0.0.1:0", "store": str(path)}, {})
    for is_database_lost in (False, False, True):
        if is_database_lost:
            (path / "roomlog.sqlite3").unlink()
        assert STORE_REPLACED not in lines.getvalue()
        async with Service(config, log=make_log("json", "info", lines)) as service:
            assert service.is_store_replaced == is_database_lost
    warnings = [json.loads(line) for line in lines.getvalue().splitlines() if "warning" in line]
    assert [each["event"] for each in warnings] == [STORE_REPLACED]
