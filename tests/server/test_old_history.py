"""History read backwards, and old history without signatures."""

from __future__ import annotations

import asyncio

import pytest

from roomlog.core.pack import encode_pack
from roomlog.server.history import Page
from roomlog.server.old_pages import OldPages, Stretch
from roomlog.server.resend_window import ResendWindow, admitted_before
from roomlog.server.service import Service
from roomlog.store.interface import Append, NewRoom, NodeStore, StoredRoom
from roomlog.store.memory import MemoryStore
from tests.server.conftest import Join, Start
from tests.server.raw_client import RawClient
from tests.server.test_reading import seqs, write_history
from tests.server.test_signature_turns import chain

UNSIGNED = {"caps": {"unsigned_bulk": True}}


def signed_seqs(client: RawClient) -> list[int]:
    """Every seq that came with a signature."""
    return [
        pack["from_seq"] + index
        for pack in client.packs
        for index, node in enumerate(client.nodes_of(pack))
        if node.signature is not None
    ]


async def test_history_is_read_backwards_a_page_at_a_time(start: Start, enter: Join) -> None:
    service = await start()
    writer = await enter(service)
    nodes = await write_history(writer, 50, a_pack=7)
    reader = await enter(service)
    epoch = reader.welcome["epoch"]
    seen: list[bytes] = []
    seq = 48
    while seq > 1:
        reader.packs.clear()
        await reader.catch_up(before={"epoch": epoch, "seq": seq}, page=10)
        page = seqs(reader)
        assert page == list(range(max(1, seq - 10), seq))
        seen = [node.id for pack in reader.packs for node in reader.nodes_of(pack)] + seen
        seq = page[0]
    assert seen == [node.id for node in nodes[:47]]
    reader.packs.clear()
    await reader.catch_up(before={"epoch": epoch, "seq": 1})
    assert reader.packs == []
    # The reading position has not moved.
    await writer.push(writer.write())
    assert (await reader.receive_type("pack"))["from_seq"] == 51


@pytest.mark.parametrize("request_of", ["after", "before", "frontier"])
async def test_old_history_comes_unsigned_only_to_who_asks_for_it(
    start: Start, enter: Join, request_of: str
) -> None:
    service = await start(resend_window_ms=0)
    writer = await enter(service)
    nodes = await write_history(writer, 200)

    def request(client: RawClient) -> dict[str, object]:
        epoch = client.welcome["epoch"]
        return {
            "after": {"after": {"epoch": epoch, "seq": 0}},
            "before": {"before": {"epoch": epoch, "seq": 201}},
            "frontier": {"frontier": []},
        }[request_of]

    plain = await enter(service, hello=UNSIGNED)
    await plain.catch_up(**request(plain))
    assert signed_seqs(plain) == list(range(1, 201))
    bulk = await enter(service, hello=UNSIGNED)
    await bulk.catch_up(**request(bulk), signatures=False)
    assert seqs(bulk) == list(range(1, 201))
    assert signed_seqs(bulk) == []
    assert [n.id for pack in bulk.packs for n in bulk.nodes_of(pack)] == [n.id for n in nodes]
    sizes = [sum(len(pack["nodes"]) for pack in client.packs) for client in (plain, bulk)]
    # In columns: no more than a signature's length for everything of a node together.
    assert sizes[1] < 200 * 64 < sizes[0]


async def test_what_was_admitted_within_the_resend_window_is_always_signed(
    start: Start, enter: Join
) -> None:
    service = await start(resend_window_ms=1_000_000)
    writer = await enter(service)
    now = [service.hub.wall_ms()]
    room = service.hub.registry.rooms["room"]
    room._wall_ms = service.hub.wall_ms = lambda: now[0]  # type: ignore[method-assign]
    await push_many(writer, 100)
    now[0] += 900_000
    await push_many(writer, 100)
    for later, signed_from in ((0, 1), (100_001, 101), (900_000, 201)):
        now[0] += later
        reader = await enter(service, hello=UNSIGNED)
        after = {"epoch": reader.welcome["epoch"], "seq": 0}
        await reader.catch_up(after=after, signatures=False)
        assert seqs(reader) == list(range(1, 201))
        assert signed_seqs(reader) == list(range(signed_from, 201))


async def push_many(writer: RawClient, count: int) -> None:
    nodes = [writer.write() for _ in range(count)]
    await writer.push_and_wait(*nodes)


class Counting:
    """A store that counts what is asked of its admission records."""

    def __init__(self, store: NodeStore) -> None:
        self.store = store
        self.asked = 0

    def admissions(self, *arguments: object) -> object:
        self.asked += 1
        return self.store.admissions(*arguments)  # type: ignore[arg-type]


@pytest.mark.parametrize("before_ms", [-1, 0, 1, 9, 10, 55, 990, 991, 5_000])
@pytest.mark.parametrize("known", [0, 4, 30])
def test_the_border_of_the_window_is_found_by_few_looks(before_ms: int, known: int) -> None:
    store, stored, times = logged(100)
    expected = sum(time < before_ms for time in times)
    counting = Counting(store)
    found = admitted_before(counting, stored, min(known, expected), 300, before_ms)  # type: ignore[arg-type]
    assert found == expected
    assert counting.asked <= 10


