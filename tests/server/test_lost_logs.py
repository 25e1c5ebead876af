"""Servers that lost a part of their log, and the clients that bring it back."""

from __future__ import annotations

import asyncio
import shutil
from pathlib import Path
from typing import Any

import pytest

from roomlog.core.node import Node
from roomlog.core.operation import MapSet
from roomlog.core.replica import Replica
from roomlog.core.signing import Purpose
from roomlog.identity import Identity
from roomlog.protocol.checkpoint import checkpoint_payload
from roomlog.server.service import Service
from roomlog.store.interface import StoredRoom
from roomlog.store.sqlite import SqliteStore
from roomlog.store.verification import verify_room
from tests.client.server_process import ServerProcess
from tests.server.conftest import Join, Start, eventually
from tests.server.log_keeper import LogKeeper
from tests.server.raw_client import RawClient
from tests.store.faults import Faults

FILES = ("roomlog.sqlite3", "roomlog.sqlite3-wal")


def copy_database(store: Path, to: Path) -> None:
    """What a careless backup does while the server runs."""
    to.mkdir()
    for name in FILES:
        if (store / name).exists():
            shutil.copy(store / name, to / name)


def put_back(copy: Path, store: Path) -> None:
    for name in (*FILES, "roomlog.sqlite3-shm"):
        (store / name).unlink(missing_ok=True)
        if (copy / name).exists():
            shutil.copy(copy / name, store / name)


def stored(path: Path) -> tuple[StoredRoom, list[Node], list[bool]]:
    """The room as the store has it: verified, its nodes in order, and which were reinstated."""
    from roomlog.core.node import NodeHasher
    from roomlog.core.pack import decode_pack

    store = SqliteStore.open_read_only(path)
    room = store.open_room("room")
    assert room is not None
    report = verify_room(store, room, on_signed=lambda _: None)
    assert report.nodes == room.head_seq
    nodes: list[Node] = []
    while len(nodes) < room.head_seq:
        for row in store.read_log("room", len(nodes), 1_000):
            nodes += decode_pack(row.pack, NodeHasher(room.lineage))
    reinstated: list[bool] = []
    for record in store.admissions("room"):
        reinstated += [record.reinstated] * (record.to_seq - record.from_seq + 1)
    store.close()
    return room, nodes, reinstated


def hash_of(lineage: bytes, *keepers: LogKeeper) -> str:
    """The oracle: everything that any of the clients knew, put together."""
    union = {node_id: node for keeper in keepers for node_id, node in keeper.nodes.items()}
    replica = Replica("room", lineage=lineage)
    replica.add_nodes(list(union.values()))
    assert len(replica) == len(union)
    return replica.state_hash().hex


def replay_hash(lineage: bytes, nodes: list[Node]) -> str:
    replica = Replica("room", lineage=lineage)
    assert not replica.add_nodes(nodes).rejected
    return replica.state_hash().hex


