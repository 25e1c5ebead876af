"""A process that commits until it is killed, telling each durable append on its standard output.

python committing_child.py STORE ROOM...
"""

from __future__ import annotations

import os
import sys
import threading
import time

from roomlog.store.committer import Committer, Outcomes
from roomlog.store.interface import Append, NewRoom
from roomlog.store.sqlite import SqliteStore

IN_FLIGHT = 64


def main(path: str, room_ids: list[str]) -> None:
    store = SqliteStore.open(path, store_id=os.urandom(16), now_ms=1)
    free = threading.Semaphore(IN_FLIGHT)

    def tell(outcomes: Outcomes) -> None:
        lines = []
        for append, outcome in outcomes:
            free.release()
            lines.append(f"{append.room_id} {append.to_seq} {outcome.status.value}\n")
        os.write(1, "".join(lines).encode())

    committer = Committer(store, tell, clock=time.monotonic)
    rooms = {}
    for room_id in room_ids:
        rooms[room_id] = store.open_room(room_id) or committer.create_room(
            NewRoom(room_id, os.urandom(32), os.urandom(16), 1)
        ).result(30)
    heads = {room_id: room.head_seq for room_id, room in rooms.items()}
    number = 0
    while True:
        room = rooms[room_ids[number % len(room_ids)]]
        count = 1 + number % 3
        number += 1
        free.acquire()
        committer.submit(
            Append(
                room_id=room.room_id,
                epoch=room.epoch,
                from_seq=heads[room.room_id] + 1,
                count=count,
                pack=bytes([1, 6, count, 40, 20]) + os.urandom(40 + 64 * count + 20),
                ids=os.urandom(32 * count),
                submitter=bytes(32),
                admitted_ms=number,
            )
        )
        heads[room.room_id] += count


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2:])
