"""Undo and redo of maps, counters and lists beside others who write to the same objects.

Every value is written once, by whoever. So a value says which write it is of, and the model is
plain dicts of what can be seen.
"""

from __future__ import annotations

from typing import Any

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from roomlog.core.replica import Replica
from roomlog.core.undo.history import UndoHistory
from tests.oracle.room_histories import ROOM_ID, UnsignedAuthor
from tests.state_machines import machine_test

WRITERS = 3
ABSENT = None
Record = tuple[Any, ...]
picks = st.integers(0, 1 << 16)
writers = st.sampled_from([0, 0, 0, 1, 2])
keys = st.sampled_from("ab")


class Seen:
    """What can be seen: values by map key, the sum, and the value of each item, in order."""

    def __init__(self, replica: Replica, owners: dict[int, int]) -> None:
        self.values: dict[str, object] = replica.map("m").to_dict()
        self.sum = replica.counter("c").value
        values = replica.list("l").to_list()
        self.items: dict[int, object] = {owners[value]: value for value in values}  # type: ignore[index]
        assert len(self.items) == len(values)

    def revert(self, record: Record) -> Record | None:
        """Take back one edit; the record of that, None when it has no effect any more."""
        kind, *rest = record
        if kind == "map":
            key, before, after = rest
            if self.values.get(key, ABSENT) != after:
                return None
            if before is ABSENT:
                del self.values[key]
            else:
                self.values[key] = before
            return ("map", key, after, before)
        if kind == "counter":
            self.sum -= rest[0]
            return ("counter", -rest[0])
        if kind == "insert":
            value = self.items.pop(rest[0], ABSENT)
            return None if value is ABSENT else ("delete", rest[0], value)
        if kind == "delete":
            item, value = rest
            if item in self.items:
                return None
            self.items[item] = value
            return ("insert", item)
        item, before, after = rest
        if self.items.get(item, ABSENT) != after:
            return None
        self.items[item] = before
        return ("update", item, after, before)


class UndoMachine(RuleBasedStateMachine):
    """One replica with an undo history; two others that write beside it."""

    def __init__(self) -> None:
        super().__init__()
        self.replicas = [Replica(ROOM_ID, UnsignedAuthor(number)) for number in range(WRITERS)]
        self.replica = self.replicas[0]
        self.undo = UndoHistory(self.replica, group_ms=0)
        self.undo_steps: list[list[Record]] = []
        self.redo_steps: list[list[Record]] = []
        self.open: list[Record] = []
        self.owners: dict[int, int] = {}
        self.next_value = 0
        self.now_ms = 1_000_000

    def fresh(self) -> int:
        self.next_value += 1
        return self.next_value

    def seen(self) -> Seen:
        return Seen(self.replica, self.owners)

    def note(self, who: int, *record: Any) -> None:
        if who == 0:
            self.open.append(record)
        else:
            self.now_ms += 1
            self.replicas[who].commit(self.now_ms)

    # Edits

    @rule(who=writers, key=keys)
    def set_a_key(self, who: int, key: str) -> None:
        handle, value = self.replicas[who].map("m"), self.fresh()
        before = handle.get(key, ABSENT)
        handle[key] = value
        self.note(who, "map", key, before, value)

    @rule(who=writers, amount=st.sampled_from([-3, 1, 5]))
    def add(self, who: int, amount: int) -> None:
        self.replicas[who].counter("c").add(amount)
        self.note(who, "counter", amount)

    @rule(who=writers, at=picks)
    def insert(self, who: int, at: int) -> None:
        handle, value = self.replicas[who].list("l"), self.fresh()
        handle.insert(at % (len(handle) + 1), value)
        self.owners[value] = value
        self.note(who, "insert", value)

    @rule(who=writers, at=picks)
    def update(self, who: int, at: int) -> None:
        handle, value = self.replicas[who].list("l"), self.fresh()
        if len(handle):
            before = handle[at % len(handle)]
            handle[at % len(handle)] = value
            item = self.owners[value] = self.owners[before]  # type: ignore[index]
            self.note(who, "update", item, before, value)

    @rule(who=writers, at=picks)
    def delete(self, who: int, at: int) -> None:
        handle = self.replicas[who].list("l")
        if len(handle):
            value = handle.pop(at % len(handle))
            self.note(who, "delete", self.owners[value], value)  # type: ignore[index]

    @rule()
    def commit(self) -> None:
        self.now_ms += 1
        self.replica.commit(self.now_ms)
        if self.open:
            self.undo_steps.append(self.open)
            self.redo_steps.clear()
        self.open = []

    @rule()
    def discard(self) -> None:
        self.replica.discard()
        self.open = []

    @rule(sender=st.integers(0, WRITERS - 1), receiver=st.integers(0, WRITERS - 1))
    def send(self, sender: int, receiver: int) -> None:
        if receiver == 0:
            self.commit()
        there = self.replicas[receiver]
        nodes = [node for node in self.replicas[sender].nodes() if node.id not in there]
        assert not there.add_nodes(nodes, self.now_ms, verify=False).rejected

    @rule()
    def everybody_hears_everything(self) -> None:
        for _ in range(2):
            for number in range(WRITERS):
                self.send(number, (number + 1) % WRITERS)

    # Undo

    @rule(is_redo=st.sampled_from([False, False, True]), times=st.integers(1, 3))
    def take_back(self, is_redo: bool, times: int) -> None:
        self.commit()
        for _ in range(times):
            self.take_back_one(is_redo)

    def take_back_one(self, is_redo: bool) -> None:
        before = list(self.seen().items)
        expected = self.seen()
        steps, others = self.undo_steps, self.redo_steps
        if is_redo:
            steps, others = others, steps
        done: list[Record] = []
        while steps and not done:
            reverts = [expected.revert(record) for record in reversed(steps.pop())]
            done = [record for record in reverts if record is not None]
        if done:
            others.append(done)
        self.now_ms += 1
        ids = self.undo.redo(self.now_ms) if is_redo else self.undo.undo(self.now_ms)
        assert bool(ids) == bool(done)
        seen = self.seen()
        assert seen.values == expected.values
        assert seen.sum == expected.sum
        assert seen.items == expected.items
        after = list(seen.items)
        assert [each for each in before if each in after] == [
            each for each in after if each in before
        ]

    @invariant()
    def there_are_as_many_steps_as_were_made(self) -> None:
        assert self.undo.can_undo == bool(self.undo_steps)
        assert self.undo.can_redo == bool(self.redo_steps)


TestUndoTakesBackWhatIsStillThere = machine_test(UndoMachine, steps=50, weight=2)