async def test_t22_a_server_put_back_to_an_older_copy_gets_everything_that_any_client_knew(
    tmp_path: Path,
) -> None:
    server = ServerProcess(tmp_path / "store")
    server.start()
    try:
        ada, bob, eve = (LogKeeper(server.url) for _ in range(3))
        at_ada, at_bob = await ada.enter(), await bob.enter()
        await ada.write(at_ada, 30)
        await bob.write(at_bob, 30)
        async with await eve.enter() as at_eve:
            await eve.read_all(at_eve)
            eve.keep_checkpoint(at_eve)
        # The copy is taken while they write.
        writing = asyncio.create_task(ada.write(at_ada, 40))
        await asyncio.to_thread(copy_database, tmp_path / "store", tmp_path / "copy")
        await writing
        # From here each knows a part: Bob reads nothing any more, Ada leaves before Bob is done.
        await bob.write(at_bob, 20)
        await ada.read_all(at_ada)
        await at_ada.close()
        async with await ada.enter() as again:
            ada.keep_checkpoint(again)
        await bob.write(at_bob, 25)
        await at_bob.close()
        known_to_ada = set(ada.nodes)
        assert set(bob.own) - known_to_ada
        assert known_to_ada - set(bob.nodes)
        server.kill()
        put_back(tmp_path / "copy", tmp_path / "store")
        server.start()

        # Eve's checkpoint is older than the copy: it proves nothing, and nothing is renewed.
        async with await eve.enter() as at_eve:
            old_epoch = at_eve.welcome["epoch"]
            assert at_eve.welcome["seq"] < len(set(ada.nodes) | set(bob.nodes))
            assert "missing" not in at_eve.welcome
            assert ada.checkpoint is not None
            assert ada.checkpoint["epoch"] == old_epoch
            # Ada's proves the loss: Eve's session of the old epoch ends.
            welcome = await ada.visit()
            assert welcome["epoch"] != old_epoch
            assert welcome["missing"] == {"epoch": old_epoch, "seq": 0}
            closed = await at_eve.closed()
            assert closed.code == 4001
        # Bob has no checkpoint, but is asked as well.
        welcome = await bob.visit()
        assert welcome["missing"] == {"epoch": old_epoch, "seq": 0}
        await eve.visit()
        assert not ada.refused
        assert not bob.refused
    finally:
        server.stop()
    room, nodes, reinstated = stored(tmp_path / "store")
    assert {node.id for node in nodes} == set(ada.nodes) | set(bob.nodes)
    assert (ada.acked | bob.acked) <= {node.id for node in nodes}
    assert replay_hash(room.lineage, nodes) == hash_of(room.lineage, ada, bob, eve)
    assert any(reinstated)
    assert not all(reinstated)


async def test_t22_a_copy_that_went_on_with_other_nodes_keeps_them_and_gets_the_lost_ones(
    start: Start, tmp_path: Path
) -> None:
    path = tmp_path / "store"
    service = await start(path=str(path))
    ada, new = LogKeeper(service.url), LogKeeper(service.url)
    async with await ada.enter() as at_ada:
        await ada.write(at_ada, 10)
        copy_database(path, tmp_path / "copy")
        await ada.write(at_ada, 10)
        await ada.read_all(at_ada)
    async with await ada.enter() as at_ada:
        ada.keep_checkpoint(at_ada)
    assert await service.stop()
    put_back(tmp_path / "copy", path)
    service = await start(path=str(path))
    ada.url = new.url = service.url
    async with await new.enter() as at_new:
        await new.read_all(at_new)
        await new.write(at_new, 15)
    # Under the same epoch seq 11 to 20 are other nodes now, and the log is even longer.
    welcome = await ada.visit()
    assert welcome["seq"] == 25
    assert welcome["missing"]["epoch"] == ada.checkpoint["epoch"]  # type: ignore[index]
    await new.visit()
    assert await service.stop()
    room, nodes, _ = stored(path)
    assert len(nodes) == 35
    assert replay_hash(room.lineage, nodes) == hash_of(room.lineage, ada, new)


async def lost_log(
    start: Start, tmp_path: Path, **keys: Any
) -> tuple[Service, LogKeeper, LogKeeper]:
    """A server that lost half of its log, and two clients that know all of it; one can prove it."""
    path = tmp_path / "store"
    service = await start(path=str(path))
    ada, bob = LogKeeper(service.url), LogKeeper(service.url)
    async with await ada.enter() as at_ada, await bob.enter() as at_bob:
        await ada.write(at_ada, 5)
        copy_database(path, tmp_path / "copy")
        await ada.write(at_ada, 5)
        await bob.read_all(at_bob)
        await bob.write(at_bob, 5)
        await ada.read_all(at_ada)
    async with await ada.enter() as at_ada:
        ada.keep_checkpoint(at_ada)
    assert await service.stop()
    put_back(tmp_path / "copy", path)
    service = await start(path=str(path), **keys)
    ada.url = bob.url = service.url
    return service, ada, bob


