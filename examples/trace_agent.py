"""One agent of a trace: a process of its own that writes its steps into a shared room."""

from __future__ import annotations

import asyncio
import math
import os
from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass
from multiprocessing.connection import Connection
from typing import Any

from trace_cuts import CuttableLoop, Cutter
from trace_history import Patch, Step

import roomlog
from roomlog.client.branch import DocumentBranch
from roomlog.client.document import Document
from roomlog.protocol.codec import Codec

TEXT_KEY = "text"
MOST_BRANCHES = 8
REPORT_EVERY = 64
"""Steps between two reports of what was written, when nobody waits earlier."""
CHECKED_POINTS = 3

Version = tuple[bytes, ...]
"""The state after a step: ids of nodes. A step that changes nothing has that of its parents."""


@dataclass
class Assignment:
    """What the coordinator tells an agent to do."""

    agent: int
    url: str
    room: str
    seed: bytes
    store: str | None
    is_concurrent: bool
    steps: list[Step]
    shared: set[int]
    """Own steps that other agents build on."""
    heads: set[int]
    """Own steps that nobody builds on."""
    report_every_s: float
    """How often to say what was acknowledged."""
    codec: Codec
    nodes_between_cuts: float
    """How many nodes lie between two cuts of the connection on average; 0 for no cuts."""
    cut_seed: str


def run_agent(assignment: Assignment, pipe: Connection) -> None:
    """The body of the process."""
    try:
        with asyncio.Runner(loop_factory=CuttableLoop) as runner:
            runner.run(Agent(assignment, pipe).run())
    except (EOFError, BrokenPipeError, KeyboardInterrupt):
        os._exit(1)
    except Exception as error:
        pipe.send(("failed", f"agent {assignment.agent}: {type(error).__name__}: {error}"))
        raise


