"""The small parts: frames, pages, metrics, logs, manifest."""

from __future__ import annotations

import io
import itertools
import json
import os
from typing import Any

import msgspec
import pytest

from roomlog.core.node import CHANGE, Node, NodeHasher, make_node
from roomlog.core.operation import MapSet
from roomlog.core.pack import Layout, decode_pack, encode_pack
from roomlog.identity import Identity
from roomlog.protocol.messages import CLIENT_MESSAGES, SERVER_MESSAGES, Hello
from roomlog.server import metrics
from roomlog.server.history import Page, join_pages, load_graph, read_pages, read_ranges
from roomlog.server.logging import make_log
from roomlog.server.manifest import build_manifest, message_shape, type_name
from roomlog.server.websocket_frame import BINARY, TEXT, server_frame
from roomlog.store.errors import StoreCorrupt
from roomlog.store.interface import Append, NewRoom, StoredRoom
from roomlog.store.memory import MemoryStore

AUTHOR = Identity.from_seed(b"a" * 32)
LINEAGE = b"l" * 32
HASHER = NodeHasher(LINEAGE)


# frames


@pytest.mark.parametrize(
    ("size", "head"),
    [
        (0, b"\x82\x00"),
        (125, b"\x82\x7d"),
        (126, b"\x82\x7e\x00\x7e"),
        (65_535, b"\x82\x7e\xff\xff"),
        (65_536, b"\x82\x7f\x00\x00\x00\x00\x00\x01\x00\x00"),
    ],
)
def test_a_frame_has_the_shortest_length_and_no_mask(size: int, head: bytes) -> None:
    assert server_frame(BINARY, b"x" * size) == head + b"x" * size
    assert server_frame(TEXT, b"")[0] == 0x81


# pages


def chain(count: int, value: Any = "v") -> list[Node]:
    nodes: list[Node] = []
    for clock in range(1, count + 1):
        parents = [nodes[-1].id] if nodes else []
        nodes.append(make_node(HASHER, AUTHOR, CHANGE, clock, parents, [MapSet("k", value)]))
    return nodes


def stored(nodes: list[Node], sizes: list[int], layout: Layout = Layout.ROWS) -> Any:
    """A store with the nodes in rows of these sizes."""
    store = MemoryStore(os.urandom(16), 1)
    (room,) = store.create_rooms([NewRoom("room", LINEAGE, b"e" * 16, 1)])
    assert isinstance(room, StoredRoom)
    start = 0
    for size in sizes:
        part = nodes[start : start + size]
        (outcome,) = store.commit(
            [
                Append(
                    "room",
                    room.epoch,
                    start + 1,
                    size,
                    encode_pack(part, layout=layout),
                    b"".join(node.id for node in part),
                    AUTHOR.public_key,
                    1,
                )
            ]
        )
        assert outcome.is_committed, outcome.reason
        start += size
    found = store.open_room("room")
    assert found is not None
    return store, found


def nodes_of(pages: list[Page]) -> list[Node]:
    """The nodes of pages that fit together without gaps."""
    nodes: list[Node] = []
    for page in pages:
        part = decode_pack(page.nodes, HASHER)
        assert len(part) == page.to_seq - page.from_seq + 1
        nodes += part
    for before, after in itertools.pairwise(pages):
        assert after.from_seq == before.to_seq + 1
    return nodes


@pytest.mark.parametrize("layout", list(Layout))
def test_pages_are_cut_to_the_stretch_that_was_asked_for(layout: Layout) -> None:
    nodes = chain(30)
    store, room = stored(nodes, [7, 1, 1, 11, 10], layout)
    for after in (0, 3, 7, 8, 19, 29):
        for through in (after + 1, 15, 30):
            if through <= after:
                continue
            pages = read_pages(store, room, after, through, max_nodes=100, max_bytes=1 << 20)
            assert nodes_of(pages) == nodes[after:through]
    assert read_pages(store, room, 30, 30, max_nodes=9, max_bytes=9) == []


@pytest.mark.parametrize("layout", list(Layout))
def test_pages_keep_to_the_limits_of_nodes_and_bytes(layout: Layout) -> None:
    nodes = chain(40, "x" * 100)
    store, room = stored(nodes, [40], layout)
    pages = read_pages(store, room, 0, 40, max_nodes=6, max_bytes=1 << 20)
    assert nodes_of(pages) == nodes
    assert all(page.to_seq - page.from_seq < 6 for page in pages)
    pages = read_pages(store, room, 0, 40, max_nodes=100, max_bytes=700)
    assert nodes_of(pages) == nodes
    assert all(len(page.nodes) <= 700 for page in pages)


def test_a_single_node_larger_than_a_page_comes_by_itself() -> None:
    nodes = chain(3, "x" * 5_000)
    store, room = stored(nodes, [3])
    pages = read_pages(store, room, 0, 3, max_nodes=100, max_bytes=1_000)
    assert [page.to_seq for page in pages] == [1, 2, 3]
    assert nodes_of(pages) == nodes


def test_rows_are_joined_and_columns_stay_by_themselves() -> None:
    nodes = chain(60)
    rows = [Page(n + 1, n + 1, encode_pack([nodes[n]])) for n in range(10)]
    columns = Page(11, 50, encode_pack(nodes[10:50], layout=Layout.COLUMNS))
    more = [Page(n + 1, n + 1, encode_pack([nodes[n]])) for n in range(50, 60)]
    joined = join_pages([*rows, columns, *more], HASHER, max_nodes=100, max_bytes=1 << 20)
    assert [(page.from_seq, page.to_seq) for page in joined] == [(1, 10), (11, 50), (51, 60)]
    assert nodes_of(joined) == nodes
    assert join_pages([], HASHER, max_nodes=1, max_bytes=1) == []


