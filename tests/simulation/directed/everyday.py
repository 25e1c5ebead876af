"""What people do with a room on a good day."""

from __future__ import annotations

from tests.simulation.directed.scenario import SERVER, at, plan, scenario, start, two, write
from tests.simulation.plan import ClientSpec, Plan


@scenario("two people write")
def two_people_write() -> Plan:
    return plan(
        start("ada", "bob"),
        at(100, "watch edits", "ada", group_ms=500),
        at(110, "watch edits", "bob", group_ms=0),
        write("ada", "bob", count=24, every=5),
        at(3_000, "undo", "ada"),
        at(3_100, "redo", "ada"),
        at(3_200, "flush", "bob"),
        at(3_300, "save version", "ada", name="v0"),
        at(3_600, "open version", "bob", name="v0"),
        at(3_700, "delete version", "bob", name="v0"),
        at(3_800, "look back", "ada"),
        at(3_900, "synced", "bob", timeout_s=20.0),
        at(5_000, "read acknowledged", "ada"),
    )


@scenario("transactions and branches")
def transactions_and_branches() -> Plan:
    edit = [{"do": "counter add", "key": "c", "amount": 1}]
    return plan(
        start("ada", "bob"),
        write("ada", "bob", count=6),
        at(3_000, "transaction", "ada", edits=edit, hold_ms=500, fails=False),
        at(3_600, "transaction", "bob", edits=edit, hold_ms=10, fails=True),
        at(4_000, "branches", "ada", count=20, edits=edit, merges=False),
        at(4_500, "branches", "bob", count=3, edits=edit, merges=True),
        at(5_000, "old branch", "ada", back=3, edits=edit),
        at(6_000, "look back", "bob"),
    )


@scenario("company")
def company() -> Plan:
    """Presence and signals in both codecs; somebody comes, somebody goes, something expires."""
    clients = [*two(), ClientSpec(name="eve", codec="json"), ClientSpec(name="tom", is_reader=True)]
    return plan(
        start("ada", "bob", "tom"),
        at(300, "show", "ada", data={"x": [1, 2]}, ttl_s=None),
        at(350, "show", "bob", data="here", ttl_s=0.5),
        at(600, "start", "eve"),
        at(900, "signal", "ada", to=0, data=1),
        at(950, "signal", "bob", to=0, data={"a": None}),
        at(960, "signal", "eve", to=1, data=3),
        at(1_000, "show", "bob", data=None, ttl_s=None),
        at(1_500, "kill", "eve", power_loss=False),
        at(1_600, "show", "ada", data=2, ttl_s=0.5),
        at(2_000, "kill", "ada", power_loss=False),
        at(4_000, "start", "ada"),
        write("bob", count=3),
        clients=clients,
    )


@scenario("parts of a room")
def parts_of_a_room() -> Plan:
    """T13: subscribers to some keys, who change their minds."""
    clients = [*two(), ClientSpec(name="eve", patterns=["m/**", "once/**"], codec="json")]
    return plan(
        start("ada", "bob", "eve"),
        write("ada", "bob", count=20),
        at(2_000, "subscribe", "eve", patterns=["t", "c", "once/**"], timeout_s=20.0),
        at(3_500, "subscribe", "bob", patterns=["*", "once/**"], timeout_s=20.0),
        at(5_000, "subscribe", "bob", patterns=[], timeout_s=20.0),
        write("ada", from_ms=3_500, to_ms=5_500),
        clients=clients,
    )


@scenario("a late joiner")
def a_late_joiner() -> Plan:
    """By a snapshot, in both codecs; the history behind it comes later, or when it is asked for."""
    clients = [
        *two(),
        ClientSpec(name="eve"),
        ClientSpec(name="tom", codec="json", history="recent", is_reader=True),
    ]
    return plan(
        start("ada", "bob"),
        write("ada", "bob", count=30),
        start("eve", "tom", at_ms=5_000),
        write("eve", from_ms=5_500, to_ms=6_500, count=5),
        at(7_000, "history", "tom", timeout_s=20.0),
        clients=clients,
    )


@scenario("coming and going")
def coming_and_going() -> Plan:
    """T36, T44: clients close and open, the server restarts: nothing missed, a little, a lot."""
    return plan(
        start("ada", "bob"),
        write("ada", "bob", count=10),
        at(3_000, "close", "bob"),
        at(4_000, "start", "bob"),
        at(5_000, "close", "bob"),
        write("ada", from_ms=5_200, to_ms=6_000, count=5),
        at(6_500, "start", "bob"),
        at(7_500, "restart", SERVER, pause_ms=500),
        write("ada", "bob", from_ms=7_400, to_ms=9_000, count=20, every=4),
        at(9_500, "restart", "ada", pause_ms=0),
        at(11_000, "close", SERVER),
        at(12_000, "start", SERVER),
    )


@scenario("t24 snapshots, evictions and restarts")
def snapshots_evictions_and_restarts() -> Plan:
    """What is read again from the store is what was in memory, whatever it was read from."""
    clients = [*two(), ClientSpec(name="eve", has_store=False), ClientSpec(name="tom")]
    parts = []
    for number in range(4):
        begin_ms = 200 + 3_000 * number
        parts += [
            write("ada", "bob", from_ms=begin_ms, to_ms=begin_ms + 1_000, count=12, every=5),
            *(at(begin_ms + 1_500, "close", who) for who in ("ada", "bob", "eve")),
            *(at(begin_ms + 2_600, "start", who) for who in ("ada", "bob", "eve")),
        ]
    return plan(
        start("ada", "bob", "eve"),
        *parts,
        at(5_000, "restart", SERVER, pause_ms=100),
        at(11_000, "restart", SERVER, pause_ms=100),
        at(12_500, "start", "tom"),
        clients=clients,
        config={"idle_eviction_ms": 100},
    )


@scenario("t33 nobody writes and nothing is written")
def nobody_writes_and_nothing_is_written() -> Plan:
    return plan(
        start("ada", "bob"),
        write("ada", "bob", count=20),
        at(4_000, "stay idle", for_s=600.0),
        at(670_000, "flush", "ada"),
        config={"tick_ms": 1_000},
    )


@scenario("t44 a drain with people far away")
def a_drain_with_people_far_away() -> Plan:
    """It lasts until they have answered; who comes meanwhile is turned away."""
    return plan(
        start("ada", "bob"),
        at(1_000, "way", "ada", least_delay_s=0.8, most_delay_s=1.0),
        write("ada", "bob", to_ms=6_000, count=40, every=4),
        at(2_500, "kill", "bob", power_loss=False),
        at(3_000, "restart", SERVER, pause_ms=100),
        at(3_200, "start", "bob"),
        at(6_000, "way", "ada"),
    )
