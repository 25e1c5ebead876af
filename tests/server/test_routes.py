"""The plain HTTP routes."""

from __future__ import annotations

import json

import aiohttp
import pytest

from roomlog.server.manifest import build_manifest
from roomlog.server.metrics import METRICS, PREFIX
from roomlog.server.service import Service
from tests.server.conftest import Join, Start, eventually


async def get(service: Service, path: str, **options: str) -> tuple[int, str, str]:
    url = service.url.replace("ws://", "http://") + path
    async with aiohttp.ClientSession() as http, http.get(url, headers=options) as answer:
        return answer.status, answer.content_type, await answer.text()


async def test_health_and_readiness(start: Start) -> None:
    service = await start()
    assert (await get(service, "/healthz"))[0] == 200
    assert (await get(service, "/readyz"))[0] == 200
    service.hub.is_draining = True
    assert (await get(service, "/healthz"))[0] == 200
    status, kind, body = await get(service, "/readyz")
    assert (status, kind) == (503, "application/problem+json")
    assert json.loads(body)["class"] == "draining"


async def test_the_version_is_the_manifest(start: Start) -> None:
    status, kind, body = await get(await start(), "/version")
    assert (status, kind) == (200, "application/json")
    assert json.loads(body) == json.loads(json.dumps(build_manifest()))


async def test_every_declared_metric_is_exposed(start: Start, enter: Join) -> None:
    service = await start()
    client = await enter(service)
    await client.push_and_wait(client.write())
    status, _, body = await get(service, "/metrics")
    assert status == 200
    for row in METRICS:
        assert f"# HELP {PREFIX}{row.name.removesuffix('_total')}" in body, row.name
    assert "roomlog_nodes_admitted_total 1.0" in body
    assert 'roomlog_catch_up_total{mode="none"} 1.0' in body
    assert "roomlog_process_resident_memory_bytes" in body


async def test_t39_what_clients_write_never_becomes_a_label(start: Start, enter: Join) -> None:
    service = await start()
    strange = 'naughty\n"label'
    await enter(
        service,
        "room-with-a-name",
        hello={"client": {"name": strange, "version": strange}, "label": "my-label"},
    )
    _, _, body = await get(service, "/metrics")
    assert 'sessions_total{client="other",proto="1",version="other"} 1.0' in body
    for word in ("naughty", "room-with-a-name", "my-label"):
        assert word not in body


async def test_t39_a_close_code_of_a_client_becomes_no_label(start: Start, enter: Join) -> None:
    service = await start()
    client = await enter(service)
    await client.socket.close(code=4_321)
    await eventually(lambda: not service.hub.connections)
    _, _, body = await get(service, "/metrics")
    assert 'roomlog_closes_total{code="other"} 1.0' in body
    assert "4321" not in body


async def test_t39_a_node_is_counted_once_however_many_packs_follow(
    start: Start, enter: Join
) -> None:
    service = await start()
    writer = await enter(service)
    for count in (1, 2, 3):
        await writer.push_and_wait(*[writer.write() for _ in range(count)])
    _, _, body = await get(service, "/metrics")
    assert "roomlog_nodes_admitted_total 6.0" in body


@pytest.mark.parametrize("room", ["a%20b", "%00", "x" * 129, "a%2Fb", "ü", "a:b"])
async def test_a_wrong_room_id_is_a_problem_before_any_upgrade(start: Start, room: str) -> None:
    status, kind, body = await get(await start(), f"/ws/{room}")
    assert (status, kind) == (404, "application/problem+json")
    assert json.loads(body)["class"] == "room_id_invalid"


async def test_the_longest_room_id_with_every_kind_of_character_is_fine(
    start: Start, enter: Join
) -> None:
    room = "aZ0._~-" + "x" * 121
    assert (await enter(await start(), room)).welcome["room"] == room


async def test_a_plain_request_for_the_socket_is_told_to_upgrade(start: Start) -> None:
    status, kind, _ = await get(await start(), "/ws/room")
    assert (status, kind) == (426, "application/problem+json")
