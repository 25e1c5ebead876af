"""Replicas that write every character only once, so that a text says which characters it has."""

from __future__ import annotations

from random import Random

from roomlog.core.replica import Replica
from tests.oracle.room_histories import UnsignedAuthor

ROOM_ID = "adversarial"
KEY = "t"


class UniqueWriters:
    """Some replicas of one room, the last two of one author. What they exchange is committed."""

    def __init__(self, random: Random, count: int = 4) -> None:
        self.random = random
        self.replicas = [
            Replica(ROOM_ID, UnsignedAuthor(min(number, count - 2))) for number in range(count)
        ]
        self.next_character = 0x4E00
        self.now_ms = 1_000_000

    def text(self, length: int) -> str:
        """New characters."""
        self.next_character += length
        return "".join(map(chr, range(self.next_character - length, self.next_character)))

    def edit(self, replica: Replica, key: str = KEY) -> None:
        """An insertion or a deletion, crowded at few places."""
        random = self.random
        handle = replica.text(key)
        length = len(handle)
        position = random.choice([0, length // 2, length, random.randint(0, length)])
        if length and random.random() < 0.45:
            handle.delete(position, min(length - position, random.choice([0, 1, 1, 3, 8])))
        else:
            handle.insert(position, self.text(random.choice([1, 1, 2, 5])))

    def commit(self, replica: Replica) -> list[bytes]:
        self.now_ms += self.random.choice([0, 1, 50])
        return replica.commit(self.now_ms)

    def send(self, sender: Replica, receiver: Replica) -> None:
        """Bring what one has committed to another, in one batch or node by node."""
        ids = set(receiver.graph._index)
        nodes = [node for node in sender.nodes() if node.id not in ids]
        size = self.random.choice([1, 3, 1000])
        for start in range(0, len(nodes), size):
            result = receiver.add_nodes(nodes[start : start + size], self.now_ms, verify=False)
            assert not result.rejected

    def others_write(self, replica: Replica) -> None:
        """Everybody else writes a little, and some of it arrives."""
        random = self.random
        others = [other for other in self.replicas if other is not replica]
        for _ in range(random.choice([1, 3])):
            other = random.choice(others)
            if random.random() < 0.5:
                self.send(random.choice([replica, *others]), other)
            for _ in range(random.choice([1, 2, 4])):
                self.edit(other)
                self.commit(other)
        if random.random() < 0.7:
            self.send(random.choice(others), replica)
