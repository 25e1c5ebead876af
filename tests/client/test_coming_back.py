"""How soon a client comes back depends on what the last connection was worth."""

from __future__ import annotations

import aiohttp
import pytest
from multidict import CIMultiDict, CIMultiDictProxy
from yarl import URL

import roomlog
from roomlog import errors
from roomlog.client.backoff import FIRST_S, LONGEST_AFTER_NEWS_S, Backoff
from roomlog.client.session_ended import ended_by_fault, ended_by_server
from roomlog.client.status import Phase
from roomlog.client.websocket import WebSocketClosed, busy_hint_ms
from roomlog.core.reject import Reject, RejectClass, RejectKind
from roomlog.protocol.client_events import Acknowledged, ErrorReceived, Fault, ServerFault
from roomlog.protocol.close_codes import Reaction
from roomlog.protocol.codec import encode
from roomlog.protocol.messages import Drain, Notice
from tests.client.conftest import ADA, BOB
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


async def test_a_reader_whose_line_breaks_all_the_time_comes_back_within_a_second_for_news() -> (
    None
):
    async with ModelSocket(ModelServer()) as served:
        doc = roomlog.connect(served.url, room="demo", identity=ADA)
        backoff = doc._backoff
        async with doc, roomlog.connect(served.url, room="demo", identity=BOB) as writer:
            await doc.synced(LIMIT_S)
            assert failed_often(backoff) == 32 * FIRST_S
            writer.map("m")["k"] = 1
            await writer.synced(LIMIT_S)
            await doc.wait_for(writer.frontier, LIMIT_S)
            assert backoff.bound_s() == LONGEST_AFTER_NEWS_S
            assert failed_often(backoff) > LONGEST_AFTER_NEWS_S
            await doc.synced(LIMIT_S)
            assert backoff.bound_s() > LONGEST_AFTER_NEWS_S


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


def reported(retry_after_ms: int | None, reject_class: str = "room_full") -> ErrorReceived:
    return ErrorReceived(
        reject_class=reject_class,
        message="no",
        kind=RejectKind.RETRY,
        retry_after_ms=retry_after_ms,
        detail={},
        incident=None,
        ref=None,
    )


def test_t36_a_server_at_its_limits_says_when_to_come_back() -> None:
    closed = WebSocketClosed(1013, "")
    ended = ended_by_server(closed, reported(700), None)
    assert (ended.reaction, ended.hint_ms, ended.is_at_once) == (Reaction.BACK_OFF, 700, False)
    # The notice of a drain says more than an error before it.
    assert ended_by_server(closed, reported(700), 4_000).hint_ms == 4_000
    assert ended_by_server(closed, None, None).hint_ms is None
    backoff = Backoff(iter([0.0, 0.5, 0.999]).__next__)
    waits = [backoff.hinted_wait_s(0.7) for _ in range(3)]
    assert waits[0] == 0.7
    assert waits == sorted(waits)
    assert waits[2] < 1.4


def test_a_session_that_the_server_ended_normally_is_begun_again_and_a_fault_stops() -> None:
    assert ended_by_server(WebSocketClosed(1000, ""), None, None).reaction is Reaction.BACK_OFF
    mismatch = ended_by_server(WebSocketClosed(4003, ""), reported(None, "lineage_mismatch"), None)
    assert mismatch.reaction is Reaction.STOP
    assert isinstance(mismatch.problem, errors.LineageMismatchError)
    fault = ServerFault(Fault.SERVER_KEY_CHANGED, Reject(RejectClass.PROOF_INVALID, "other"))
    assert isinstance(ended_by_fault(fault).problem, errors.ServerKeyChangedError)


def test_t36_a_proxy_that_asks_for_patience_gets_it() -> None:
    def answer(**headers: str) -> aiohttp.WSServerHandshakeError:
        url = URL("ws://h")
        info = aiohttp.RequestInfo(url, "GET", CIMultiDictProxy(CIMultiDict()), url)
        named = CIMultiDict({name.replace("_", "-"): text for name, text in headers.items()})
        return aiohttp.WSServerHandshakeError(info, (), status=503, headers=named)

    assert busy_hint_ms(answer(Retry_After="3")) == 3_000
    assert busy_hint_ms(answer(Retry_After="Wed, 21 Oct 2026 07:28:00 GMT")) is None
    assert busy_hint_ms(answer()) is None
    assert busy_hint_ms(OSError()) is None


async def test_t36_a_drain_is_shown_and_its_hint_waited_for(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    hints: list[float] = []
    hinted_wait_s = Backoff.hinted_wait_s

    def recorded(backoff: Backoff, hint_s: float) -> float:
        hints.append(hint_s)
        return hinted_wait_s(backoff, hint_s)

    monkeypatch.setattr(Backoff, "hinted_wait_s", recorded)
    model = ModelServer()
    async with (
        ModelSocket(model) as served,
        roomlog.connect(served.url, room="demo", identity=ADA) as doc,
    ):
        await doc.synced(LIMIT_S)
        (session,) = model.sessions
        notice = Notice(drain=Drain(deadline_ms=1000, retry_after_ms=60_000))
        await served.send_to_all(encode(session.codec, notice))
        status = await doc.until(lambda status: status.phase is Phase.DRAINING, LIMIT_S)
        assert status.is_draining
        doc.map("m")["k"] = 1
        await doc.synced(LIMIT_S)
        await served.drop(1012)
        await doc.until(lambda status: status.phase is Phase.OFFLINE, LIMIT_S)
        assert not doc.status.is_draining
        assert len(model.sessions) == 0
        assert hints == [60.0]
