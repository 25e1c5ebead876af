"""`roomlog loadtest`: bounded load on a server, measured, with a verdict."""

from __future__ import annotations

import asyncio
import math
import secrets
import time
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from roomlog.cli.failure import FAILED, Failure
from roomlog.cli.options import DEFAULT_URL, JsonOption
from roomlog.cli.output import line, print_json, remark, table

if TYPE_CHECKING:
    from roomlog.cli.load.session import LoadSession

SCENARIO_NAMES: Final = (
    "slow-reader",
    "offline-day",
    "reconnect-storm",
    "flood",
    "many-rooms",
    "mixed-versions",
    "never-quiet",
)
DEFAULT_SECONDS: Final = 5.0
SETTLE_S: Final = 15.0
MOST_SECONDS: Final = 600.0
MOST_SESSIONS: Final = 2_000


def loadtest(
    *,
    scenario: Annotated[
        str | None,
        typer.Option(
            "--scenario",
            metavar="NAME",
            show_default=False,
            help="A situation with a server of its own, judged by its own limits: "
            + ", ".join(SCENARIO_NAMES)
            + ".",
        ),
    ] = None,
    url: Annotated[
        str | None,
        typer.Option("--url", metavar="URL", help="The server's address.", show_default=False),
    ] = None,
    room: Annotated[
        str | None,
        typer.Option("--room", metavar="ROOM", show_default=False, help="By default a new room."),
    ] = None,
    writers: Annotated[
        int,
        typer.Option("--writers", min=1, max=MOST_SESSIONS, metavar="N", help="Writing sessions."),
    ] = 1,
    readers: Annotated[
        int,
        typer.Option("--readers", min=0, max=MOST_SESSIONS, metavar="N", help="Reading sessions."),
    ] = 10,
    seconds: Annotated[
        float | None,
        typer.Option(
            "--seconds",
            min=0.1,
            max=MOST_SECONDS,
            metavar="S",
            show_default=False,
            help="How long to write; 5, or what the scenario takes.",
        ),
    ] = None,
    rate: Annotated[
        float,
        typer.Option("--rate", min=0.0, metavar="N", help="Nodes/s a writer; 0: all credit."),
    ] = 100.0,
    in_flight: Annotated[
        int,
        typer.Option(
            "--in-flight", min=1, max=4_096, metavar="N", help="Most unanswered packs a writer."
        ),
    ] = 32,
    min_acks: Annotated[
        float | None,
        typer.Option("--min-acks", metavar="N", show_default=False, help="Fail below N acks/s."),
    ] = None,
    min_deliveries: Annotated[
        float | None,
        typer.Option(
            "--min-deliveries", metavar="N", show_default=False, help="Fail below N deliveries/s."
        ),
    ] = None,
    max_p99_ms: Annotated[
        float | None,
        typer.Option(
            "--max-p99-ms",
            metavar="MS",
            show_default=False,
            help="Fail when the p99 of acks or deliveries is above.",
        ),
    ] = None,
    json: JsonOption = False,
) -> None:
    """Write into one room with many sessions, read with others, and print what was reached.

    Every write is one signed node that was made durable before its ack. The load stays within the
    server's credit. Exit 1 when something was lost or refused, or a limit given was missed.

    A scenario starts a server of its own on this machine, in a directory that is removed.
    """
    if scenario is not None:
        _run_scenario(scenario, url, seconds, json=json)
        return
    figures = asyncio.run(
        _run(
            url or DEFAULT_URL,
            room or f"loadtest-{secrets.token_hex(6)}",
            writer_count=writers,
            reader_count=readers,
            seconds=DEFAULT_SECONDS if seconds is None else seconds,
            rate=rate,
            in_flight=in_flight,
        )
    )
    verdicts = _verdicts(figures, min_acks, min_deliveries, max_p99_ms)
    failed = [verdict for verdict in verdicts if not verdict["passed"]]
    if json:
        print_json({**figures, "verdicts": verdicts, "passed": not failed})
    else:
        _print(figures, verdicts)
    if failed:
        raise typer.Exit(FAILED)


def _run_scenario(name: str, url: str | None, seconds: float | None, *, json: bool) -> None:
    if name not in SCENARIO_NAMES:
        raise Failure(f"--scenario: {name!r} is none of {', '.join(SCENARIO_NAMES)}")
    if url is not None:
        raise Failure("--url: a scenario starts a server of its own")
    from roomlog.cli.load.scenarios import print_scenario, run_scenario

    result = run_scenario(name, seconds)
    if json:
        print_json(result)
    else:
        print_scenario(result)
    if not result["passed"]:
        raise typer.Exit(FAILED)