async def test_t63_one_proof_renews_once_however_often_and_by_whomever_it_is_shown(
    start: Start, tmp_path: Path
) -> None:
    service, ada, bob = await lost_log(start, tmp_path)
    bob.checkpoint = ada.checkpoint
    clients = await asyncio.gather(*(keeper.enter() for keeper in [ada, bob] * 5))
    epochs = {client.welcome["epoch"] for client in clients}
    assert len(epochs) == 1
    for client in clients:
        await client.close()
    async with await ada.enter() as again:
        assert {again.welcome["epoch"]} == epochs
        assert "missing" in again.welcome
    assert len(service.hub.store.reconcile_windows("room")) == 1
    assert service.metrics.lost_logs_total._value.get() == 1


def forgeries(checkpoint: dict[str, Any]) -> dict[str, dict[str, Any]]:
    other = Identity.generate()
    ghost = {**checkpoint, "seq": checkpoint["seq"] + 1, "frontier": [b"\xee" * 32]}
    payload = checkpoint_payload(
        lineage=ghost["lineage"],
        epoch=ghost["epoch"],
        seq=ghost["seq"],
        frontier=ghost["frontier"],
    )
    return {
        "signature of another": {**ghost, "signature": other.sign(Purpose.CHECKPOINT, payload)},
        "signature of another checkpoint": ghost,
        "other purpose": {**ghost, "signature": other.sign(Purpose.WELCOME, payload)},
        "zeros": {**ghost, "signature": bytes(64)},
        "other lineage": {**ghost, "lineage": b"l" * 32},
    }


async def test_t63_a_bare_claim_of_a_longer_log_changes_nothing(start: Start, enter: Join) -> None:
    service = await start()
    ada = LogKeeper(service.url)
    watcher = await enter(service)
    async with await ada.enter() as at_ada:
        await ada.write(at_ada, 5)
        await ada.read_all(at_ada)
    async with await ada.enter() as at_ada:
        ada.keep_checkpoint(at_ada)
        epoch = at_ada.welcome["epoch"]
    assert ada.checkpoint is not None
    claims = forgeries(ada.checkpoint)
    for claim in claims.values():
        ada.checkpoint = claim
        # A cursor far beyond the log, under the epoch and under none that ever was.
        for cursor_epoch in (epoch, b"\x77" * 16):
            ada.cursor = {"epoch": cursor_epoch, "seq": 1_000_000, "id": b"\xee" * 32}
            async with await ada.enter() as client:
                assert client.welcome["epoch"] == epoch
                assert client.welcome["seq"] == 5
                assert "missing" not in client.welcome
    # Nobody was sent away either.
    await watcher.send({"type": "ping"})
    await watcher.receive_type("pong")
    assert service.hub.store.reconcile_windows("room") == []


async def test_a_proof_of_what_is_there_changes_nothing(start: Start, enter: Join) -> None:
    service = await start()
    ada = LogKeeper(service.url)
    async with await ada.enter() as at_ada:
        await ada.write(at_ada, 5)
    async with await ada.enter() as at_ada:
        ada.keep_checkpoint(at_ada)
        await ada.write(at_ada, 5)
        epoch = at_ada.welcome["epoch"]
    welcome = await ada.visit()
    assert welcome["epoch"] == epoch
    assert "missing" not in welcome


async def test_outside_of_a_window_nodes_of_others_are_refused_as_ever(
    start: Start, tmp_path: Path
) -> None:
    # The window is over at once; the epoch is new all the same.
    service, ada, bob = await lost_log(start, tmp_path, reconcile_window_ms=1)
    old_epoch = ada.checkpoint["epoch"]  # type: ignore[index]
    async with await ada.enter() as client:
        there = await ada.read_all(client)
        lost_of_bob = [each for each in ada.nodes.values() if each.id in set(bob.own)]
        assert client.welcome["epoch"] != old_epoch
        await eventually(lambda: service.hub.registry.rooms["room"].missing_of(None) is None)
        assert not there & set(bob.own)
        ack = await client.push_and_wait(
            *[each for each in ada.nodes.values() if each.id in ada.own and each.id not in there]
        )
        assert not ack["rejected"]
        ack = await client.push_and_wait(*lost_of_bob)
        assert ack["rejected"][0]["class"] == "author_not_session"
    # Their author may always bring them.
    await bob.visit(shows=False)
    assert service.hub.registry.rooms["room"].head_seq == 15


