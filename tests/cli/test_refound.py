"""`roomlog room refound` and `roomlog room snapshot`, on what real clients and servers left."""

from __future__ import annotations

import asyncio
import os
import shutil
from pathlib import Path

import pytest

import roomlog
from roomlog.client.local_store import LocalStore
from roomlog.client.store_writes import (
    CursorMoved,
    LineageAdopted,
    OwnNodes,
    ReceivedPack,
    ServerPinned,
    StoreWrite,
)
from roomlog.core.node import Node
from roomlog.core.pack import encode_pack
from roomlog.core.replica import Replica
from roomlog.core.snapshot.facts import check_snapshot
from roomlog.identity import Identity
from roomlog.protocol.messages import Cursor
from roomlog.store.sqlite import SqliteStore
from tests.cli.running import ran, serving
from tests.cli.stores import make_store

LINEAGE = b"l" * 32
EPOCH = b"e" * 16
SERVER = Identity.from_seed(b"s" * 32)
ADA, BOB = Identity.from_seed(b"a" * 32), Identity.from_seed(b"b" * 32)


def history(count: int, author: Identity = ADA, seen: Replica | None = None) -> Replica:
    """A room whose author wrote `count` nodes on top of what `seen` holds."""
    replica = Replica("room", author, lineage=LINEAGE)
    if seen is not None:
        replica.add_nodes(list(seen.nodes()))
    for number in range(count):
        replica.map("m")[f"{author.public_key[0]} {number}"] = number
        replica.commit(1_000)
    return replica


def client_store(
    path: Path,
    nodes: list[Node],
    *writes: StoreWrite,
    room_id: str = "room",
    lineage: bytes | None = LINEAGE,
    signatures: bool = True,
) -> Path:
    """A local store of a client that holds `nodes`."""
    store = LocalStore(path, room_id, b"d" * 32)
    if lineage is not None:
        store.write([LineageAdopted(lineage, [])])
    if nodes:
        cursor = Cursor(epoch=EPOCH, seq=len(nodes), id=nodes[-1].id)
        pack = encode_pack(nodes, signatures=signatures)
        store.write([ReceivedPack(pack, 1, len(nodes)), CursorMoved(cursor)])
    store.write([ServerPinned("ws://somewhere", SERVER.public_key), *writes])
    store.close()
    return path


