"""Servers and clients made up at random: settings, limits and abilities of every size."""

from __future__ import annotations

import random
from typing import Any

from roomlog.protocol.capabilities import CAPABILITIES
from tests.simulation.generated_edits import PATTERNS
from tests.simulation.plan import ClientSpec, ServerSpec

SNAPSHOTS: tuple[dict[str, int], ...] = (
    {},
    {"snapshot_every_nodes": 0},
    {
        "snapshot_every_nodes": 6,
        "snapshot_margin_nodes": 2,
        "snapshot_worth_nodes": 3,
        "snapshot_every_ms": 500,
    },
    {
        "snapshot_every_nodes": 1,
        "snapshot_margin_nodes": 0,
        "snapshot_worth_nodes": 1,
        "snapshot_every_ms": 100,
    },
    {
        "snapshot_every_nodes": 25,
        "snapshot_margin_nodes": 8,
        "snapshot_worth_nodes": 10,
        "snapshot_every_ms": 5_000,
    },
)
CONFIG: dict[str, tuple[int, ...]] = {
    "idle_eviction_ms": (1, 500, 5_000),
    "tick_ms": (50, 300),
    "reader_buffer_bytes": (65_536,),
    "drain_deadline_ms": (50, 1_000),
    "drain_retry_after_ms": (0, 5_000),
    "drain_spread_ms": (0, 100),
    "handshakes_max": (1, 2),
    "handshakes_per_address_per_second": (1, 3),
}
LIMITS: dict[str, tuple[int, ...]] = {
    "pack_nodes": (1, 3, 50),
    "have_pairs": (16,),
    "resend_window_ms": (0, 2_000),
    "reconcile_window_ms": (50, 5_000),
    "checkpoint_interval_ms": (50, 1_000),
    "live_nodes_per_second": (2, 20),
    "live_bytes_per_second": (2_000, 100_000),
    "slice_nodes": (1, 5, 50),
    "backlog_nodes": (0, 5),
    "backlog_bytes": (0, 10_000),
    "messages_per_second": (10, 30),
    "presence_ttl_ms": (100, 3_000),
    "ping_interval_ms": (1_500, 3_000),
    "pings_missed": (1, 3),
    "send_stall_ms": (300, 2_000),
    "clock_skew_ms": (0, 100),
}
"""What is drawn where a setting is not left as it is. Not those which an honest client with these
plans can never keep to, such as fewer connections than there are clients."""


def some_server(chance: random.Random) -> ServerSpec:
    """A server whose settings are the default ones mostly, and at times far from them."""
    return ServerSpec(
        name="north",
        config={
            **chance.choice(SNAPSHOTS),
            **_drawn(chance, CONFIG),
            **({"capabilities_off": _off(chance)} if chance.random() < 0.15 else {}),
        },
        limits=_drawn(chance, LIMITS),
    )


def _drawn(chance: random.Random, choices: dict[str, tuple[int, ...]]) -> dict[str, Any]:
    share = chance.choice((0.0, 0.0, 0.1, 0.3, 0.6))
    return {
        name: chance.choice(values) for name, values in choices.items() if chance.random() < share
    }


def _off(chance: random.Random) -> list[str]:
    names = [capability.name for capability in CAPABILITIES]
    return sorted(chance.sample(names, chance.randint(1, len(names))))


def some_clients(chance: random.Random) -> list[ClientSpec]:
    """One to six clients in one room or two; the first one writes."""
    count = chance.choice((1, 2, 2, 3, 3, 4, 5, 6))
    rooms = ["room"] if chance.random() < 0.8 else ["room", "attic"]
    share_odd = chance.choice((0.0, 0.1, 0.3))
    clients: list[ClientSpec] = []

    def is_odd() -> bool:
        return chance.random() < share_odd

    for number in range(count):
        is_reader = number > 0 and is_odd()
        clients.append(
            ClientSpec(
                name=f"c{number}",
                room=chance.choice(rooms) if number and not is_reader else rooms[0],
                key_of=chance.choice(clients).name if number and not is_reader and is_odd() else "",
                codec="json" if chance.random() < 0.3 else "msgpack",
                has_store=not is_odd(),
                is_reader=is_reader,
                verify="all" if is_odd() else "live",
                history="recent" if is_odd() else "full",
                patterns=chance.choice(PATTERNS) if is_odd() else None,
                capabilities_off=_off(chance) if is_odd() else [],
            )
        )
    # A key is its own where the other one has none.
    keys = {client.name for client in clients if not client.is_reader and not client.key_of}
    for client in clients:
        if client.key_of not in keys:
            client.key_of = ""
    return clients
