"""Pings of a session, when the server wants fewer of them."""

from __future__ import annotations

import asyncio

from hypothesis import given
from hypothesis import strategies as st

from roomlog.client.pings import Pings
from roomlog.protocol.client_events import PingRefused, PongReceived


class Session:
    """Takes note of pings; answers none by itself."""

    def __init__(self) -> None:
        self.is_open = True
        self.sent: list[int] = []

    def ping(self, t: int) -> None:
        self.sent.append(t)


def made() -> tuple[Session, Pings]:
    session = Session()
    return session, Pings(session, lambda: None)  # type: ignore[arg-type]


async def turns(count: int = 3) -> None:
    for _ in range(count):
        await asyncio.sleep(0)


async def test_one_ping_is_sent_again_for_all_that_were_refused() -> None:
    session, pings = made()
    pings.ask(1)
    pings.ask(2)
    pings.refused(PingRefused(1, 0))
    pings.refused(PingRefused(2, 0))
    pings.ask(3)
    assert session.sent == [1, 2]
    await turns()
    assert session.sent == [1, 2, 3]
    pings.answered(PongReceived(3, 40))
    assert pings.pongs == {1: 40, 2: 40, 3: 40}
    await turns()
    assert session.sent == [1, 2, 3]


async def test_what_was_asked_after_the_repeated_ping_is_asked_once_that_is_answered() -> None:
    session, pings = made()
    pings.ask(1)
    pings.refused(PingRefused(1, 0))
    await turns()
    pings.ask(2)
    assert session.sent == [1, 1]
    pings.answered(PongReceived(1, 5))
    assert pings.pongs == {1: 5}
    assert session.sent == [1, 1, 2]
    pings.answered(PongReceived(2, 6))
    assert pings.pongs == {1: 5, 2: 6}


async def test_a_session_that_ended_meanwhile_is_not_asked_again() -> None:
    session, pings = made()
    pings.ask(1)
    pings.refused(PingRefused(1, 0))
    session.is_open = False
    await turns()
    assert session.sent == [1]


async def test_refusals_of_what_nobody_asked_are_nothing() -> None:
    session, pings = made()
    pings.ask(1)
    pings.answered(PongReceived(1, 5))
    for t in (0, 1, 2):
        pings.refused(PingRefused(t, 0))
    await turns()
    assert session.sent == [1]


@given(st.lists(st.booleans(), min_size=1, max_size=30))
def test_every_ping_is_answered_however_often_some_are_refused(is_refused: list[bool]) -> None:
    async def run() -> None:
        session, pings = made()
        seen = 0
        for number, refuses in enumerate(is_refused, 1):
            pings.ask(number)
            while seen < len(session.sent):
                t = session.sent[seen]
                seen += 1
                if refuses:
                    pings.refused(PingRefused(t, 0))
                else:
                    pings.answered(PongReceived(t, number))
        for _ in is_refused:
            await turns()
            while seen < len(session.sent):
                pings.answered(PongReceived(session.sent[seen], 99))
                seen += 1
        assert set(pings.pongs) == set(range(1, len(is_refused) + 1))

    asyncio.run(run())