def test_a_room_is_made_again_from_clients_of_which_each_has_a_part(
    capfd: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    common = history(5)
    of_ada, of_bob = history(3, ADA, common), history(300, BOB, common)
    first = client_store(tmp_path / "ada.db", list(of_ada.nodes()))
    second = client_store(tmp_path / "bob.db", list(of_bob.nodes()))
    store = tmp_path / "store"
    result = ran(
        capfd, "room", "refound", "room", "--store", store, "--from", first, "--from", second,
        "--json",
    )  # fmt: skip
    assert result.code == 0, result.err
    oracle = history(0, ADA, common)
    oracle.add_nodes([*of_ada.nodes(), *of_bob.nodes()])
    assert result.json["state_hash"] == str(oracle.state_hash())
    assert result.json["seq"] == len(oracle) == 308
    assert result.json["lineage"] == LINEAGE.hex()
    assert result.json["left_out"] == 0
    # Its clients know another key: whoever makes the store is told.
    assert "server.key" in result.err
    assert ran(capfd, "verify", "--store", store).code == 0
    opened = SqliteStore.open_read_only(store)
    (window,) = opened.reconcile_windows("room")
    room = opened.open_room("room")
    assert room is not None
    assert room.epoch == window.new_epoch != EPOCH
    assert (window.lost_epoch, window.head_seq, window.checkpoint_seq) == (EPOCH, 308, 308)
    assert all(record.reinstated for record in opened.admissions("room"))
    opened.close()
    again = ran(capfd, "room", "refound", "room", "--store", store, "--from", first)
    assert again.code == 1
    assert "already" in again.err


def test_with_the_old_key_put_back_nothing_is_remarked_and_pending_nodes_stay_with_their_client(
    capfd: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    admitted = history(4)
    pending = history(2, ADA, admitted)
    drafts = [node for node in pending.nodes() if node.id not in admitted]
    source = client_store(tmp_path / "ada.db", list(admitted.nodes()), OwnNodes(drafts))
    store = tmp_path / "store"
    store.mkdir()
    server_key = Identity.load_or_create(store / "server.key")
    pinned = ServerPinned("ws://here", server_key.public_key)
    local = LocalStore(source, "room", b"d" * 32)
    local.write([pinned])
    local.close()
    result = ran(capfd, "room", "refound", "room", "--store", store, "--from", source)
    assert result.code == 0, result.err
    assert "server.key" not in result.err
    assert "2 nodes" in result.err
    assert str(admitted.state_hash()) in result.out


@pytest.mark.parametrize(
    ("make", "says"),
    [
        (lambda path: client_store(path, list(history(3).nodes()), room_id="other"), "other"),
        (lambda path: client_store(path, [], lineage=None), "draft"),
        (lambda path: client_store(path, list(history(3).nodes()), signatures=False), "signature"),
        (lambda path: client_store(path, list(history(5).nodes())[2:]), "parent"),
    ],
    ids=["another room", "a draft", "unsigned", "without its beginning"],
)
def test_what_cannot_be_proven_makes_no_room(
    capfd: pytest.CaptureFixture[str], tmp_path: Path, make: object, says: str
) -> None:
    assert callable(make)
    source = make(tmp_path / "client.db")
    store = tmp_path / "store"
    result = ran(capfd, "room", "refound", "room", "--store", store, "--from", source)
    assert result.code == 1
    assert says in result.err
    assert not store.exists() or SqliteStore.open_read_only(store).rooms() == []


def test_a_forged_signature_is_named_and_another_client_can_lend_the_right_one(
    capfd: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    nodes = list(history(4).nodes())
    bad = nodes[2]
    forged = Node(
        bad.id, bad.author, bad.clock, bad.kind, bad.parents, bad.body_hash, bad.body, bytes(64)
    )
    source = client_store(tmp_path / "a.db", [*nodes[:2], forged, nodes[3]])
    result = ran(capfd, "room", "refound", "room", "--store", tmp_path / "s", "--from", source)
    assert result.code == 1
    assert bad.id.hex() in result.err
    bare = client_store(tmp_path / "b.db", nodes, signatures=False)
    whole = client_store(tmp_path / "c.db", nodes)
    result = ran(
        capfd, "room", "refound", "room", "--store", tmp_path / "s", "--from", bare, "--from", whole
    )  # fmt: skip
    assert result.code == 0, result.err


def test_clients_of_two_lineages_are_not_mixed(
    capfd: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    first = client_store(tmp_path / "a.db", list(history(2).nodes()))
    second = client_store(tmp_path / "b.db", [], lineage=b"m" * 32)
    result = ran(
        capfd, "room", "refound", "room", "--store", tmp_path / "s", "--from", first, "--from",
        second,
    )  # fmt: skip
    assert result.code == 1
    assert "lineage" in result.err


def test_t22_a_server_that_lost_its_disk_goes_on_with_what_its_clients_have(
    capfd: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    store = tmp_path / "store"

    async def write(url: str, name: str, identity: Identity, number: int) -> str:
        database = tmp_path / f"{name}.db"
        async with roomlog.connect(url, room="room", identity=identity, store=database) as doc:
            await doc.synced(30)
            for step in range(number):
                doc.map("m")[f"{name} {step}"] = step
            await doc.synced(30)
            return str(doc.state_hash())

    with serving(store) as (_, url):
        asyncio.run(write(url, "ada", ADA, 5))
        expected = asyncio.run(write(url, "bob", BOB, 5))
    (tmp_path / "kept").mkdir()
    shutil.copy(store / "server.key", tmp_path / "kept" / "server.key")
    shutil.rmtree(store)
    store.mkdir()
    shutil.copy(tmp_path / "kept" / "server.key", store / "server.key")
    result = ran(
        capfd, "room", "refound", "room", "--store", store, "--from", tmp_path / "bob.db", "--json"
    )  # fmt: skip
    assert result.code == 0, result.err
    assert result.err == ""
    assert result.json["state_hash"] == expected
    with serving(store) as (_, url):
        asyncio.run(write(url, "bob", BOB, 6))
        asyncio.run(write(url, "ada", ADA, 6))
        assert asyncio.run(write(url, "bob", BOB, 0)) == asyncio.run(write(url, "ada", ADA, 0))


def test_a_snapshot_can_be_taken_while_no_server_runs(
    capfd: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    store = tmp_path / "store"
    replica = make_store(store, "room")["room"]
    command = ["room", "snapshot", "room", "--store", store]
    refused = ran(capfd, *command)
    assert refused.code == 1
    assert "no place" in refused.err
    result = ran(capfd, *command, "--margin", "0", "--json")
    assert result.code == 0, result.err
    assert result.json["seq"] == len(replica)
    assert result.json["state_hash"] == str(replica.state_hash())
    opened = SqliteStore.open_read_only(store)
    (snapshot,) = opened.newest_snapshots("room")
    checked = check_snapshot(
        Identity.load(opened.key_path).public_key,
        replica.lineage,
        snapshot.seq,
        snapshot.frontier,
        snapshot.state_hash,
        snapshot.digest,
        snapshot.signature,
        opened.read_snapshot("room", snapshot.seq, 0),
    )
    assert Replica.from_snapshot("room", None, replica.lineage, checked).state() == replica.state()
    opened.close()
    assert ran(capfd, "room", "snapshot", "nowhere", "--store", store).code == 1
    assert ran(capfd, "room", "snapshot", "room", "--store", tmp_path / "none").code == 1
    assert not (tmp_path / "none").exists()
    assert os.listdir(store)