async def test_in_a_window_every_other_check_holds(start: Start, tmp_path: Path) -> None:
    _, ada, bob = await lost_log(start, tmp_path)
    async with await ada.enter() as client:
        assert "missing" in client.welcome
        there = await ada.read_all(client)
        lost = [node for node in ada.nodes.values() if node.id not in there]
        first_of_bob = next(node for node in lost if node.id in set(bob.own))
        # Parents first: what stands on nodes that are not here yet comes again.
        ack = await client.push_and_wait(first_of_bob)
        assert ack["rejected"][0]["class"] == "parent_missing"
        forged = client.write(identity=bob.identity)
        forged = Node(
            forged.id,
            forged.author,
            forged.clock,
            forged.kind,
            forged.parents,
            forged.body_hash,
            forged.body,
            bytes(64),
        )
        ack = await client.push_and_wait(forged)
        assert ack["rejected"][0]["class"] in {"signature_invalid", "parent_missing"}
        future = client.write(MapSet("k", 1), identity=bob.identity, parents=[], clock=1 << 52)
        ack = await client.push_and_wait(future)
        assert ack["rejected"][0]["class"] == "clock_ahead"
        ack = await client.push_and_wait(*lost)
        assert not ack["rejected"]
        assert (ack["from_seq"], ack["to_seq"]) == (6, 15)


