"""`roomlog doctor` as an operator runs it, beside real servers and real clients."""

from __future__ import annotations

import asyncio
import sqlite3
from pathlib import Path

import pytest

import roomlog
from roomlog.cli.doctor import picture_of
from roomlog.client.local_store import LocalStore, read_stored
from roomlog.core.replica import Replica
from roomlog.identity import Identity
from roomlog.store.doctor.mending import Stretch
from tests.cli.running import ran, serving
from tests.cli.stores import make_store
from tests.cli.test_refound import ADA, BOB, client_store, history
from tests.store.doctor.rich_store import DATABASE, fingerprint, make_rich_store

TIMEOUT_S = 20.0


def sql(path: Path, *statements: str) -> None:
    connection = sqlite3.connect(path)
    connection.execute("PRAGMA ignore_check_constraints = ON")
    for statement in statements:
        connection.execute(statement)
    connection.commit()
    connection.close()


def test_a_healthy_store_is_called_so_and_stays_as_it_is(
    capfd: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    store = tmp_path / "store"
    make_store(store, "a", "b")
    before = fingerprint(tmp_path)
    looked = ran(capfd, "doctor", "--store", store)
    assert (looked.code, looked.out) == (
        0,
        "healthy: 8 nodes in 2 rooms, everything is what was written\n",
    )
    mended = ran(capfd, "doctor", "--store", store, "--repair")
    assert (mended.code, "nothing was touched" in mended.out) == (0, True)
    values = ran(capfd, "doctor", "--store", store, "--json")
    assert values.code == 0
    assert values.json["healthy"] is True
    assert values.json["in_use"] is False
    assert values.json["rooms"][0] == {
        "room": "a",
        "head_seq": 4,
        "stretches": [{"first": 1, "last": 4, "fate": "kept"}],
    }
    assert fingerprint(tmp_path) == before


def test_damage_is_explained_drawn_and_mended(
    capfd: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    store = tmp_path / "store"
    make_rich_store(store)
    sql(store / DATABASE, "DELETE FROM log WHERE room = 2 AND from_seq > 1 AND from_seq < 10")
    assert ran(capfd, "verify", "--store", store).code == 1
    looked = ran(capfd, "doctor", "--store", store)
    assert looked.code == 1
    assert "damage: log_gap room ada" in looked.out
    assert "Lost: " in looked.out
    assert "·" in looked.out
    values = ran(capfd, "doctor", "--store", store, "--json")
    assert values.code == 1
    (finding,) = (each for each in values.json["findings"] if each["code"] == "log_gap")
    assert (finding["room"], finding["severity"]) == ("ada", "damage")
    assert finding["is_repairable"] is True
    backup = tmp_path / "copy"
    mended = ran(capfd, "doctor", "--store", store, "--repair", "--backup", backup, "--json")
    assert mended.code == 0, mended.err
    assert mended.json["repair"]["backup"] == str(backup)
    assert mended.json["repair"]["found"] == values.json["findings"]
    assert mended.json["findings"] == []
    assert ran(capfd, "verify", "--store", store).code == 0
    assert ran(capfd, "doctor", "--store", backup).code == 1
    # The copy can be mended in its turn; where its own copy goes is said by default.
    again = ran(capfd, "doctor", "--store", backup, "--repair")
    assert again.code == 0
    assert "copied the store to" in again.out
    assert [each for each in tmp_path.iterdir() if each.name.startswith("copy.before-repair-")]


def test_what_cannot_be_looked_at_is_another_exit_than_damage(
    capfd: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    for arguments in (
        ("--store", tmp_path / "none"),
        ("--store", tmp_path, "--repair"),
        ("--client", tmp_path / "none.db"),
        (),
        ("--store", tmp_path, "--client", tmp_path / "none.db"),
        ("--store", tmp_path, "--backup", tmp_path / "copy"),
    ):
        assert ran(capfd, "doctor", *arguments).code == 2
    (tmp_path / "hopeless").mkdir()
    (tmp_path / "hopeless" / DATABASE).write_bytes(bytes(8_192))
    looked = ran(capfd, "doctor", "--store", tmp_path / "hopeless")
    assert (looked.code, "Everything" in looked.out) == (1, True)
    mended = ran(capfd, "doctor", "--store", tmp_path / "hopeless", "--repair")
    assert (mended.code, "nothing was touched" in mended.out) == (1, True)


def test_beside_a_server_it_looks_and_will_not_repair(
    capfd: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    store = tmp_path / "store"
    make_store(store, "room")
    with serving(store) as (server, _):
        looked = ran(capfd, "doctor", "--store", store)
        assert (looked.code, looked.out[:7]) == (0, "healthy")
        assert f"process {server.process.pid} has the store open" in looked.err
        sql(store / DATABASE, "UPDATE admission SET admitted_ms = 1")
        assert ran(capfd, "doctor", "--store", store).code == 1
        refused = ran(capfd, "doctor", "--store", store, "--repair")
        assert (refused.code, "stop that one first" in refused.err) == (1, True)
        assert server.end() == 0
    assert ran(capfd, "doctor", "--store", store, "--repair").code == 0


def test_a_picture_shows_the_worst_of_each_cell() -> None:
    stretches = [
        Stretch(1, 50, "kept"),
        Stretch(51, 51, "lost"),
        Stretch(52, 75, "moved"),
        Stretch(76, 96, "aside"),
    ]
    drawn = picture_of(96, stretches)
    assert len(drawn) == 48
    assert drawn == "█" * 25 + "·" + "▓" * 11 + "▒" * 11
    assert picture_of(3, [Stretch(1, 3, "kept")]) == "███"
    assert picture_of(0, []) == "█"


async def test_t22_what_a_repaired_server_lost_comes_back_from_a_client_by_itself(
    capfd: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    store, ada_db, bob_db = tmp_path / "store", tmp_path / "ada.db", tmp_path / "bob.db"

    async def visit(url: str, path: Path, identity: Identity, writes: int) -> dict[str, object]:
        async with roomlog.connect(url, room="room", identity=identity, store=path) as document:
            await document.synced(TIMEOUT_S)
            for number in range(writes):
                key = f"{identity.public_key[0]} {len(document.map('m'))} {number}"
                document.map("m")[key] = "x" * 200
                await document.flush()
            await document.synced(TIMEOUT_S)
            return dict(document.map("m"))

    with serving(store) as (server, url):
        await visit(url, ada_db, ADA, 30)
        await visit(url, bob_db, BOB, 30)
        everything = await visit(url, ada_db, ADA, 5)
        assert len(everything) == 65
        assert await asyncio.to_thread(server.end) == 0
    port = url.rsplit(":", 1)[1]
    # Packs in the middle, whose nodes are of both.
    sql(store / DATABASE, "DELETE FROM log WHERE from_seq BETWEEN 20 AND 45")
    mended = ran(capfd, "doctor", "--store", store, "--repair")
    assert mended.code == 0, mended.out + mended.err
    assert ran(capfd, "verify", "--store", store).code == 0
    with serving(store, "--bind", f"127.0.0.1:{port}") as (server, url):
        # Bob was not there for all of it; Ada is the one who brings everything.
        assert await visit(url, ada_db, ADA, 0) == everything
        newcomer = tmp_path / "new.db"
        for _ in range(40):
            found = await visit(url, newcomer, Identity.from_seed(b"n" * 32), 0)
            if found == everything:
                break
        assert found == everything
        assert await visit(url, bob_db, BOB, 1) != everything
        assert await asyncio.to_thread(server.end) == 0
    assert ran(capfd, "verify", "--store", store).code == 0
    assert ran(capfd, "doctor", "--store", store).code == 0


def test_a_local_store_keeps_what_was_not_sent(
    capfd: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    from roomlog.client.store_writes import OwnNodes

    common = history(60)
    later = history(4, BOB, common)
    unsent = [node for node in later.nodes() if node.id not in common]
    path = client_store(tmp_path / "bob.db", list(common.nodes()), OwnNodes(unsent))
    before = fingerprint(tmp_path)
    assert ran(capfd, "doctor", "--client", path).code == 0
    assert ran(capfd, "doctor", "--client", path, "--repair").code == 0
    assert fingerprint(tmp_path) == before
    # The index of what is pending is derived, and damaged.
    sql(path, "UPDATE node_pack SET to_seq = 900 WHERE own_id IS NULL")
    looked = ran(capfd, "doctor", "--client", path)
    assert looked.code == 1
    assert "4 of them unsent" in looked.out
    mended = ran(capfd, "doctor", "--client", path, "--repair", "--json")
    assert mended.code == 0, mended.err
    document = read_stored(path)
    assert document.pending == [node.id for node in unsent]
    assert {node.id for node in document.nodes} == {node.id for node in later.nodes()}
    assert document.cursor is None
    assert not document.is_draft
    assert document.server_keys


def test_unsent_nodes_whose_history_is_gone_are_kept_in_a_pack_file(
    capfd: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    from roomlog.client.store_writes import OwnNodes

    common = history(60)
    later = history(4, BOB, common)
    unsent = [node for node in later.nodes() if node.id not in common]
    path = client_store(tmp_path / "bob.db", list(common.nodes()), OwnNodes(unsent))
    sql(path, "UPDATE node_pack SET pack = zeroblob(900) WHERE own_id IS NULL")
    looked = ran(capfd, "doctor", "--client", path)
    assert (looked.code, "4 of them unsent" in looked.out) == (1, True)
    mended = ran(capfd, "doctor", "--client", path, "--repair", "--json")
    assert mended.code == 0, mended.err
    (saved,) = mended.json["repair"]["saved"]
    replica = Replica("room", lineage=common.lineage)
    replica.add_nodes(list(common.nodes()))
    replica.import_pack(Path(saved).read_bytes())
    assert replica.state_hash() == later.state_hash()
    assert read_stored(path).nodes == []


def test_a_local_store_that_an_application_has_open_is_looked_at_and_not_repaired(
    capfd: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    path = client_store(tmp_path / "bob.db", list(history(40).nodes()))
    opened = LocalStore(path, "room", b"d" * 32)
    try:
        assert ran(capfd, "doctor", "--client", path).code == 0
        sql(path, "UPDATE node_pack SET pack = zeroblob(900)")
        assert ran(capfd, "doctor", "--client", path).code == 1
        refused = ran(capfd, "doctor", "--client", path, "--repair")
        assert (refused.code, "close it first" in refused.err) == (1, True)
    finally:
        opened.close()
    assert ran(capfd, "doctor", "--client", path, "--repair").code == 0
