"""A simulated client with a local store on disk whose every step of writing is told when to run."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from roomlog.client.engine import Engine
from roomlog.client.local_store import LocalStore
from roomlog.client.store_writes import OwnNodes, StoreWrite
from roomlog.core.hashing import hash_bytes
from roomlog.core.node import Node
from roomlog.identity import Identity
from roomlog.protocol.codec import Codec
from tests.client.model_server import ModelServer
from tests.client.naive_document import NaiveDocument
from tests.client.simulated_client import SimulatedClient

MARKS = "mark"


def marks_of(node: Node) -> list[str]:
    """The names of the edits that a node says, as `StoredClient.mark` wrote them."""
    prefix = f"{MARKS}/"
    return [each.key.removeprefix(prefix) for each in node.operations() if prefix in each.key]


class StoredClient(SimulatedClient):
    """What happens to it: edits, frames, disk writes, a crash, a start.

    `document` is what was written so far, naively; `waiting` what the disk has not got yet.
    """

    def __init__(
        self, name: str, identity: Identity, server: ModelServer, path: Path, codec: Codec
    ) -> None:
        super().__init__(name, identity, server, codec)
        self.identity = identity
        self.path = path
        self.document = NaiveDocument(hash_bytes(name.encode()))
        self.store: LocalStore
        self.waiting: list[list[StoreWrite]] = []
        self._steps: list[Callable[[], None]] = []
        self.marks = 0
        self.durable_marks: set[str] = set()
        self.start()

    def start(self) -> None:
        """Begin with what is on disk."""
        self._steps.clear()
        self.waiting.clear()
        self.store = LocalStore(
            self.path, "demo", hash_bytes(self.name.encode()), drive=self._steps.append
        )
        self.document.assert_is(self.store.document)
        self.engine = Engine.restored(self.identity, self.store.document)

    def crash(self) -> None:
        """Power goes: what was queued for the disk, and what was under way, is lost."""
        if self.session is not None:
            assert self.peer is not None
            self.server.sessions.remove(self.peer)
            self.session = self.peer = None
        self.to_server.clear()
        self.store._queue.clear()
        self.store.close()
        self.start()

    def close(self) -> None:
        self.store._queue.clear()
        self.store.close()

    def mark(self, prefix: str) -> str:
        """An edit that can be found again in every history and state."""
        name = f"{prefix}-{self.name}-{self.marks:04}"
        self.marks += 1
        self.engine.replica.map(MARKS)[name] = self.marks
        return name

    def write_to_disk(self) -> bool:
        """Whatever is queued is on disk now; whether there was anything."""
        if not self._steps:
            return False
        steps, self._steps[:] = list(self._steps), []
        for step in steps:
            step()
        return True

    def pump(self) -> None:
        writes = self.engine.take_writes()
        if writes:
            engine = self.engine

            def on_durable() -> None:
                if self.engine is engine:
                    for write in writes:
                        self.document.apply(write)
                        if isinstance(write, OwnNodes):
                            for node in write.nodes:
                                self.durable_marks.update(marks_of(node))
                    engine.stored(writes)
                    self.push()

            self.waiting.append(writes)
            self.store.write(writes, on_durable)
        self.rejections += self.engine.take_rejections()
        self.push()
