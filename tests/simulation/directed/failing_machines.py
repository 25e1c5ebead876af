"""Machines that die, and disks that fail, lose and forget."""

from __future__ import annotations

from tests.simulation.directed.scenario import SERVER, at, plan, scenario, start, write
from tests.simulation.disk import Call
from tests.simulation.plan import Plan

DAY_MS = 24 * 3600 * 1000


@scenario("killed and without power")
def killed_and_without_power() -> Plan:
    """T19, T20, T27: at some moment, in the middle of steps, in the middle of calls."""
    ends = [
        (SERVER, {"power_loss": False}),
        (SERVER, {"power_loss": True, "steps": 3}),
        ("ada", {"power_loss": False, "steps": 2}),
        ("ada", {"power_loss": True}),
    ]
    return plan(
        start("ada", "bob"),
        write("ada", "bob", to_ms=10_000, count=60, every=4),
        *(
            part
            for number, (who, how) in enumerate(ends)
            for part in (
                at(1_000 + 1_500 * number, "kill", who, **how),
                at(1_700 + 1_500 * number, "start", who),
            )
        ),
        at(7_500, "lose power at call", SERVER, number=3, call="sync"),
        at(8_300, "start", SERVER),
        at(8_600, "lose power at call", "bob", number=2, call="write"),
        at(9_300, "start", "bob"),
    )


@scenario("t19 every call to a disk fails")
def every_call_to_a_disk_fails() -> Plan:
    """T19, T21, T59: none is taken for done, at a start or in the midst of work, on either side."""
    calls = [call.value for call in Call if call is not Call.ANY]
    parts = []
    for number, (call, who) in enumerate((call, who) for call in calls for who in (SERVER, "ada")):
        begin_ms = 500 + 800 * number
        parts += [
            at(begin_ms, "fail call", who, number=2, call=call, fault="error", times=1),
            at(begin_ms + 200, "kill", who, power_loss=False),
            at(begin_ms + 210, "fail call", who, number=1, call=call, fault="error", times=1),
            *(at(begin_ms + 220 + 100 * again, "start", who) for again in range(3)),
        ]
    last_ms = 500 + 800 * 2 * len(calls)
    return plan(
        start("ada", "bob"),
        write("ada", "bob", to_ms=last_ms, count=90, every=6),
        *parts,
        at(last_ms, "fail call", SERVER, number=1, call="write", fault="full", times=1),
        write("ada", "bob", from_ms=last_ms + 10, to_ms=last_ms + 500, count=6),
        # The log beside a database is deleted by who closes it last.
        at(last_ms + 890, "fail call", SERVER, number=1, call="delete", fault="error", times=1),
        at(last_ms + 900, "close", SERVER),
        at(last_ms + 1_500, "start", SERVER),
    )


@scenario("t27 what was not synced is lost or torn")
def what_was_not_synced_is_lost_or_torn() -> Plan:
    """Power goes in the midst of writes and syncs, again and again."""
    parts = []
    for number in range(16):
        who = (SERVER, "ada")[number % 2]
        call = ("sync", "write", "sync", "any")[number // 2 % 4]
        begin_ms = 500 + 700 * number
        parts += [
            at(begin_ms, "lose power at call", who, number=1 + number // 4, call=call),
            *(at(begin_ms + 300 + 100 * again, "start", who) for again in range(2)),
        ]
    return plan(
        start("ada", "bob"),
        write("ada", "bob", to_ms=12_000, count=120, every=6),
        *parts,
    )


@scenario("a full disk")
def a_full_disk() -> Plan:
    return plan(
        start("ada", "bob"),
        write("ada", "bob", to_ms=8_000, count=60, every=6),
        at(1_000, "fill disk", SERVER, left_bytes=2_000),
        at(3_000, "fill disk", SERVER, left_bytes=None),
        at(4_000, "fill disk", "ada", left_bytes=0),
        at(6_000, "fill disk", "ada", left_bytes=None),
        at(6_500, "kill", "ada", power_loss=False),
        at(7_000, "start", "ada"),
    )


@scenario("what a failed sync forgot")
def what_a_failed_sync_forgot() -> Plan:
    """T27: pages that a failed fsync called clean are read again from the disk."""
    return plan(
        start("ada", "bob"),
        write("ada", "bob", to_ms=5_000, count=40, every=6),
        at(1_000, "fail call", SERVER, number=1, call="sync", fault="error", times=1),
        at(2_000, "kill", SERVER, power_loss=False),
        at(2_050, "drop caches", SERVER),
        at(2_100, "start", SERVER),
    )


@scenario("an older copy is put back")
def an_older_copy_is_put_back() -> Plan:
    """T22, T63: with checkpoints that prove what was lost; everybody gets it back."""
    return plan(
        start("ada", "bob"),
        write("ada", "bob", to_ms=3_000, count=20),
        at(3_500, "copy store", SERVER),
        write("ada", "bob", from_ms=3_600, to_ms=6_000, count=20),
        at(6_500, "put back store", SERVER),
        write("ada", "bob", from_ms=7_000, to_ms=8_000, count=10),
        limits={"checkpoint_interval_ms": 200},
    )


@scenario("a copy is put back that nobody can prove to be old")
def an_older_copy_without_checkpoints() -> Plan:
    return plan(
        start("ada", "bob"),
        write("ada", "bob", to_ms=3_000, count=20),
        at(3_500, "copy store", SERVER),
        write("ada", "bob", from_ms=3_600, to_ms=6_000, count=20),
        at(6_500, "put back store", SERVER),
        write("ada", "bob", from_ms=6_600, to_ms=8_000, count=10),
        limits={"checkpoint_interval_ms": 3_600_000},
    )


@scenario("clocks jump")
def clocks_jump() -> Plan:
    """T15, T51: ahead and back, by hours and days, on both sides."""
    jumps = [
        ("ada", 20_000),
        ("bob", -DAY_MS),
        (SERVER, 3_600_000),
        (SERVER, -3_600_000),
        ("ada", 0),
        (SERVER, 0),
    ]
    return plan(
        start("ada", "bob"),
        write("ada", "bob", to_ms=8_000, count=40, every=6),
        *(
            at(1_000 + 1_000 * number, "set clock", who, ahead_ms=ahead_ms)
            for number, (who, ahead_ms) in enumerate(jumps)
        ),
    )


@scenario("a bug of the server")
def a_bug_of_the_server() -> Plan:
    """T23: its sessions are told an incident, and only the store is believed."""
    return plan(
        start("ada", "bob"),
        write("ada", "bob", to_ms=6_000, count=40, every=4),
        at(1_500, "server fault", SERVER, where="push"),
        at(3_500, "server fault", SERVER, where="settle"),
    )
