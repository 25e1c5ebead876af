"""What is committed together is relayed together, and never late when nothing more comes."""

from __future__ import annotations

from roomlog.core.node import CHANGE, NodeHasher, make_node
from roomlog.core.operation import CounterAdd
from roomlog.core.pack import decode_pack, encode_pack
from roomlog.identity import Identity
from roomlog.protocol.codec import Codec, server_frames
from roomlog.protocol.limits import DEFAULT_LIMITS
from roomlog.server.history import Page
from roomlog.server.metrics import Metrics
from roomlog.server.reader import Reader, Readers
from roomlog.server.relay import LONGEST_REST_S, REST_PER_RELAY, Relay

LINEAGE = bytes(32)
HEADER_BYTES = 2


class Outlet:
    """A socket that takes everything, and a clock that every write moves on."""

    def __init__(self, clock: list[float]) -> None:
        self.frames: list[bytes] = []
        self._clock = clock

    def write(self, data: bytes) -> None:
        self.frames.append(data)
        self._clock[0] += 0.001

    def get_write_buffer_size(self) -> int:
        return 0

    def is_closing(self) -> bool:
        return False


def pages(count: int) -> list[Page]:
    hasher, me = NodeHasher(LINEAGE), Identity.from_seed(bytes(32))
    made: list[Page] = []
    parents: list[bytes] = []
    for seq in range(1, count + 1):
        node = make_node(hasher, me, CHANGE, seq, parents, [CounterAdd("c", 1)])
        parents = [node.id]
        made.append(Page(seq, seq, encode_pack([node])))
    return made


def relayed(outlet: Outlet) -> list[tuple[int, int]]:
    """The stretches of seq in what was written, a frame each."""
    read = server_frames(Codec.MSGPACK).read
    stretches = []
    for data in outlet.frames:
        start = HEADER_BYTES + (2 if data[1] == 126 else 0)
        message = read(data[start:])
        assert len(decode_pack(message.nodes, NodeHasher(LINEAGE))) == (
            message.to_seq - message.from_seq + 1
        )
        stretches.append((message.from_seq, message.to_seq))
    return stretches


def place() -> tuple[Relay, Outlet, list[float]]:
    clock = [100.0]
    outlet = Outlet(clock)
    readers = Readers(LINEAGE, 1 << 20)
    relay = Relay(LINEAGE, readers, DEFAULT_LIMITS, Metrics(), lambda: clock[0])
    reader = Reader(
        Codec.MSGPACK, outlet, lambda: None, pack_bytes_limit=1 << 20, pack_nodes_limit=4096
    )
    readers.go_live(reader)
    return relay, outlet, clock


def test_a_single_edit_is_relayed_at_once() -> None:
    relay, outlet, _ = place()
    for page in pages(3):
        relay.add(page, None, 100.0)
        assert relay.publish(is_more_coming=False) == 0
        assert relay.is_idle
    assert relayed(outlet) == [(1, 1), (2, 2), (3, 3)]


def test_while_more_is_coming_edits_gather_in_proportion_to_what_relaying_costs() -> None:
    relay, outlet, clock = place()
    made = pages(5)
    relay.add(made[0], None, 100.0)
    assert relay.publish(is_more_coming=True) == 0
    relay.add(made[1], None, 100.0)
    wait_s = relay.publish(is_more_coming=True)
    assert abs(wait_s - min(0.001 * REST_PER_RELAY, LONGEST_REST_S)) < 1e-6
    assert relay.through(2) == 1
    relay.add(made[2], None, 100.0)
    assert relay.publish(is_more_coming=True) == 0, "one timer is enough"
    clock[0] += wait_s
    relay.publish_now()
    assert relay.through(3) == 3
    assert relayed(outlet) == [(1, 1), (2, 3)]


def test_what_gathered_goes_out_with_the_last_one_that_was_coming() -> None:
    relay, outlet, _ = place()
    made = pages(3)
    relay.add(made[0], None, 100.0)
    relay.publish(is_more_coming=True)
    relay.add(made[1], None, 100.0)
    assert relay.publish(is_more_coming=True) > 0
    relay.add(made[2], None, 100.0)
    assert relay.publish(is_more_coming=False) == 0
    relay.publish_now()
    assert relayed(outlet) == [(1, 1), (2, 3)]


def test_what_was_relayed_lately_is_at_hand_up_to_where_it_was_relayed() -> None:
    relay, _, _ = place()
    made = pages(3)
    for page in made[:2]:
        relay.add(page, None, 100.0)
        relay.publish_now()
    relay.add(made[2], None, 100.0)
    assert relay.recent_after(2, 3) == []
    recent = relay.recent_after(0, 3)
    assert recent is not None
    assert [(page.from_seq, page.to_seq) for page in recent] == [(1, 1), (2, 2)]
    relay.forget()
    assert relay.is_idle
    assert relay.recent_after(0, 3) is None
