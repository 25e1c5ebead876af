"""Waiting until a document and its server agree."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from typing import final

from roomlog.client.connection import Connection
from roomlog.client.engine import Engine
from roomlog.client.errors import DocumentClosedError, NotConnectedError, PeerUnknownError
from roomlog.client.local_store import LocalStore
from roomlog.client.status import Phase


@final
class Progress:
    """Wakes everyone who waits for something to have changed."""

    def __init__(self) -> None:
        self._event = asyncio.Event()

    def notify(self) -> None:
        """Something may have changed: everyone who waits looks once."""
        self._event.set()
        self._event = asyncio.Event()

    async def wait(self) -> None:
        """Wait for the next `notify`."""
        await self._event.wait()


@final
class Agreement:
    """What `Document.synced` and `Document.wait_for` wait for.

    Every wait ends with the error that stopped the connection, if one did.
    """

    def __init__(
        self,
        engine: Engine,
        store: LocalStore | None,
        connection: Connection,
        progress: Progress,
    ) -> None:
        self._engine = engine
        self._store = store
        self._connection = connection
        self._progress = progress

    async def reach(self, serial: int) -> None:
        """Until what was written up to `serial` is settled and one ping's log head is held."""
        while not await self._reach_in_one_session(serial):
            pass
        if self._store is not None:
            await self._write(self._store)

    async def _reach_in_one_session(self, serial: int) -> bool:
        """False when the session ended before."""
        connection = self._connection
        while connection.session is None or not connection.session.is_open:
            self._raise_if_over()
            await self._progress.wait()
        session, number = connection.session, connection.session_number
        ping = connection.ping()
        while connection.session_number == number:
            self._raise_if_over()
            head = connection.pongs.get(ping)
            if (
                head is not None
                and session.held_seq >= head
                and self._engine.pending.is_settled(serial)
                and not self._engine.held_count
            ):
                del connection.pongs[ping]
                return True
            await self._progress.wait()
        return False

    async def _write(self, store: LocalStore) -> None:
        """Until the local store has everything so far."""
        written = asyncio.Event()
        store.write([], written.set)
        while not written.is_set():
            if store.failure is not None:
                raise store.failure
            await self._progress.wait()

    async def hold(self, node_ids: Iterable[bytes]) -> None:
        """Until all of these nodes are in the replica."""
        missing = set(node_ids)
        while True:
            missing = {each for each in missing if each not in self._engine.replica}
            if not missing:
                return
            self._raise_if_over()
            await self._progress.wait()

    async def join(self) -> None:
        """Until it is known whether a snapshot stands in the place of older history."""
        while self._engine.wants_snapshot:
            session = self._connection.session
            if session is not None and session.is_live:
                return
            self._raise_if_over()
            await self._progress.wait()

    async def complete_history(self) -> None:
        """Until no snapshot stands in the place of older history."""
        while self._engine.older is not None:
            self._connection.history.want()
            self._raise_if_over()
            await self._progress.wait()

    async def hold_bodies(self) -> None:
        """Until all bodies that the patterns ask for are here."""
        while self._engine.replica.awaits_bodies:
            self._raise_if_over()
            await self._progress.wait()

    async def tell(self, pubkey: bytes, label: str, data: object) -> None:
        """Send a signal, and wait until the server has read it: then it refused it or did not."""
        connection = self._connection
        session, number = connection.session, connection.session_number
        if session is None or "presence_ttl" not in session.caps or not session.is_open:
            raise NotConnectedError("no server can pass on a signal at the moment")
        ref = session.send_signal(pubkey, label, data)
        ping = connection.ping()
        refused = connection.refused_signals
        while connection.session_number == number:
            if ref in refused:
                refusal = refused.pop(ref)
                kind = PeerUnknownError if refusal.reject_class == "peer_unknown" else None
                raise (kind or NotConnectedError)(refusal.message)
            if connection.pongs.pop(ping, None) is not None:
                return
            await self._progress.wait()
        raise NotConnectedError("the connection was lost before the signal was passed on")

    def _raise_if_over(self) -> None:
        connection = self._connection
        if connection.standing.phase is Phase.CLOSED:
            raise DocumentClosedError("the document was closed")
        if connection.standing.phase is Phase.STOPPED and connection.standing.problem is not None:
            raise connection.standing.problem
