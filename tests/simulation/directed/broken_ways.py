"""Networks on a bad day."""

from __future__ import annotations

from tests.simulation.directed.scenario import at, plan, scenario, start, write
from tests.simulation.network_faults import LINE_FAULTS
from tests.simulation.plan import Plan


@scenario("cut, half open, not read")
def cut_half_open_not_read() -> Plan:
    """T34: every way in which a socket ends or does not."""
    return plan(
        start("ada", "bob"),
        write("ada", "bob", to_ms=8_000, count=40, every=7),
        at(1_000, "cut", "ada"),
        at(2_000, "freeze", "bob"),
        at(3_000, "stop reading", "ada", pause_ms=3_000),
        limits={"ping_interval_ms": 1_000, "pings_missed": 1},
    )


@scenario("slow and far")
def slow_and_far() -> Plan:
    return plan(
        start("ada", "bob"),
        write("ada", "bob", to_ms=6_000, count=30),
        at(500, "way", "ada", bytes_per_second=2_000.0),
        at(600, "way", "bob", least_delay_s=0.3, most_delay_s=1.0),
        at(5_000, "way", "ada"),
    )


@scenario("alone for a while")
def alone_for_a_while() -> Plan:
    """Partitioned and refused clients write on, and all of it arrives. T29"""
    return plan(
        start("ada", "bob"),
        write("ada", "bob", to_ms=6_000, count=30, every=5),
        at(1_000, "way", "ada", is_partitioned=True),
        at(1_000, "cut", "bob"),
        at(1_001, "way", "bob", is_refused=True),
        at(5_000, "way", "ada"),
        at(5_500, "way", "bob"),
    )


@scenario("a line that is none")
def a_line_that_is_none() -> Plan:
    """Frames are dropped, doubled and swapped in both directions, until the line breaks."""
    return plan(
        start("ada", "bob"),
        write("ada", "bob", to_ms=8_000, count=40, every=5),
        *(
            at(500 + 1_000 * number, "damage", who, lane=lane, faults=[fault], cut_after_ms=300)
            for number, (fault, lane, who) in enumerate(
                (fault, lane, who)
                for fault in LINE_FAULTS
                for lane, who in (("to_server", "ada"), ("to_client", "bob"))
            )
        ),
    )