async def test_what_others_may_bring_back_is_bounded_by_what_was_lost(
    start: Start, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("roomlog.server.reconcile.UNSIGNED_TAIL_NODES", 0)
    service, ada, bob = await lost_log(start, tmp_path)
    checkpoint_seq = ada.checkpoint["seq"]  # type: ignore[index]
    async with await ada.enter() as client:
        there = await ada.read_all(client)
        await ada.bring_back(client, there)
        assert not ada.refused
        # Bob's five are back; so many more of him may come, and no others.
        room = service.hub.registry.rooms["room"]
        left = room.windows.most_of_others(ada.identity.public_key, service.hub.wall_ms())
        assert left == checkpoint_seq - 5
        nodes = [
            client.write(MapSet("k", number), identity=bob.identity) for number in range(left + 3)
        ]
        ack = await client.push_and_wait(*nodes)
        assert ack["to_seq"] - ack["from_seq"] + 1 == left
        assert [each["class"] for each in ack["rejected"]] == [
            "author_not_session",
            "ancestor_refused",
            "ancestor_refused",
        ]
    # Also for who comes after a restart.
    path = str(tmp_path / "store")
    assert await service.stop()
    service = await start(path=path)
    bob.url = service.url
    async with await bob.enter(shows=False) as client:
        assert "missing" in client.welcome
        room = service.hub.registry.rooms["room"]
        assert room.windows.most_of_others(ada.identity.public_key, service.hub.wall_ms()) == 0


@pytest.mark.parametrize("is_written", [False, True])
async def test_a_renewal_of_which_nobody_knows_whether_it_happened_is_read_from_the_store(
    start: Start, enter: Join, failing_store: SqliteStore, faults: Faults, is_written: bool
) -> None:
    service = await start(failing_store)
    ada = LogKeeper(service.url)
    async with await ada.enter() as at_ada:
        await ada.write(at_ada, 3)
        epoch = at_ada.welcome["epoch"]
    lineage = ada.lineage
    assert lineage is not None
    # A proof that this server signed over a node that it does not have.
    ghost = b"\xaa" * 32
    payload = checkpoint_payload(lineage=lineage, epoch=epoch, seq=9, frontier=[ghost])
    ada.checkpoint = {
        "lineage": lineage,
        "epoch": epoch,
        "seq": 9,
        "frontier": [ghost],
        "signature": service.hub._signer.sign(Purpose.CHECKPOINT, payload),
    }
    witness = await enter(service, hello={"lineage": lineage})
    faults.failing["COMMIT"] = 1
    faults.committing_first = is_written
    client = await dial_with(service, ada)
    refused = await client.greet(**ada.hello(shows=True))
    assert refused["class"] == "store_unavailable"
    await client.close()
    room = service.hub.registry.rooms["room"]
    await eventually(lambda: not room.is_ambiguous)
    assert (room.epoch != epoch) is is_written
    async with await ada.enter() as again:
        assert again.welcome["epoch"] != epoch
        assert again.welcome["missing"] == {"epoch": epoch, "seq": 0}
        await ada.write(again, 2)
    closed = await witness.closed()
    assert closed.code == 4001
    assert len(failing_store.reconcile_windows("room")) == 1
    assert [each.epoch == epoch for each in failing_store.admissions("room")] == [
        *[True] * 3,
        *[False] * 2,
    ]


async def dial_with(service: Service, keeper: LogKeeper) -> RawClient:
    from tests.server.raw_client import dial

    return await dial(service.url, identity=keeper.identity)


async def test_a_pack_under_way_during_a_renewal_is_durable_or_was_never_acknowledged(
    start: Start, tmp_path: Path
) -> None:
    service, ada, bob = await lost_log(start, tmp_path)
    bob.checkpoint = None
    at_bob = await bob.enter()
    there = await bob.read_all(at_bob)
    lost = [node for node in bob.nodes.values() if node.id not in there]
    own = [at_bob.write(parents=[], clock=number + 1) for number in range(200)]
    for node in own:
        await at_bob.push(node)
    renewed = asyncio.create_task(ada.enter())
    closed = await at_bob.closed()
    assert closed.code == 4001
    acked = [seq for ack in at_bob.acks for seq in range(ack["from_seq"], ack["to_seq"] + 1) if seq]
    async with await renewed as at_ada:
        ids = await ada.read_all(at_ada)
        acked_nodes = own[: len(acked)]
        assert {node.id for node in acked_nodes} <= ids
        assert len(ids & {node.id for node in own}) + len(there) == len(ids)
    assert lost
    records = list(service.hub.store.admissions("room"))
    (window,) = service.hub.store.reconcile_windows("room")
    assert all(
        record.epoch == (window.old_epoch if record.to_seq <= window.head_seq else window.new_epoch)
        for record in records
    )


async def test_two_losses_one_after_the_other_are_both_made_good(
    start: Start, tmp_path: Path
) -> None:
    service, ada, bob = await lost_log(start, tmp_path)
    path = tmp_path / "store"
    copy_database(path, tmp_path / "second")
    first = await ada.visit()
    await bob.visit()
    async with await bob.enter() as at_bob:
        bob.keep_checkpoint(at_bob)
        await bob.read_all(at_bob)
        await bob.write(at_bob, 5)
    async with await bob.enter() as at_bob:
        bob.keep_checkpoint(at_bob)
    assert await service.stop()
    # The second copy is from before the first loss was noticed.
    put_back(tmp_path / "second", path)
    service = await start(path=str(path))
    ada.url = bob.url = service.url
    async with await bob.enter() as at_bob:
        second = at_bob.welcome
        assert second["missing"] == {"epoch": first["epoch"], "seq": 0}
        # Ada still shows the first loss: this server knows nothing of it any more.
        ada.cursor = None
        third = await ada.visit()
        assert third["epoch"] not in {first["epoch"], second["epoch"]}
        assert third["missing"] == {"epoch": ada.checkpoint["epoch"], "seq": 0}  # type: ignore[index]
        assert (await at_bob.closed()).code == 4001
    fourth = await bob.visit()
    assert fourth["epoch"] == third["epoch"]
    assert fourth["missing"] == {"epoch": first["epoch"], "seq": 0}
    # What is back proves nothing any more.
    assert (await ada.visit())["epoch"] == third["epoch"]
    assert await service.stop()
    room, nodes, _ = stored(path)
    assert (ada.acked | bob.acked) <= {node.id for node in nodes}
    assert replay_hash(room.lineage, nodes) == hash_of(room.lineage, ada, bob)