def test_ranges_are_read_in_turns() -> None:
    nodes = chain(30)
    store, room = stored(nodes, [5] * 6)
    left = [(2, 3), (7, 7), (9, 22), (30, 30)]
    seqs: list[int] = []
    turns = 0
    while left:
        pages, left = read_ranges(store, room, left, max_nodes=4, max_bytes=1 << 20)
        assert pages
        for page in pages:
            part = decode_pack(page.nodes, HASHER)
            assert part == nodes[page.from_seq - 1 : page.to_seq]
            seqs += range(page.from_seq, page.to_seq + 1)
        turns += 1
    assert seqs == [2, 3, 7, *range(9, 23), 30]
    assert turns > 3


def test_a_range_beyond_the_log_is_a_damaged_store() -> None:
    store, room = stored(chain(3), [3])
    with pytest.raises(StoreCorrupt):
        read_ranges(store, room, [(4, 5)], max_nodes=10, max_bytes=1_000)


def test_a_graph_is_loaded_from_headers_alone() -> None:
    nodes = chain(50)
    store, room = stored(nodes, [1] * 20 + [30], Layout.COLUMNS)
    graph = load_graph(store, room)
    assert [graph.id_of(lv) for lv in range(50)] == [node.id for node in nodes]


def test_t21_a_log_that_is_not_what_it_says_is_damage_and_no_empty_room() -> None:
    nodes = chain(5)
    store, room = stored(nodes, [2, 3])
    longer = msgspec.structs.replace(room, head_seq=6)
    with pytest.raises(StoreCorrupt, match="5 of 6"):
        load_graph(store, longer)
    gap, gap_room = stored(nodes[2:], [3])
    with pytest.raises(StoreCorrupt, match="cannot be read"):
        load_graph(gap, gap_room)
    twice, twice_room = stored([nodes[0], nodes[1], nodes[1]], [2, 1])
    with pytest.raises(StoreCorrupt, match="twice"):
        load_graph(twice, twice_room)


# metrics


def test_the_metrics_table_is_what_is_made() -> None:
    made = metrics.Metrics()
    names = [row.name for row in metrics.METRICS]
    assert len(names) == len(set(names))
    for row in metrics.METRICS:
        assert hasattr(made, row.name)
        assert (row.kind == "histogram") == bool(row.buckets)
        assert row.kind == "counter" or not row.name.endswith("_total")


def test_t39_two_servers_in_one_process_count_apart() -> None:
    first, second = metrics.Metrics(), metrics.Metrics()
    first.nodes_admitted_total.inc(5)
    assert b"roomlog_nodes_admitted_total 5.0" in first.exposition()
    assert b"roomlog_nodes_admitted_total 0.0" in second.exposition()


# logs


def test_json_logs_are_one_object_a_line_with_the_traceback_of_faults() -> None:
    stream = io.StringIO()
    log = make_log("json", "info", stream)
    log.debug("too small")
    log.info("something", count=3)
    try:
        raise RuntimeError("a bug")
    except RuntimeError as error:
        log.error("internal fault", incident="abc", exc_info=error)
    first, second = [json.loads(line) for line in stream.getvalue().splitlines()]
    assert (first["event"], first["count"], first["level"]) == ("something", 3, "info")
    assert second["incident"] == "abc"
    assert second["exception"][0]["exc_type"] == "RuntimeError"


@pytest.mark.parametrize("log_format", ["json", "console"])
def test_tracebacks_show_no_local_variables(log_format: str) -> None:
    stream = io.StringIO()

    def fail(secret: str) -> None:
        raise RuntimeError("a bug")

    try:
        fail("what a user " + "wrote")
    except RuntimeError as error:
        make_log(log_format, "info", stream).error("internal fault", exc_info=error)
    assert "a bug" in stream.getvalue()
    assert "what a user wrote" not in stream.getvalue()


def test_automatic_logs_are_json_unless_on_a_terminal() -> None:
    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    plain, terminal, console = io.StringIO(), Terminal(), io.StringIO()
    make_log("auto", "info", plain).info("hello", port=1)
    make_log("auto", "info", terminal).info("hello", port=1)
    make_log("console", "info", console).info("hello", port=1)
    assert json.loads(plain.getvalue())["event"] == "hello"
    assert "hello" in terminal.getvalue()
    with pytest.raises(json.JSONDecodeError):
        json.loads(terminal.getvalue())
    assert "port=1" in console.getvalue()


# the manifest


def test_the_manifest_is_plain_json_and_names_every_message_and_field() -> None:
    manifest = json.loads(json.dumps(build_manifest()))
    assert manifest["protocols"] == [1]
    shown = manifest["messages"]
    assert len(shown["client"]) == len(CLIENT_MESSAGES)
    assert len(shown["server"]) == len(SERVER_MESSAGES)
    hello = shown["client"]["hello"]
    assert set(hello) == {each.encode_name for each in msgspec.structs.fields(Hello)}
    assert hello["nonce"] == {"type": "bytes of 32", "required": True}
    assert hello["ref"] == {"type": "text 1..64 or null", "required": False}
    assert "class" in shown["server"]["error"]
    assert shown["client"]["request"]["frontier"]["type"].startswith("list of bytes of 32")


def test_a_type_without_a_name_is_a_mistake_of_ours() -> None:
    with pytest.raises(TypeError):
        type_name(msgspec.inspect.type_info(float))
    assert message_shape(Hello)["frontier"]["required"] is False
