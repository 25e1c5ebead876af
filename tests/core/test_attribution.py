from __future__ import annotations

import os
from itertools import pairwise
from random import Random

import pytest

from roomlog.core.attribution import AttributionRun, TextAttribution, attribute_text
from roomlog.core.errors import InvalidValueError, NotSubscribedError, RoomlogError
from roomlog.core.replica import Replica
from tests.core.snapshot.taken import partial_at
from tests.core.unique_text import KEY, ROOM_ID, UniqueWriters
from tests.oracle.naive_room import NaiveRoom
from tests.oracle.room_histories import UnsignedAuthor

HISTORIES = int(os.environ.get("ROOMLOG_HISTORIES", "1200")) // 10


def character_by_character(runs: list[AttributionRun]) -> list[tuple[bytes | None, bytes | None]]:
    """Author and node of each character; the runs must follow each other without a gap."""
    found: list[tuple[bytes | None, bytes | None]] = []
    for run in runs:
        assert run.start == len(found)
        assert run.length > 0
        found.extend([(run.author, run.node_id)] * run.length)
    for one, other in pairwise(runs):
        assert one[2:] != other[2:]
    return found


def naive_attribution(replica: Replica) -> list[tuple[bytes | None, bytes | None]]:
    room = NaiveRoom()
    for node in replica.nodes():
        room.add(node)
    if KEY not in room.texts:
        return []
    ids = {number: node_id for node_id, number in room._numbers.items()}
    text = room.texts[KEY]
    nodes = [ids[character.node] for character in text.visible(frozenset(text.histories))]
    return [(room.nodes[node_id].author, node_id) for node_id in nodes]


@pytest.mark.parametrize("block", range(4))
def test_attribution_is_that_of_the_naive_oracle_replayed_and_kept_up(block: int) -> None:
    for seed in range(block, HISTORIES, 4):
        random = Random(seed)
        writers = UniqueWriters(random)
        replica = writers.replicas[0]
        with TextAttribution(replica, KEY) as live:
            for _ in range(random.choice([2, 6])):
                if random.random() < 0.5:
                    writers.edit(replica)
                    writers.commit(replica)
                else:
                    writers.others_write(replica)
                if random.random() < 0.2:
                    writers.edit(replica)
                    live.runs()
                    replica.discard()
                expected = naive_attribution(replica)
                assert character_by_character(attribute_text(replica, KEY)) == expected
                if random.random() < 0.7:
                    assert character_by_character(live.runs()) == expected


def test_edits_that_are_not_committed_have_an_author_and_no_node() -> None:
    replica = Replica(ROOM_ID, UnsignedAuthor(1))
    author = replica.identity
    assert author is not None
    assert attribute_text(replica, KEY) == []
    replica.text(KEY).insert(0, "ab")
    (node_id,) = replica.commit(1_000)
    replica.text(KEY).insert(1, "x")
    key = author.public_key
    assert attribute_text(replica, KEY) == [
        AttributionRun(0, 1, key, node_id),
        AttributionRun(1, 1, key, None),
        AttributionRun(2, 1, key, node_id),
    ]


def test_the_text_of_a_snapshot_has_no_author() -> None:
    replica = Replica(ROOM_ID, UnsignedAuthor(1))
    for piece in ("head", "-", "tail"):
        replica.text(KEY).append(piece)
        replica.commit(1_000)
    partial = partial_at(list(replica.nodes()), len(replica), replica.identity)
    length = len(replica.text(KEY))
    assert attribute_text(partial, KEY) == [AttributionRun(0, length, None, None)]
    with TextAttribution(partial, KEY) as live:
        assert live.runs() == attribute_text(partial, KEY)
        partial.text(KEY).insert(1, "new")
        partial.text(KEY).delete(length, 3)
        (node_id,) = partial.commit(1_000)
        assert live.runs() == attribute_text(partial, KEY)
        assert [run.length for run in live.runs()] == [1, 3, length - 4]
        assert live.runs()[1].node_id == node_id


def test_an_attribution_that_was_closed_says_so_and_costs_nothing() -> None:
    replica = Replica(ROOM_ID)
    live = TextAttribution(replica, KEY)
    assert live.runs() == []
    live.close()
    live.close()
    assert replica.objects.text_followers is None
    with pytest.raises(RoomlogError, match="closed"):
        live.runs()


def test_keys_that_are_broken_or_not_held_are_refused() -> None:
    replica = Replica(ROOM_ID)
    replica.set_patterns(["held"])
    with pytest.raises(NotSubscribedError):
        attribute_text(replica, KEY)
    with pytest.raises(InvalidValueError):
        TextAttribution(replica, "/")


def test_two_that_follow_one_text_leave_one_by_one() -> None:
    replica = Replica(ROOM_ID, UnsignedAuthor(1))
    one, other = TextAttribution(replica, KEY), TextAttribution(replica, KEY)
    replica.text(KEY).insert(0, "abc")
    one.close()
    assert len(other.runs()) == 1
    replica.text(KEY).insert(0, "abc")
    assert other.runs()[0].length == 6
    other.close()
    assert replica.objects.texts[KEY].document.listeners is None
