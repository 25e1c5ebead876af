"""Every capability off on either side and on both: other ways, the same nodes in the end."""

from __future__ import annotations

import pytest

from roomlog.protocol.capabilities import CAPABILITIES, CapabilityKind, Offer, own_offer
from roomlog.protocol.client_events import (
    CaughtUp,
    CutFound,
    HistoryEnd,
    Opened,
    PeerCame,
    Received,
    WalkFound,
)
from roomlog.protocol.codec import Codec
from tests.protocol.naive_sync import NaiveClient, NaiveRoom, settle

FLAGS = [row.name for row in CAPABILITIES if row.kind is CapabilityKind.FLAG]
NAMES = [row.name for row in CAPABILITIES]
SIDES = ["client", "server", "both"]
ALL = "everything"
CASES = [("nothing", "both")] + [(name, side) for name in [*NAMES, ALL] for side in SIDES]


def offer_without(name: str, *, is_off: bool) -> Offer:
    offer = own_offer()
    if not is_off or name == "nothing":
        return offer
    return {} if name == ALL else {row: value for row, value in offer.items() if row != name}


def opened(client: NaiveClient) -> Opened:
    (event,) = [each for each in client.events if isinstance(each, Opened)]
    return event


@pytest.mark.parametrize("codec", list(Codec))
@pytest.mark.parametrize(("name", "side"), CASES)
def test_whatever_is_off_all_sides_end_with_the_same_nodes(
    name: str, side: str, codec: Codec
) -> None:
    room = NaiveRoom(offer_without(name, is_off=side in ("server", "both")))
    offer = offer_without(name, is_off=side in ("client", "both"))
    has = {flag: name not in (flag, ALL) for flag in FLAGS}
    writer = NaiveClient(room, b"w", offer=offer, codec=codec)
    writer.connect()
    settle(writer)
    writer.write(40, "a/text")
    writer.write(40, "b/text")
    settle(writer)
    room.snapshot_seq = 60

    # A newcomer.
    joiner = NaiveClient(
        room, b"j", offer=offer, codec=codec, wants_snapshot=True, wants_signatures=False
    )
    joiner.connect()
    settle(joiner, writer)
    assert opened(joiner).catch_up == ("snapshot" if has["snapshot_join"] else "cursor")
    assert any(isinstance(event, HistoryEnd) for event in joiner.events) is has["snapshot_join"]
    (first, *_) = [event for event in joiner.events if isinstance(event, Received)]
    assert first.is_signed is not has["unsigned_bulk"]
    assert any(isinstance(event, PeerCame) for event in joiner.events) is has["presence_ttl"]
    joiner.write(5)
    settle(joiner, writer)
    assert joiner.ids == writer.ids == {node.id for node in room.log}

    # One who wants some keys only.
    partial = NaiveClient(room, b"p", offer=offer, codec=codec, subscribe=("a/**",))
    partial.connect()
    settle(partial, joiner, writer)
    assert partial.link is not None
    assert partial.link.client.subscribed == (("a/**",) if has["header_only_nodes"] else ())
    assert partial.ids == joiner.ids
    bodies = {each.id: each.body for each in partial.nodes.values()}
    for node in room.log:
        is_wanted = node.operations()[0].key.startswith("a/")
        assert (bodies[node.id] is not None) is (is_wanted or not has["header_only_nodes"])

    # Somebody comes back from offline work.
    joiner.leave()
    joiner.write(7)
    writer.write(6)
    settle(writer)
    joiner.connect()
    settle(joiner, writer, partial)
    assert opened(joiner).catch_up == ("cursor" if has["cursor_resume"] else "walk")
    assert joiner.ids == writer.ids == partial.ids == {node.id for node in room.log}
    assert not joiner.pending

    # The server is restored from an older copy, and goes on with others before they are back.
    room.renew(55, writer.checkpoint)
    stranger = NaiveClient(room, b"x", offer=offer, codec=codec)
    stranger.connect()
    settle(stranger)
    stranger.write(9)
    settle(stranger)
    everybody = [writer, joiner, partial, stranger]
    for client in (joiner, writer, partial):
        client.connect()
        settle(*everybody)
        expected = "cut" if has["cursor_resume"] and has["log_cut"] else "walk"
        assert opened(client).catch_up == expected
        assert any(isinstance(each, CutFound) for each in client.events) is (expected == "cut")
        walks = expected == "walk" and has["log_cut"]
        assert any(isinstance(each, WalkFound) for each in client.events) is walks
        assert any(isinstance(each, CaughtUp) for each in client.events)
    for client in everybody:
        client.connect()
        settle(*everybody)
    ids = {node.id for node in room.log}
    assert len(ids) == 80 + 5 + 7 + 6 + 9
    for client in everybody:
        assert client.ids == ids
        assert not client.pending


@pytest.mark.parametrize("codec", list(Codec))
@pytest.mark.parametrize("catch_up", ["none", "cursor"])
def test_t31_a_handshake_and_catch_up_cost_the_same_bytes_however_long_the_log_is(
    codec: Codec, catch_up: str
) -> None:
    sizes: list[list[int]] = []
    for length in (150, 900):
        room = NaiveRoom()
        client = NaiveClient(room, b"c", codec=codec)
        client.connect()
        settle(client)
        client.write(length - 3)
        settle(client)
        client.leave()
        if catch_up == "cursor":
            other = NaiveClient(room, b"o", codec=codec)
            other.connect()
            settle(other)
            other.write(3)
            settle(other)
            other.leave()
        link = client.connect()
        settle(client)
        assert opened(client).catch_up == catch_up
        assert len(client.ids) == len(room.log)
        sizes.append(link.sizes)
    short, long = sizes
    assert len(short) == len(long)
    # Numbers are a byte longer at most; clocks in a pack are numbers, too.
    assert sum(long) - sum(short) <= 8


def test_the_same_node_at_the_same_place_of_two_logs_hides_nothing_below_it() -> None:
    room = NaiveRoom()
    clients = [NaiveClient(room, seed) for seed in (b"a", b"b", b"c", b"d")]
    ada, bob, cyd, dan = clients
    for client in (ada, bob, cyd):
        client.connect()
    settle(*clients)
    ada.write(50)
    settle(*clients)
    # Two at once, in the order Cyd, Ada.
    cyd.write(1)
    cyd.step()
    ada.write(1)
    settle(*clients)
    assert bob.cursor is not None
    assert bob.cursor.seq == 52
    bob_holds = set(bob.ids)
    for client in (ada, bob, cyd):
        client.leave()
    # The log loses both; Dan writes in place of Cyd, Ada brings hers back to the same seq.
    room.renew(50, None)
    dan.connect()
    settle(dan)
    dan.write(1)
    settle(dan)
    dan.leave()
    ada.connect()
    settle(ada)
    assert room.id_at(52) == bob.cursor.id
    assert room.id_at(51) not in bob_holds
    bob.connect()
    settle(bob)
    assert opened(bob).catch_up == "cut"
    assert CutFound(52) in bob.events
    assert {node.id for node in room.log} <= bob.ids
