"""How soon a client comes back depends on what the last connection was worth."""

from __future__ import annotations

import roomlog
from roomlog.client.backoff import FIRST_S, Backoff
from roomlog.protocol.client_events import Acknowledged
from tests.client.conftest import ADA
from tests.client.model_server import ModelServer
from tests.client.model_socket import ModelSocket
from tests.client.test_document import LIMIT_S


def failed_often(backoff: Backoff) -> float:
    for _ in range(5):
        backoff.next_wait_s()
    return backoff.bound_s()


async def test_t36_only_what_becomes_durable_makes_the_next_wait_short_again() -> None:
    async with ModelSocket(ModelServer()) as served:
        doc = roomlog.connect(served.url, room="demo", identity=ADA)
        backoff = doc._backoff
        async with doc:
            await doc.synced(LIMIT_S)
            assert failed_often(backoff) == 32 * FIRST_S
            await doc.synced(LIMIT_S)
            assert backoff.bound_s() == 32 * FIRST_S
            doc.map("m")["k"] = 1
            await doc.synced(LIMIT_S)
            assert backoff.bound_s() == FIRST_S


async def test_t36_an_ack_of_what_was_durable_before_the_session_is_no_progress() -> None:
    model = ModelServer()
    async with ModelSocket(model) as served:
        async with roomlog.connect(served.url, room="demo", identity=ADA) as first:
            first.map("m")["k"] = 1
            await first.synced(LIMIT_S)
        doc = roomlog.connect(served.url, room="demo", identity=ADA)
        backoff = doc._backoff
        async with doc:
            await doc.synced(LIMIT_S)
            connection = doc._connection
            assert connection is not None
            assert connection.events is not None
            bound_s = failed_often(backoff)
            (node_id,) = doc.frontier
            connection.events.handle([Acknowledged({node_id: model.head})])
            assert backoff.bound_s() == bound_s
            connection.events.handle([Acknowledged({node_id: model.head + 1})])
            assert backoff.bound_s() == FIRST_S
