"""`roomlog replay`: one hash from every source, and any point of the past."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from roomlog.client.document import Document
from roomlog.client.local_store import LocalStore
from roomlog.client.status import HistoryState
from roomlog.core.operation import MapSet
from roomlog.core.replica import Replica
from roomlog.identity import Identity
from tests.cli.running import ran, serving
from tests.cli.stores import FIRST_ADMITTED_MS, TEXTS, make_store, nodes_of


@pytest.fixture
def store(tmp_path: Path) -> Path:
    return tmp_path / "store"


@pytest.fixture
def replica(store: Path) -> Replica:
    return make_store(store, "demo")["demo"]


def test_a_store_a_pack_file_and_a_server_give_the_same_hash(
    capfd: pytest.CaptureFixture[str], tmp_path: Path, store: Path, replica: Replica
) -> None:
    expected = str(replica.state_hash())
    pack_file = tmp_path / "room.rlpk"
    pack_file.write_bytes(replica.export())
    results = [
        ran(capfd, "replay", store, "--json").json,
        ran(capfd, "replay", pack_file, "--json").json,
    ]
    with serving(store) as (_, url):
        results.append(ran(capfd, "replay", url, "--room", "demo", "--json").json)
        results.append(ran(capfd, "replay", store, "--json").json)
    assert [each["state_hash"] for each in results] == [expected] * 4
    assert {each["lineage"] for each in results} == {replica.lineage.hex()}
    assert all(each["state"] == results[0]["state"] for each in results)


def test_a_clients_local_store_gives_the_same_hash(
    capfd: pytest.CaptureFixture[str], tmp_path: Path, store: Path, replica: Replica
) -> None:
    import asyncio

    import roomlog

    path = tmp_path / "client.db"

    async def follow(url: str) -> None:
        async with roomlog.connect(url, room="demo", identity=Identity.generate(), store=path) as d:
            await d.synced(30)

    with serving(store) as (_, url):
        asyncio.run(follow(url))
    result = ran(capfd, "replay", path, "--json").json
    assert result["state_hash"] == str(replica.state_hash())
    assert result["room"] == "demo"
    other = ran(capfd, "replay", path, "--room", "else")
    assert other.code == 1
    assert "demo" in other.err


def test_the_state_is_told_whole_as_json(
    capfd: pytest.CaptureFixture[str], store: Path, replica: Replica
) -> None:
    result = ran(capfd, "replay", store, "--json").json
    assert result["state"] == {
        "maps": {"users/ada": {"visits": 3, "key": {"$bytes": "AAE="}}},
        "blobs": {},
        "counters": {"votes": 8},
        "lists": {},
        "texts": {"notes": "hello, world"},
    }
    assert result["nodes"] == len(TEXTS)
    assert result["coverage"]["awaited"] == 0
    assert result["frontier"] == [node_id.hex() for node_id in replica.frontier]


@pytest.mark.parametrize("seq", [1, 2, 3, 4])
def test_at_a_seq_a_time_or_a_frontier_the_room_reads_as_it_did(
    capfd: pytest.CaptureFixture[str], store: Path, replica: Replica, seq: int
) -> None:
    node_id = nodes_of(replica)[seq - 1].id.hex()
    admitted_ms = FIRST_ADMITTED_MS + 1_000 * (seq - 1)
    points = [
        str(seq),
        f"seq:{seq}",
        str(admitted_ms),
        f"time:{admitted_ms + 999}",
        f"2023-11-14T22:13:{20 + seq - 1}Z",
        f"2023-11-14T22:13:{20 + seq - 1}.500",
        f"2023-11-14T23:13:{20 + seq - 1}+01:00",
        f"ids:{node_id}",
        node_id,
        f"ids:{node_id[:12]}",
    ]
    for point in points:
        assert ran(capfd, "replay", store, "--text", "notes", "--at", point).out == TEXTS[seq - 1]


def test_a_frontier_of_several_heads_holds_all_that_lies_before_any_of_them(
    capfd: pytest.CaptureFixture[str], tmp_path: Path, replica: Replica
) -> None:
    start = replica.frontier
    left, right = replica.branch(start), replica.branch(start)
    left.map("")["left"] = 1
    (left_id,) = left.commit(10_000)
    right.map("")["right"] = 2
    (right_id,) = right.commit(10_000)
    path = tmp_path / "room.rlpk"
    path.write_bytes(replica.export())
    for heads, expected in (
        ([left_id], {"left"}),
        ([right_id], {"right"}),
        ([left_id, right_id], {"left", "right"}),
    ):
        at = ",".join(head.hex() for head in heads)
        result = ran(capfd, "replay", path, "--at", at, "--json").json
        assert set(result["state"]["maps"]) - {"users/ada"} == expected
        assert result["state_hash"] == str(replica.at(heads).state_hash())


@pytest.mark.parametrize(
    ("point", "code", "part"),
    [
        ("seq:9", 1, "ends at seq 4"),
        ("seq:x", 2, "a seq is a number"),
        ("yesterday", 2, "no time like"),
        ("1999-01-01", 1, "admitted later"),
        ("ids:0000000000", 1, "no node's id begins"),
        ("ids:xyz", 2, "hexadecimal"),
        ("0000000000000000", 1, "no node's id begins"),
    ],
)
def test_a_point_that_cannot_be_says_why(
    capfd: pytest.CaptureFixture[str],
    store: Path,
    replica: Replica,
    point: str,
    code: int,
    part: str,
) -> None:
    result = ran(capfd, "replay", store, "--at", point)
    assert result.code == code
    assert part in result.err
    assert "--at" in result.err


def test_a_beginning_that_several_ids_share_lists_them(
    tmp_path: Path,
) -> None:
    from roomlog.cli.failure import Failure
    from roomlog.cli.history import History
    from roomlog.cli.point import nodes_at
    from roomlog.core.node import CHANGE, Node

    nodes = [
        Node(bytes([7, 7, end]) + bytes(29), b"a" * 32, end, CHANGE, (), bytes(32), None, None)
        for end in range(6)
    ]
    history = History("x", "r", bytes(32), nodes, is_log=False)
    with pytest.raises(Failure, match="6 ids begin with 0707: 070700"):
        nodes_at(history, "ids:0707")
    assert nodes_at(history, "ids:070704") == [nodes[4]]


def test_points_that_a_source_does_not_know_name_one_that_does(
    capfd: pytest.CaptureFixture[str], tmp_path: Path, replica: Replica
) -> None:
    path = tmp_path / "room.rlpk"
    path.write_bytes(replica.export())
    for point in ("2", "2030-01-01"):
        result = ran(capfd, "replay", path, "--at", point)
        assert result.code == 1
        assert "store directory" in result.err


def test_a_store_of_several_rooms_wants_one_named(
    capfd: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    make_store(tmp_path / "many", "alpha", "beta")
    result = ran(capfd, "replay", tmp_path / "many")
    assert result.code == 2
    assert "--room" in result.err
    assert "alpha, beta" in result.err
    assert ran(capfd, "replay", tmp_path / "many", "--room", "beta").code == 0
    unknown = ran(capfd, "replay", tmp_path / "many", "--room", "gamma")
    assert unknown.code == 1
    assert "gamma" in unknown.err


def test_a_text_that_is_not_there_names_those_that_are(
    capfd: pytest.CaptureFixture[str], store: Path, replica: Replica
) -> None:
    result = ran(capfd, "replay", store, "--text", "note")
    assert result.code == 1
    assert "notes" in result.err


def test_what_is_no_history_is_said_to_be_none(
    capfd: pytest.CaptureFixture[str], tmp_path: Path, store: Path, replica: Replica
) -> None:
    (tmp_path / "poem").write_text("roses")
    (tmp_path / "torn").write_bytes(b"RLPK\x01")
    assert "neither a pack file nor" in ran(capfd, "replay", tmp_path / "poem").err
    torn = ran(capfd, "replay", tmp_path / "torn")
    assert torn.code == 1
    assert torn.err.startswith("roomlog: ")
    inside = ran(capfd, "replay", store / "roomlog.sqlite3")
    assert inside.code == 2
    assert str(store) in inside.err


def test_a_pack_file_with_a_node_that_cannot_be_names_it(
    capfd: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    from roomlog.core.node import CHANGE, NodeHasher, make_node
    from roomlog.core.pack import encode_pack, write_pack_file

    hasher, author = NodeHasher(bytes(32)), Identity.generate()
    first = make_node(hasher, author, CHANGE, 5, [], [MapSet("a", 1)])
    early = make_node(hasher, author, CHANGE, 5, [first.id], [MapSet("a", 2)])
    path = tmp_path / "bad.rlpk"
    path.write_bytes(write_pack_file(bytes(32), [encode_pack([first, early])]))
    result = ran(capfd, "replay", path)
    assert result.code == 1
    assert early.id.hex() in result.err
    assert "clock_behind_parent" in result.err


def test_an_incomplete_history_gives_no_hash(
    capfd: pytest.CaptureFixture[str], tmp_path: Path, replica: Replica
) -> None:
    from roomlog.core.pack import encode_pack, write_pack_file

    path = tmp_path / "part.rlpk"
    path.write_bytes(write_pack_file(replica.lineage, [encode_pack(nodes_of(replica)[2:])]))
    result = ran(capfd, "replay", path)
    assert "incomplete" in result.out
    assert "awaited 2" in result.out


def test_a_local_store_in_use_can_be_replayed(
    capfd: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    store = LocalStore(tmp_path / "client.db", "demo", bytes(32))
    result = ran(capfd, "replay", tmp_path / "client.db")
    store.close()
    assert result.code == 0
    assert "nodes       0" in result.out


def test_of_local_stores_with_a_part_of_the_room_those_that_got_the_rest_are_replayed(
    capfd: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    import asyncio

    import roomlog

    def joined(url: str, name: str, **options: Any) -> Document:
        return roomlog.connect(
            url,
            room="demo",
            identity=Identity.generate(),
            store=tmp_path / f"{name}.db",
            **options,
        )

    async def write(url: str) -> str:
        async with joined(url, "writer") as writer:
            for number in range(60):
                writer.text("notes").append(f"{number} ")
                await writer.flush()
            writer.map("users")["ada"] = "here"
            await writer.synced(30)
            return str(writer.state_hash())

    async def join(url: str) -> None:
        async with joined(url, "recent", history="recent") as recent:
            await recent.synced(30)
            assert recent.status.history is HistoryState.RECENT
        async with joined(url, "complete") as complete:
            await complete.history(30)
            assert complete.status.catch_up == "snapshot"
        async with joined(url, "part", subscribe=["users/**"]) as part:
            await part.synced(30)
        async with joined(url, "widened", subscribe=["users/**"]) as widened:
            await widened.synced(30)
            await widened.subscribe([], 30)

    store = tmp_path / "store"
    with serving(store) as (process, url):
        expected = asyncio.run(write(url))
        process.end()
    assert ran(capfd, "room", "snapshot", "demo", "--store", store, "--margin", "10").code == 0
    with serving(store, "--snapshot-worth-nodes", "10") as (_, url):
        asyncio.run(join(url))
        assert ran(capfd, "replay", url, "--room", "demo", "--json").json["state_hash"] == expected
    for source in ("store", "writer.db", "complete.db", "widened.db"):
        assert ran(capfd, "replay", tmp_path / source, "--json").json["state_hash"] == expected
    recent = ran(capfd, "replay", tmp_path / "recent.db")
    assert recent.code == 1
    assert "no history below seq" in recent.err
    part = ran(capfd, "replay", tmp_path / "part.db")
    assert part.code == 1
    assert "users/**" in part.err


def test_a_server_without_the_room_is_a_failure(
    capfd: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    with serving(tmp_path / "store") as (_, url):
        result = ran(capfd, "replay", url, "--room", "nowhere")
    assert result.code == 1
    assert "nowhere" in result.err or "room" in result.err
