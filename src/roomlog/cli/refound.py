"""`roomlog room refound`: make a room that is gone again, from what its clients kept."""

from __future__ import annotations

import os
import secrets
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final, final

import typer

from roomlog.cli.failure import Failure
from roomlog.cli.options import JsonOption, StoreOption
from roomlog.cli.output import counted, fields, print_json, remark, steps
from roomlog.core.graph import Graph
from roomlog.core.node import Node, check_node
from roomlog.core.reject import Reject

if TYPE_CHECKING:
    from roomlog.client.stored_document import StoredDocument
    from roomlog.identity import Identity
    from roomlog.store.interface import Append, NewRoom, ReconcileWindow, StoredRoom

PACK_NODES: Final = 256
SIGNED_AT_ONCE: Final = 4_096
MOST_PROCESSES: Final = 4


def refound(
    room: Annotated[str, typer.Argument(help="The room's id.", metavar="ROOM")],
    store: StoreOption,
    sources: Annotated[
        list[Path],
        typer.Option(
            "--from",
            metavar="CLIENT.db",
            show_default=False,
            help="A client's local store; several, if each has a part.",
        ),
    ],
    json: JsonOption = False,
) -> None:
    """Make a room that the store has lost again, from the local stores of its clients.

    Every node is checked and its signature verified. The room keeps its lineage and gets a new
    epoch; for a day every client may bring back what these stores lacked. Stop the server first.
    """
    from roomlog.server.config import ServerConfig
    from roomlog.server.service import open_store
    from roomlog.store.sqlite import SqliteStore

    kept = read_kept(sources, room)
    check_nodes(kept.nodes)
    opened, identity = open_store(ServerConfig(store=str(store)))
    assert isinstance(opened, SqliteStore)
    try:
        if opened.open_room(room) is not None:
            raise Failure(f"ROOM: the store {store} holds the room {room} already")
        founding = _Founding(room, kept, identity)
        with steps("writing", len(kept.nodes)) as progress:

            def written() -> Iterator[Append]:
                for append in founding.appends():
                    yield append
                    progress.advance(append.count)

            stored = opened.found_room(founding.room, written(), founding.window)
    finally:
        opened.close()
    if kept.server_keys and identity.public_key not in kept.server_keys:
        remark(
            f"{room}: its clients know a server with another key than {opened.key_path} and will "
            "not trust this one; put the old server.key back before they come"
        )
    _print(stored, kept, as_json=json)


@final
class KeptRoom:
    """One room as several clients kept it."""

    def __init__(self, lineage: bytes) -> None:
        self.lineage = lineage
        self.nodes: list[Node] = []
        """Parents first."""
        self.server_keys: set[bytes] = set()
        self.left_out = 0
        """Nodes that no server ever acknowledged: their clients bring them."""
        self.lost_epoch: bytes | None = None
        self.lost_seq = 0


def read_kept(sources: Sequence[Path], room_id: str) -> KeptRoom:
    """Everything that was admitted of a room, from local stores. Raises `Failure`."""
    from roomlog.client.local_store import read_stored

    documents = [(source, read_stored(source)) for source in sources]
    first = documents[0][1]
    kept = KeptRoom(first.lineage)
    index: dict[bytes, Node] = {}
    admitted: set[bytes] = set()
    for source, document in documents:
        _check_source(source, document, room_id, first.lineage)
        kept.server_keys |= set(document.server_keys.values())
        pending = set(document.pending)
        admitted.update(node.id for node in document.nodes if node.id not in pending)
        for node in document.nodes:
            known = index.setdefault(node.id, node)
            # One client may have got without body or signature what another one has whole.
            known.body = node.body if known.body is None else known.body
            known.signature = node.signature if known.signature is None else known.signature
        for place in (document.cursor, document.checkpoint):
            if place is not None and place.seq >= kept.lost_seq:
                kept.lost_epoch, kept.lost_seq = place.epoch, place.seq
    kept.nodes = [node for node in index.values() if node.id in admitted]
    kept.left_out = len(index) - len(kept.nodes)
    return kept


def _check_source(source: Path, document: StoredDocument, room_id: str, lineage: bytes) -> None:
    if document.room_id != room_id:
        raise Failure(f"ROOM: {source} holds the room {document.room_id}, not {room_id}")
    if document.is_draft:
        raise Failure(f"--from: {source} is a draft that never met its room; there is nothing lost")
    if document.lineage != lineage:
        raise Failure(f"--from: {source} holds another room of the same name: another lineage")
    if document.snapshot is not None:
        raise Failure(
            f"--from: {source} has no history below seq {document.snapshot.seq}, only its outcome"
        )


