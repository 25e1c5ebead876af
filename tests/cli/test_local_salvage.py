"""What a repair of a client's store keeps beside what stays in it."""

from __future__ import annotations

import sqlite3
from pathlib import Path

import pytest

from roomlog.client.local_store import LocalStore, read_stored
from roomlog.client.store_writes import HistoryPack, LogCut, OwnNodes, ReceivedPack, SnapshotKept
from roomlog.core.node import Node, NodeHasher
from roomlog.core.pack import decode_pack, encode_pack, read_pack_file
from roomlog.core.replica import Replica
from roomlog.core.snapshot.taking import take_snapshot
from roomlog.identity import Identity
from tests.cli.running import ran
from tests.cli.test_refound import BOB, LINEAGE, client_store, history

SERVER = Identity.from_seed(b"s" * 32)


def test_any_number_of_stranded_nodes_can_be_imported_again_with_their_signatures(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    nodes = list(history(4_200).nodes())
    path = client_store(tmp_path / "bob.db", [])
    store = LocalStore(path, "room", LINEAGE)
    # Old history comes without signatures.
    store.write([ReceivedPack(encode_pack(nodes[1:100], signatures=False))])
    store.write([ReceivedPack(encode_pack(nodes[at : at + 500])) for at in range(100, 4_200, 500)])
    store.close()
    mended = ran(capfd, "doctor", "--client", path, "--repair", "--json")
    assert mended.code == 0
    (saved,) = mended.json["repair"]["saved"]
    data = Path(saved).read_bytes()
    replica = Replica("room", None, LINEAGE)
    replica.add_nodes(nodes[:1])
    assert len(replica.import_pack(data, verify=False).accepted) == len(nodes) - 1
    _, packs = read_pack_file(data)
    here: list[Node] = []
    for pack in packs:
        here += decode_pack(pack, NodeHasher(LINEAGE))
    assert {node.id for node in here if node.signature} == {node.id for node in nodes[100:]}


def test_unsent_nodes_that_0_1_0_filed_as_history_are_kept(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    room = history(6)
    log = list(room.nodes())
    taken = take_snapshot(room, len(log))
    snapshot = SnapshotKept(
        seq=len(log),
        frontier_pack=taken.frontier_pack,
        state=taken.data,
        state_hash=taken.state_hash,
        digest=taken.digest,
        signature=taken.sign(SERVER),
        server_key=SERVER.public_key,
        history_seq=len(log),
    )
    unsent = [node for node in history(2, BOB, room).nodes() if node.id not in room]
    path = client_store(tmp_path / "bob.db", [])
    store = LocalStore(path, "room", LINEAGE)
    page = HistoryPack(encode_pack(log[2:]), 3, len(log))
    store.write([LogCut(b"E" * 16, 0, None), snapshot, page, OwnNodes(unsent)])
    store.close()
    with sqlite3.connect(path) as connection:
        connection.execute(
            "UPDATE node_pack SET position = position + 10 +"
            " (SELECT min(position) FROM node_pack) WHERE own_id IS NOT NULL"
        )
        connection.execute("INSERT INTO node_pack (pack) VALUES (x'00')")
    connection.close()
    assert ran(capfd, "doctor", "--client", path, "--repair").code == 0
    assert read_stored(path).pending == [node.id for node in unsent]