async def _run(
    url: str,
    room: str,
    *,
    writer_count: int,
    reader_count: int,
    seconds: float,
    rate: float,
    in_flight: int,
) -> dict[str, Any]:
    from roomlog.cli.load.session import LoadSession
    from roomlog.client.address import Address
    from roomlog.identity import Identity

    address = Address(url)
    writers = [LoadSession(address, room, Identity.generate()) for _ in range(writer_count)]
    readers = [LoadSession(address, room, None) for _ in range(reader_count)]
    opened: list[LoadSession] = []
    try:
        # The first writer creates the room that the readers need.
        for session in [*writers, *readers]:
            await session.open()
            opened.append(session)
        remark(f"{writer_count} writers and {reader_count} readers in {room} for {seconds:g} s")
        started_s = time.perf_counter()
        until_s = started_s + seconds
        await asyncio.gather(
            *(each.write(in_flight=in_flight, rate=rate, until_s=until_s) for each in writers)
        )
        settled = await asyncio.gather(*(each.drained(SETTLE_S) for each in writers))
        last_seq = max((seq for each in writers for seq in each.sent_at_s), default=0)
        await asyncio.gather(*(each.received_up_to(last_seq, SETTLE_S) for each in readers))
        if not all(settled):
            raise Failure(f"the server did not acknowledge everything within {SETTLE_S:g} s")
    finally:
        await asyncio.gather(*(each.close() for each in opened), return_exceptions=True)
    return _figures(room, writers, readers, started_s)


def _figures(
    room: str, writers: list[LoadSession], readers: list[LoadSession], started_s: float
) -> dict[str, Any]:
    acks = [pair for each in writers for pair in each.acknowledged_s]
    ack_ms = sorted(1_000 * (acked_s - sent_s) for sent_s, acked_s in acks)
    sent_at_s = {seq: sent_s for each in writers for seq, sent_s in each.sent_at_s.items()}
    delivery_ms: list[float] = []
    last_received_s = started_s
    missing = 0
    for reader in readers:
        seqs: set[int] = set()
        for from_seq, to_seq, received_s in reader.received:
            last_received_s = max(last_received_s, received_s)
            for seq in range(from_seq, to_seq + 1):
                if seq in sent_at_s:
                    seqs.add(seq)
                    delivery_ms.append(1_000 * (received_s - sent_at_s[seq]))
        missing += len(sent_at_s) - len(seqs)
    delivery_ms.sort()
    ack_s = max((acked_s for _, acked_s in acks), default=started_s) - started_s
    refusals: dict[str, int] = {}
    for each in writers:
        for name, count in each.refusals.items():
            refusals[name] = refusals.get(name, 0) + count
    return {
        "room": room,
        "writers": len(writers),
        "readers": len(readers),
        "acks": _row(ack_ms, ack_s),
        "deliveries": _row(delivery_ms, last_received_s - started_s),
        "missing_deliveries": missing,
        "refused": refusals,
    }


def _row(sorted_ms: list[float], elapsed_s: float) -> dict[str, float]:
    return {
        "count": len(sorted_ms),
        "per_second": round(len(sorted_ms) / elapsed_s, 1) if elapsed_s > 0 else 0.0,
        "p50_ms": _percentile(sorted_ms, 0.5),
        "p99_ms": _percentile(sorted_ms, 0.99),
        "max_ms": _percentile(sorted_ms, 1.0),
    }


def _percentile(sorted_values: list[float], share: float) -> float:
    """The least value that `share` of the values do not exceed; 0 without values."""
    if not sorted_values:
        return 0.0
    return round(sorted_values[max(math.ceil(share * len(sorted_values)) - 1, 0)], 3)


def _verdicts(
    figures: dict[str, Any],
    min_acks: float | None,
    min_deliveries: float | None,
    max_p99_ms: float | None,
) -> list[dict[str, Any]]:
    acks, deliveries = figures["acks"], figures["deliveries"]
    refused = sum(figures["refused"].values())
    verdicts = [
        ("something was written", acks["count"], acks["count"] > 0),
        ("nothing was lost", figures["missing_deliveries"], figures["missing_deliveries"] == 0),
        ("nothing was refused", refused, refused == 0),
    ]
    if min_acks is not None:
        rate = acks["per_second"]
        verdicts.append((f"at least {min_acks:g} acks/s", rate, rate >= min_acks))
    if min_deliveries is not None:
        rate = deliveries["per_second"]
        verdicts.append((f"at least {min_deliveries:g} deliveries/s", rate, rate >= min_deliveries))
    if max_p99_ms is not None:
        worst = max(acks["p99_ms"], deliveries["p99_ms"])
        verdicts.append((f"p99 at most {max_p99_ms:g} ms", worst, worst <= max_p99_ms))
    return [{"check": check, "value": value, "passed": ok} for check, value, ok in verdicts]


def _print(figures: dict[str, Any], verdicts: list[dict[str, Any]]) -> None:
    rows = []
    for name in ("acks", "deliveries"):
        row = figures[name]
        rows.append(
            (name, *(row[key] for key in ("count", "per_second", "p50_ms", "p99_ms", "max_ms")))
        )
    table(("", "COUNT", "PER SECOND", "P50 MS", "P99 MS", "MAX MS"), rows)
    for verdict in verdicts:
        line(
            f"{'pass' if verdict['passed'] else 'FAIL'}  {verdict['check']} ({verdict['value']:g})"
        )
