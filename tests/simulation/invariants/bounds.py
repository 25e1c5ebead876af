"""Queues stay below their limits, whatever anybody does."""

from __future__ import annotations

from typing import TYPE_CHECKING

from roomlog.client.local_store import MOST_QUEUED_BYTES
from roomlog.server.connection import ANSWERS_BYTES
from roomlog.store.committer import DEFAULT_QUEUED_APPENDS, DEFAULT_QUEUED_BYTES
from tests.simulation.invariants.violation import Violation

if TYPE_CHECKING:
    from tests.simulation.client_machine import ClientMachine
    from tests.simulation.server_machine import ServerMachine

TURNED_AWAY_AT_ONCE = 64
"""Sockets beyond a limit that are told so."""
ONE_MESSAGE_BYTES = 9 << 20
"""What may come on top of a limit: it is looked at between messages."""
REFUSALS_MAX = 4_096


def check_server(server: ServerMachine) -> None:
    """Every queue of a running server."""
    hub, config = server.hub, server.config
    committer = hub.committer
    _below(server.name, "queued appends", committer.queued_appends, DEFAULT_QUEUED_APPENDS)
    most = DEFAULT_QUEUED_BYTES + ONE_MESSAGE_BYTES
    _below(server.name, "queued bytes", committer.queued_bytes, most)
    _below(server.name, "rooms", len(hub.registry.rooms), config.rooms_max)
    for room in hub.registry.rooms.values():
        _below(server.name, "sessions", len(room.sessions), config.connections_per_room)
    most = config.reader_buffer_bytes + ANSWERS_BYTES + ONE_MESSAGE_BYTES
    for connection in hub.connections:
        _below(server.name, "socket buffer bytes", connection.waiting_bytes, most)
        _below(server.name, "remembered refusals", len(connection.refusals._roots), REFUSALS_MAX)


def check_client(client: ClientMachine) -> None:
    """Every queue of an open document."""
    document = client.document
    assert document is not None
    waiting = document._engine.replica.waiting
    _below(client.name, "waiting nodes", len(waiting), waiting._max_nodes)
    _below(client.name, "waiting bytes", waiting.size_bytes, waiting._max_bytes)
    store = client._store
    if store is not None:
        _below(client.name, "bytes for the disk", store.queued_bytes, MOST_QUEUED_BYTES * 2)


def _below(who: str, what: str, value: int, most: int) -> None:
    if value > most:
        raise Violation("bound_broken", f"{who}: {what} {value} > {most}")
