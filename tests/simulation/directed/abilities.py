"""Capabilities that one side lacks, and every rung of the ladder."""

from __future__ import annotations

from collections.abc import Callable

from roomlog.protocol.capabilities import CAPABILITIES
from tests.simulation.directed.scenario import SERVER, at, plan, scenario, start, two, write
from tests.simulation.plan import ClientSpec, Plan

NAMES = [row.name for row in CAPABILITIES]


def without(off: list[str], *, on_server: bool) -> Plan:
    """People come back, join and subscribe while something is not there."""
    clients = [
        *two(capabilities_off=[] if on_server else off),
        ClientSpec(name="eve", capabilities_off=[] if on_server else off),
        ClientSpec(name="tom", patterns=["m/**", "once/**"], is_reader=True),
    ]
    return plan(
        start("ada", "bob"),
        write("ada", "bob", count=20),
        at(3_000, "close", "bob"),
        write("ada", from_ms=3_100, to_ms=4_000, count=5),
        at(4_500, "start", "bob"),
        start("eve", "tom", at_ms=5_000),
        at(5_500, "show", "ada", data="here", ttl_s=None),
        write("ada", "bob", "eve", from_ms=5_500, to_ms=6_500, count=9),
        at(7_000, "copy store", SERVER),
        write("ada", "bob", from_ms=7_100, to_ms=8_000, count=6),
        at(8_500, "put back store", SERVER),
        clients=clients,
        config={"capabilities_off": off} if on_server else {},
        limits={"checkpoint_interval_ms": 200},
    )


def _add(name: str, off: list[str], *, on_server: bool) -> None:
    make: Callable[[], Plan] = lambda: without(off, on_server=on_server)  # noqa: E731
    scenario(f"t43 without {name} on the {'server' if on_server else 'client'}")(make)


for each in NAMES:
    _add(each, [each], on_server=True)
_add("anything", NAMES, on_server=True)
_add("anything", NAMES, on_server=False)


@scenario("t22 every rung of the ladder")
def every_rung() -> Plan:
    """None, cursor, cut and walk, for both codecs; joiners take the snapshot."""
    clients = [
        *two(),
        ClientSpec(name="eve", capabilities_off=["cursor_resume"]),
        ClientSpec(name="tom", capabilities_off=["log_cut"], codec="json"),
        ClientSpec(name="zoe"),
        ClientSpec(name="max", capabilities_off=["snapshot_join"]),
    ]
    return plan(
        start("ada", "bob", "eve", "tom"),
        write("ada", "bob", "eve", "tom", count=20),
        at(3_000, "copy store", SERVER),
        at(3_100, "cut", "bob"),
        write("ada", "eve", from_ms=3_500, to_ms=5_000, count=10),
        at(5_500, "put back store", SERVER),
        write("tom", "bob", from_ms=5_600, to_ms=7_000, count=10),
        start("zoe", "max", at_ms=7_500),
        clients=clients,
        limits={"checkpoint_interval_ms": 100},
    )
