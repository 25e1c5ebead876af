"""Push credit from both sides: never more sent than granted, never less granted than is due."""

from __future__ import annotations

from fractions import Fraction

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from roomlog.core.node import Node
from roomlog.protocol.credit import PushCredit
from roomlog.protocol.limits import SessionLimits
from roomlog.protocol.messages import CreditTotals
from roomlog.protocol.push_queue import MAX_PACKS_IN_FLIGHT, OutgoingPack, PushQueue
from tests.protocol.paired_sessions import chain
from tests.state_machines import machine_test

NODES = chain(400)
PACK_BYTES = 2_000


class NaiveMeter:
    """A grant in exact fractions: one slice, the live rate, and what is settled of a backlog."""

    def __init__(self, slice_size: int, per_second: int, backlog: int) -> None:
        self.slice, self.per_second, self.backlog = slice_size, per_second, backlog
        self.granted = Fraction(slice_size)
        self.spent = 0

    @property
    def fullest(self) -> int:
        return self.spent + self.slice

    def refill(self, elapsed_ms: int) -> None:
        self.granted += Fraction(elapsed_ms * self.per_second, 1000)
        if int(self.granted) >= self.fullest:
            self.granted = Fraction(self.fullest)

    def settle(self, amount: int) -> None:
        given = max(0, min(amount, self.backlog, self.fullest - int(self.granted)))
        self.backlog -= min(amount, self.backlog)
        self.granted += given