def check_nodes(nodes: Sequence[Node]) -> None:
    """Everything that admission would check of each node. Raises `Failure` naming the first."""
    from roomlog.store.signature_check import NODES_WORTH_A_PROCESS, SignatureCheck

    bare = [node for node in nodes if node.body is None]
    unsigned = [node for node in nodes if node.signature is None]
    for what, found in (("body", bare), ("signature", unsigned)):
        if found:
            named = ", ".join(node.id.hex()[:16] for node in found[:4])
            raise Failure(
                f"--from: {counted(len(found), 'node')} came without {what} ({named}"
                f"{', ...' if len(found) > 4 else ''}); add the store of a client that has it"
            )
    graph = Graph()
    processes = min(len(nodes) // NODES_WORTH_A_PROCESS, MOST_PROCESSES, os.cpu_count() or 1)
    with SignatureCheck(processes) as signatures, steps("verifying", len(nodes)) as progress:
        for start in range(0, len(nodes), SIGNED_AT_ONCE):
            page = nodes[start : start + SIGNED_AT_ONCE]
            for node in page:
                _check(node, graph)
            signatures.add(
                [
                    (start + number, node.author, node.id, node.signature or b"")
                    for number, node in enumerate(page, 1)
                ]
            )
            progress.advance(len(page))
        invalid = signatures.finish()
    if invalid is not None:
        raise Failure(f"--from: node {invalid[1].hex()}: its signature is not its author's")


def _check(node: Node, graph: Graph) -> None:
    name = node.id.hex()
    try:
        check_node(node)
    except Reject as reject:
        raise Failure(f"--from: node {name}: {reject.message}") from None
    for parent in node.parents:
        lv = graph.index_of(parent)
        if lv < 0:
            raise Failure(f"--from: node {name}: its parent {parent.hex()} is not there")
        if node.clock <= graph.clock_of(lv):
            raise Failure(f"--from: node {name}: its clock is not after its parent's")
    graph.add(node.id, node.author, node.clock, node.parents)


@final
class _Founding:
    """What is written: the room, its log in appends, and the window for what is lacking."""

    room: NewRoom
    window: ReconcileWindow

    def __init__(self, room_id: str, kept: KeptRoom, identity: Identity) -> None:
        from roomlog.protocol.limits import DEFAULT_LIMITS
        from roomlog.store.interface import EPOCH_BYTES, NewRoom, ReconcileWindow

        self._nodes = kept.nodes
        self._submitter = identity.public_key
        self._now_ms = time.time_ns() // 1_000_000
        epoch = secrets.token_bytes(EPOCH_BYTES)
        self.room = NewRoom(room_id, kept.lineage, epoch, self._now_ms)
        self.window = ReconcileWindow(
            kept.lost_epoch or secrets.token_bytes(EPOCH_BYTES),
            epoch,
            epoch,
            len(kept.nodes),
            0,
            max(kept.lost_seq, len(kept.nodes)),
            self._now_ms,
            self._now_ms + DEFAULT_LIMITS.reconcile_window_ms,
        )

    def appends(self) -> Iterator[Append]:
        """The nodes in packs."""
        from roomlog.core.pack import encode_pack
        from roomlog.store.interface import Append

        for start in range(0, len(self._nodes), PACK_NODES):
            nodes = self._nodes[start : start + PACK_NODES]
            yield Append(
                self.room.room_id,
                self.room.epoch,
                start + 1,
                len(nodes),
                encode_pack(nodes),
                b"".join(node.id for node in nodes),
                self._submitter,
                self._now_ms,
                reinstated=True,
            )


def _print(stored: StoredRoom, kept: KeptRoom, *, as_json: bool) -> None:
    from roomlog.core.replica import Replica

    replica = Replica(stored.room_id, lineage=stored.lineage)
    replica.add_nodes(kept.nodes, verify=False)
    values: dict[str, object] = {
        "room": stored.room_id,
        "lineage": stored.lineage.hex(),
        "epoch": stored.epoch.hex(),
        "seq": stored.head_seq,
        "state_hash": str(replica.state_hash()),
    }
    if as_json:
        print_json({**values, "left_out": kept.left_out})
        return
    fields(values)
    if kept.left_out:
        remark(
            f"{counted(kept.left_out, 'node')} that no server had acknowledged left out: they come "
            "with their clients"
        )