class Agent:
    def __init__(self, assignment: Assignment, pipe: Connection) -> None:
        self.work = assignment
        self.pipe = pipe
        self.versions: dict[int, Version] = {}
        self.arrived = asyncio.Event()
        self.final: list[bytes] | None = None
        self.unreported: list[tuple[int, Version]] = []
        self.written = 0
        self.unacknowledged: deque[bytes] = deque()
        self.branches: list[DocumentBranch] = []
        self.points: list[tuple[bytes, str]] = []

    async def run(self) -> None:
        identity = roomlog.Identity.from_seed(self.work.seed)
        asyncio.get_running_loop().add_reader(self.pipe.fileno(), self._read_pipe)
        async with roomlog.connect(
            self.work.url,
            room=self.work.room,
            identity=identity,
            store=self.work.store,
            label=f"agent {self.work.agent}",
            codec=self.work.codec,
            close_timeout_s=30,
        ) as doc:
            # Ids are final only under the room's own lineage.
            await doc.synced()
            cutter = Cutter(
                self.work.nodes_between_cuts or math.inf,
                self.work.cut_seed,
                lambda: len(doc.replica) - len(self.unacknowledged),
            )
            every_s = self.work.report_every_s
            background = [asyncio.create_task(self._report_acknowledged(doc))]
            if self.work.nodes_between_cuts:
                background.append(asyncio.create_task(cutter.run(every_s)))
            if self.work.is_concurrent:
                await self._write_on_branches(doc)
            else:
                await self._write_in_sequence(doc)
            self._report_written()
            self.pipe.send(("done", [self.versions[index] for index in self.work.heads]))
            final = await self._final_version()
            await doc.wait_for(final)
            await doc.synced()
            for task in background:
                task.cancel()
            await asyncio.gather(*background, return_exceptions=True)
            self._send_acknowledged(doc)
            self._check_points(doc)
            self.pipe.send(
                (
                    "result",
                    {
                        "hash": str(doc.state_hash()),
                        "text": str(doc.text(TEXT_KEY)),
                        "nodes": len(doc.replica),
                        "cuts": cutter.cuts,
                        "points": [(node_id, len(text)) for node_id, text in self.points],
                    },
                )
            )

    # the coordinator

    def _read_pipe(self) -> None:
        while self.pipe.poll():
            try:
                kind, value = self.pipe.recv()
            except EOFError:
                os._exit(1)
            if kind == "versions":
                self.versions.update(value)
            elif kind == "final":
                self.final = value
        self.arrived.set()

    async def _final_version(self) -> list[bytes]:
        while self.final is None:
            self.arrived.clear()
            await self.arrived.wait()
        return self.final

    def _wrote(self, step: Step, version: Version, ids: Iterable[bytes]) -> None:
        self.versions[step.index] = version
        self.unacknowledged.extend(ids)
        self.written += 1
        if step.index in self.work.shared:
            self.unreported.append((step.index, version))
        if self.written % REPORT_EVERY == 0:
            self._report_written()

    def _report_written(self) -> None:
        self.pipe.send(("written", (self.written, self.unreported)))
        self.unreported = []

    async def _report_acknowledged(self, doc: Document) -> None:
        while True:
            self._send_acknowledged(doc)
            await asyncio.sleep(self.work.report_every_s)

    def _send_acknowledged(self, doc: Document) -> None:
        acknowledged: list[bytes] = []
        while self.unacknowledged and not doc.is_pending(self.unacknowledged[0]):
            acknowledged.append(self.unacknowledged.popleft())
        if acknowledged:
            self.pipe.send(("acknowledged", b"".join(acknowledged)))

    # writing

    async def _write_in_sequence(self, doc: Document) -> None:
        text = doc.text(TEXT_KEY)
        count = len(self.work.steps)
        at = {count * part // (CHECKED_POINTS + 1) for part in range(1, CHECKED_POINTS + 1)}
        version: Version = doc.frontier
        for number, step in enumerate(self.work.steps):
            apply(text, step.patches)
            ids = await doc.flush()
            version = (ids[-1],) if ids else version
            self._wrote(step, version, ids)
            if number in at and ids:
                self.points.append((ids[-1], str(text)))
            # Nothing here waits, so the socket gets its turn this way.
            await asyncio.sleep(0)

    def _check_points(self, doc: Document) -> None:
        """The room as it was reads as it did."""
        for node_id, text in self.points:
            if str(doc.at([node_id]).text(TEXT_KEY)) != text:
                raise AssertionError(f"at {node_id.hex()} the text is another one than it was")

    async def _write_on_branches(self, doc: Document) -> None:
        for step in self.work.steps:
            version = await self._version_of(step.parents)
            if any(node_id not in doc.replica for node_id in version):
                self._report_written()
                await doc.wait_for(version)
            branch = self._branch_at(doc, version)
            apply(branch.text(TEXT_KEY), step.patches)
            ids = branch.commit()
            # A step without edits is no node: it stands where its parents stand.
            self._wrote(step, tuple(ids[-1:]) or version, ids)
            if self.written % 4 == 0:
                await asyncio.sleep(0)

    async def _version_of(self, parents: list[int]) -> Version:
        while any(parent not in self.versions for parent in parents):
            self._report_written()
            self.arrived.clear()
            await self.arrived.wait()
        return tuple(sorted({each for parent in parents for each in self.versions[parent]}))

    def _branch_at(self, doc: Document, version: Version) -> DocumentBranch:
        """A branch that stands exactly at `version`: one whose history only grows, or a new one."""
        graph = doc.replica.graph
        heads = [graph.index_of(node_id) for node_id in version]
        for number, branch in enumerate(self.branches):
            frontier = branch.frontier
            if all(graph.contains(heads, graph.index_of(node_id)) for node_id in frontier):
                if tuple(frontier) != version:
                    branch.merge(version)
                if number:
                    self.branches.insert(0, self.branches.pop(number))
                return branch
        branch = doc.branch(version)
        self.branches.insert(0, branch)
        del self.branches[MOST_BRANCHES:]
        return branch


def apply(text: Any, patches: list[Patch]) -> None:
    """Edit a text as a transaction says."""
    for position, deleted, inserted in patches:
        if deleted:
            text.delete(position, deleted)
        if inserted:
            text.insert(position, inserted)