def logged(records: int) -> tuple[MemoryStore, StoredRoom, list[int]]:
    """A log of packs of three, admitted ten milliseconds apart; the time of every node."""
    store = MemoryStore(bytes(16), 0)
    (stored,) = store.create_rooms([NewRoom("room", bytes(32), bytes(16), 0)])
    assert isinstance(stored, StoredRoom)
    nodes = chain(3 * records)
    for number in range(records):
        three = nodes[3 * number : 3 * number + 3]
        append = Append(
            "room",
            bytes(16),
            3 * number + 1,
            3,
            encode_pack(three),
            b"".join(node.id for node in three),
            bytes(32),
            10 * number,
        )
        assert store.commit([append])[0].is_committed
    return store, stored, [10 * (index // 3) for index in range(3 * records)]


async def test_the_window_moves_with_time_and_never_beyond_the_head(start: Start) -> None:
    service: Service = await start()
    reader = service.hub.store_reader
    store, stored, _ = logged(100)
    reader.store = store
    window = ResendWindow(100)

    async def through(now_ms: int, head: int = 300) -> int:
        return await window.old_through(reader, stored, head, now_ms)

    assert await through(100) == 0
    assert await through(350) == 75
    # Looked at a moment ago: it only lags.
    assert await through(399) == 75
    assert await through(450) == 105
    assert await through(10_000, head=10) == 10
    assert await ResendWindow(0).old_through(reader, stored, 300, 0) == 300


async def test_old_pages_are_read_from_the_store_once(start: Start, enter: Join) -> None:
    service = await start(resend_window_ms=0)
    writer = await enter(service)
    await push_many(writer, 300)
    store, asked = service.hub.store, 0
    read_log = store.read_log

    def counted(*arguments: object) -> object:
        nonlocal asked
        asked += 1
        return read_log(*arguments)  # type: ignore[arg-type]

    store.read_log = counted  # type: ignore[assignment, method-assign]
    seen: list[list[bytes]] = []
    for kind in ("after", "before"):
        for turn in range(3):
            asked = 0
            reader = await enter(service, hello=UNSIGNED)
            place = {"epoch": reader.welcome["epoch"], "seq": 0 if kind == "after" else 301}
            await reader.catch_up(**{kind: place}, signatures=False, page=100 if turn else 1_000)
            # Backwards or forwards, a stretch is a stretch.
            assert bool(asked) is (kind == "after" and turn < 2), (kind, turn)
            seen.append([pack["nodes"] for pack in reader.packs])
            if kind == "after":
                assert seqs(reader) == list(range(1, 301))
            # With signatures nothing of it is used.
            asked = 0
            await reader.catch_up(before={"epoch": reader.welcome["epoch"], "seq": 301})
            assert asked
            assert signed_seqs(reader)
    assert seen[1] == seen[2]
    assert seen[4] == seen[5]


async def test_joiners_that_read_at_once_share_what_is_made(start: Start, enter: Join) -> None:
    service = await start(resend_window_ms=0)
    writer = await enter(service)
    await push_many(writer, 300)
    store, asked = service.hub.store, 0
    read_log = store.read_log

    def counted(*arguments: object) -> object:
        nonlocal asked
        asked += 1
        return read_log(*arguments)  # type: ignore[arg-type]

    store.read_log = counted  # type: ignore[assignment, method-assign]
    readers = [await enter(service, hello=UNSIGNED) for _ in range(5)]
    after = {"epoch": readers[0].welcome["epoch"], "seq": 0}
    await asyncio.gather(
        *(reader.catch_up(after=after, signatures=False, page=100) for reader in readers)
    )
    assert asked == 3
    # New nodes do not make the pages of old ones worthless.
    await writer.push_and_wait(writer.write())
    late = await enter(service, hello=UNSIGNED)
    await late.catch_up(after=after, signatures=False, page=100)
    assert asked == 3
    for reader in (*readers, late):
        await reader.read_through(301)
        assert seqs(reader) == list(range(1, 302))


def test_kept_pages_are_bounded_and_the_longest_unused_go() -> None:
    pages = OldPages(most_bytes=100)

    def stretch(number: int) -> Stretch:
        return Stretch("room", bytes(16), number, 0, 1_000, 1_000)

    for number in range(4):
        pages.keep(stretch(number), [Page(number, number, bytes(25))])
    assert pages.find(stretch(0)) is not None
    pages.keep(stretch(4), [Page(4, 4, bytes(30))])
    assert [number for number in range(5) if pages.find(stretch(number))] == [0, 3, 4]
    pages.keep(stretch(4), [Page(4, 4, bytes(10))])
    assert pages.size_bytes == 60
    pages.keep(stretch(5), [Page(5, 5, bytes(200))])
    assert pages.size_bytes == 0