class PushCreditMachine(RuleBasedStateMachine):
    """A client's queue and a server's credit, with packs and totals under way between them."""

    def __init__(self) -> None:
        super().__init__()
        self.queue = PushQueue(1, PACK_BYTES)
        self.credit = PushCredit(SessionLimits(), backlog_nodes=0, backlog_bytes=0, now_ms=0)
        self.nodes = NaiveMeter(1, 1, 0)
        self.bytes = NaiveMeter(1, 1, 0)
        self.announced = CreditTotals(nodes=0, bytes=0)
        self.now_ms = 0
        self.waiting: list[Node] = []
        self.in_flight: list[OutgoingPack] = []
        self.arrived: list[OutgoingPack] = []
        self.totals: list[CreditTotals] = []
        self.sent: list[bytes] = []
        self.added = 0

    @initialize(
        slice_nodes=st.sampled_from([1, 3, 20, 1000]),
        slice_bytes=st.sampled_from([1_000, 2_000, 100_000]),
        rate=st.sampled_from([1, 7, 200]),
        backlog=st.sampled_from([0, 2, 1000]),
        max_nodes=st.sampled_from([1, 4, 600]),
    )
    def begin(
        self, slice_nodes: int, slice_bytes: int, rate: int, backlog: int, max_nodes: int
    ) -> None:
        limits = SessionLimits(
            slice_nodes=slice_nodes,
            slice_bytes=slice_bytes,
            live_nodes_per_second=rate,
            live_bytes_per_second=rate * 100,
            backlog_nodes=500,
            backlog_bytes=50_000,
        )
        self.queue = PushQueue(max_nodes, PACK_BYTES)
        self.credit = PushCredit(
            limits, backlog_nodes=backlog, backlog_bytes=backlog * 300, now_ms=0
        )
        self.nodes = NaiveMeter(slice_nodes, rate, min(backlog, 500))
        self.bytes = NaiveMeter(slice_bytes, rate * 100, min(backlog * 300, 50_000))
        self.announce()

    def announce(self) -> None:
        self.announced = self.credit.announce()
        assert self.announced.nodes == int(self.nodes.granted)
        assert self.announced.bytes == int(self.bytes.granted)
        self.totals.append(self.announced)

    # The client

    @rule(count=st.sampled_from([1, 1, 2, 9, 60]))
    def write(self, count: int) -> None:
        nodes = NODES[self.added : self.added + count]
        self.added += len(nodes)
        self.queue.add(nodes)
        # Whatever waits or is under way already is not queued twice.
        self.queue.add([*nodes, *(node for pack in self.in_flight for node in pack.nodes)])
        self.waiting += nodes

    @rule(number=st.integers(0, 1 << 16))
    def withdraw(self, number: int) -> None:
        if self.waiting:
            node = self.waiting[number % len(self.waiting)]
            under_way = [each.id for pack in self.in_flight for each in pack.nodes]
            self.queue.withdraw([node.id, *under_way])
            self.waiting.remove(node)

    @rule(count=st.integers(1, 4))
    def send(self, count: int) -> None:
        for _ in range(count):
            pack = self.queue.next_pack()
            if pack is None:
                return
            assert pack.nodes == self.waiting[: len(pack.nodes)]
            del self.waiting[: len(pack.nodes)]
            self.in_flight.append(pack)
            self.arrived.append(pack)
            self.sent += [node.id for node in pack.nodes]
            assert len(self.in_flight) <= MAX_PACKS_IN_FLIGHT

    @rule()
    def hear_of_credit(self) -> None:
        if self.totals:
            totals = self.totals.pop(0)
            self.queue.grant(totals.nodes, totals.bytes)

    # The server

    @rule()
    def arrive(self) -> None:
        """A pack arrives: an honest client never spends more than it was told."""
        if self.arrived:
            pack = self.arrived.pop(0)
            self.nodes.spent += len(pack.nodes)
            self.bytes.spent += len(pack.data)
            assert self.credit.spend_bytes(len(pack.data))
            assert self.credit.spend_nodes(len(pack.nodes))

    @rule(number=st.integers(0, 1 << 16), is_refused=st.booleans())
    def answer(self, number: int, is_refused: bool) -> None:
        """The oldest pack is answered, or any is refused whole: then it comes node by node."""
        there = self.in_flight[: len(self.in_flight) - len(self.arrived)]
        if not there:
            return
        pack = there[number % len(there)] if is_refused else there[0]
        self.in_flight.remove(pack)
        self.nodes.settle(len(pack.nodes))
        self.bytes.settle(len(pack.data))
        self.credit.settle(len(pack.nodes), len(pack.data))
        self.announce()
        if is_refused:
            assert self.queue.settle_any(pack.ref) is pack
            assert self.queue.settle_any(pack.ref) is None
            if len(pack.nodes) > 1:
                self.queue.resend_singly(pack)
                self.waiting[:0] = pack.nodes
        else:
            assert self.queue.settle("p0") is None
            assert self.queue.settle(pack.ref) is pack

    @rule(elapsed_ms=st.sampled_from([0, 1, 10, 143, 1_000, 60_000]), is_tick=st.booleans())
    def time_passes(self, elapsed_ms: int, is_tick: bool) -> None:
        self.now_ms += elapsed_ms
        self.credit.refill(self.now_ms)
        self.credit.refill(self.now_ms - 5)
        self.nodes.refill(elapsed_ms)
        self.bytes.refill(elapsed_ms)
        if is_tick and self.credit.is_worth_announcing():
            self.announce()

    # What holds

    @invariant()
    def the_queue_is_what_waits_and_what_is_under_way(self) -> None:
        assert self.queue.in_flight == len(self.in_flight)
        for node in self.waiting:
            assert node.id in self.queue
        for pack in self.in_flight:
            assert all(node.id in self.queue for node in pack.nodes)

    @rule()
    def settle(self) -> None:
        """With time, credit and answers everything comes across that a slice can hold."""
        for _ in range(3_000):
            if not self.waiting and not self.in_flight:
                break
            self.time_passes(60_000, True)
            while self.totals:
                self.hear_of_credit()
            self.send(100)
            while self.arrived:
                self.arrive()
            while self.in_flight:
                self.answer(0, False)
        else:
            raise AssertionError("something waits for ever")


TestNoMoreIsSentThanGrantedAndAllComesAcross = machine_test(PushCreditMachine, steps=40, weight=4)
