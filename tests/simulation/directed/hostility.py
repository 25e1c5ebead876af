"""Each attack of a hostile client and each lie of a hostile server, among people who write on."""

from __future__ import annotations

from typing import Any

from tests.simulation.directed.scenario import SERVER, at, plan, scenario, start, two, write
from tests.simulation.hostile.every import ATTACKS, LIES
from tests.simulation.hostile.floods import WORDS
from tests.simulation.plan import ClientSpec, Plan

TRAPS: dict[str, str] = {
    "forged nodes": "t2 t10 t54",
    "stolen proofs": "t1 t55",
    "overheard hellos": "t1",
    "claims of a lost log": "t63",
    "two nodes in one moment": "t57",
    "wide frontier": "t37 t62",
    "clocks of another day": "t51",
    "false pasts": "t31",
    "costly patterns": "t47",
    "flood of words": "t30",
    "deaf reader": "t28 t58",
    "slow reader": "t28",
    "dead socket": "t34 t49",
    "broken messages": "t43",
    "a forged frontier": "t56",
    "broken snapshots": "t56",
    "a false state": "t56",
    "nonsense": "t43",
    "checkpoints of nothing": "t63",
    "promises": "t17",
    "refusals": "t52",
}
"""Which of the known ways to fail an attack or a lie is about."""
MORE: dict[str, dict[str, Any]] = {
    "flood of words": {"kinds": list(WORDS)},
    "half greetings": {"pings": 4},
    "deaf reader": {"count": 6, "for_s": 5},
    "slow reader": {"count": 8},
    "dead socket": {"for_s": 20},
}
LIMITS: dict[str, dict[str, Any]] = {
    "half greetings": {"hello_wait_ms": 1_000},
    "flood of words": {"messages_per_second": 10},
    "deaf reader": {"send_stall_ms": 1_000},
    "dead socket": {"ping_interval_ms": 2_000},
}


ATTACK_MS = 45_000
"""How long an attack may take."""


def _named(name: str) -> str:
    traps = TRAPS.get(name)
    return name if traps is None else f"{traps} {name}"


def _attacked(name: str, codec: str) -> Plan:
    """Twice: by two attackers, one of them in a room of only hostile nodes."""
    how = {"codec": codec, **MORE.get(name, {})}
    return plan(
        start("ada", "bob"),
        at(300, f"hostile {name}", "mallory", **how),
        write("ada", "bob", count=20, every=5),
        at(1_500, f"hostile {name}", "trudy", **how),
        at(2_500, "close", "bob"),
        at(3_500, "start", "bob"),
        at(ATTACK_MS, "flush", "ada"),
        limits=LIMITS.get(name),
    )


def _lied_to(name: str) -> Plan:
    """Some were there before, somebody joins in the midst of it, somebody only reads."""
    clients = [*two(), ClientSpec(name="eve", verify="all"), ClientSpec(name="tom", is_reader=True)]
    return plan(
        start("ada", "bob"),
        write("ada", "bob", to_ms=2_000, count=15, every=5),
        at(2_500, f"hostile server {name}", SERVER, for_s=6.0),
        write("ada", "bob", from_ms=3_000, to_ms=8_000, count=20, every=5),
        start("eve", "tom", at_ms=4_000),
        write("eve", from_ms=5_000, to_ms=8_000, count=5),
        write("ada", "bob", from_ms=8_500, to_ms=10_000, count=5),
        clients=clients,
    )


for attack in ATTACKS:
    for codec in ("msgpack", "json"):
        scenario(f"{_named(attack)}, {codec}")(
            lambda attack=attack, codec=codec: _attacked(attack, codec)  # type: ignore[misc]
        )
for lie in LIES:
    scenario(f"{_named(lie)}, told by a server")(
        lambda lie=lie: _lied_to(lie)  # type: ignore[misc]
    )


@scenario("a line that lies")
def a_line_that_lies() -> Plan:
    return plan(
        start("ada", "bob"),
        write("ada", "bob", to_ms=8_000, count=40, every=5),
        at(1_000, "hostile line", SERVER, for_s=8.0, one_in=5),
    )


@scenario("t55 a look-alike passes everything on")
def a_relay() -> Plan:
    return plan(
        start("ada", "bob"),
        write("ada", "bob", to_ms=6_000, count=20, every=5),
        at(1_000, "hostile relay", "ada", for_s=3.0),
    )


@scenario("no room for more")
def no_room_for_more() -> Plan:
    """Connections of a room, rooms of a server, handshakes of an address: told so, and let in."""
    return plan(
        start("ada", "bob"),
        write("ada", "bob", count=10),
        at(500, "hostile many sockets", "mallory", count=12),
        at(2_000, "hostile many sockets", "trudy", count=3, room="attic"),
        at(2_001, "hostile many sockets", "trent", count=3, room="cellar"),
        config={
            "connections_per_room": 4,
            "rooms_max": 2,
            "handshakes_max": 6,
            "idle_eviction_ms": 500,
        },
    )


@scenario("t35 little of everything is granted")
def little_is_granted() -> Plan:
    """Small credit, small packs, few messages: honest people wait, and lose nothing."""
    return plan(
        start("ada", "bob"),
        write("ada", "bob", to_ms=4_000, count=60, every=6),
        at(1_000, "way", "ada", is_refused=True),
        at(1_001, "cut", "ada"),
        at(3_000, "way", "ada"),
        limits={
            "slice_nodes": 3,
            "live_nodes_per_second": 5,
            "pack_nodes": 2,
            "backlog_nodes": 4,
            "messages_per_second": 60,
        },
    )
