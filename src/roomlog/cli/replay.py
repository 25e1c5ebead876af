"""`roomlog replay`: compute a room's state and hash from its history."""

from __future__ import annotations

import sys
from typing import Annotated, Any

import typer

from roomlog.cli.failure import Failure
from roomlog.cli.history import History, load_history
from roomlog.cli.options import JsonOption, RoomOption
from roomlog.cli.output import as_json, fields, print_json, steps
from roomlog.cli.point import nodes_at
from roomlog.core.node import Node
from roomlog.core.replica import Replica

DEFAULT_TIMEOUT_S = 60.0


def replay(
    source: Annotated[
        str,
        typer.Argument(
            metavar="SOURCE",
            help="Store directory, pack file, client's local store, or ws:// URL.",
        ),
    ],
    *,
    at: Annotated[
        str | None,
        typer.Option(
            "--at",
            metavar="FRONTIER|TIME|SEQ",
            show_default=False,
            help="The room as it was: node ids (or beginnings) separated by commas, a time of "
            "admission, or a seq. Write ids:, time: or seq: before it where it could be another.",
        ),
    ] = None,
    room: RoomOption = None,
    text: Annotated[
        str | None,
        typer.Option(
            "--text", metavar="KEY", show_default=False, help="Print only the text of this key."
        ),
    ] = None,
    json: JsonOption = False,
    timeout: Annotated[
        float,
        typer.Option("--timeout", metavar="SECONDS", min=0.1, help="Longest wait for a URL."),
    ] = DEFAULT_TIMEOUT_S,
) -> None:
    """Replay history and print the state hash; with --json the whole state as well.

    The same nodes give the same hash, wherever they are read from.
    """
    history = load_history(source, room, timeout)
    nodes = history.nodes if at is None else nodes_at(history, at)
    replica = replayed(history, nodes)
    if text is not None:
        texts = replica.state()["texts"]
        if text not in texts:
            known = ", ".join(sorted(texts)[:8]) or "none"
            raise Failure(f"--text: the room has no text {text!r} at this point (texts: {known})")
        sys.stdout.write(str(texts[text]))
        return
    values = _values(history, replica)
    if json:
        print_json({**values, "state": as_json(replica.state())})
        return
    coverage = values.pop("coverage")
    values["frontier"] = " ".join(values["frontier"]) or "none"
    fields(
        {
            **values,
            "coverage": ", ".join(f"{name} {count}" for name, count in coverage.items() if count)
            or "everything",
        }
    )


def replayed(history: History, nodes: list[Node]) -> Replica:
    """A replica of exactly these nodes. Raises `Failure` when one of them cannot be."""
    replica = Replica(history.room_id, lineage=history.lineage)
    with steps("replaying", len(nodes)) as progress:
        result = replica.add_nodes(nodes, verify=False)
        progress.advance(len(nodes))
    if result.rejected:
        first = result.rejected[0]
        raise Failure(
            f"{history.source}: node {first.id.hex()}: {first.reject_class.wire}: {first.message}"
        )
    return replica


def _values(history: History, replica: Replica) -> dict[str, Any]:
    state = replica.state()
    state_hash = replica.state_hash()
    authors = {node.author for node in replica.nodes()}
    return {
        "source": history.source,
        "room": history.room_id,
        "lineage": history.lineage.hex(),
        "state_hash": str(state_hash),
        "coverage": state_hash.coverage.to_dict(),
        "frontier": [node_id.hex() for node_id in replica.frontier],
        "nodes": len(replica),
        "authors": len(authors),
        **{kind: len(objects) for kind, objects in state.items()},
    }
