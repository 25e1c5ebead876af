"""Steps in which a person writes: single edits, transactions, branches, undo, named versions."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Iterator
from typing import Any

from roomlog.client.document import Document
from roomlog.client.errors import (
    DocumentClosedError,
    LocalStoreError,
    ReadOnlyError,
    TransactionError,
    UnknownVersionError,
)
from roomlog.core.errors import HistoryMissingError, NotSubscribedError, UnknownNodeError
from tests.simulation.actions import action
from tests.simulation.client_machine import ClientMachine
from tests.simulation.edits import apply_edits
from tests.simulation.plan import Step
from tests.simulation.world import World

NOT_NOW = (
    DocumentClosedError,
    HistoryMissingError,
    NotSubscribedError,
    ReadOnlyError,
    TransactionError,
)
"""What an application may be told at any time: it does without."""
UNDONE = ("m", "n", "c", "d", "l", "k", "t", "u")
"""What undo is about; what is written once and for all is not."""


class GivenUp(Exception):
    """An application changes its mind within a transaction."""


@contextlib.contextmanager
def as_things_are(world: World) -> Iterator[None]:
    """What cannot be done at present is left."""
    try:
        yield
    except NOT_NOW as error:
        world.saw(f"told {type(error).__name__}")


def open_client(world: World, step: Step) -> ClientMachine | None:
    """The client of a step, if its document is open."""
    client = world.clients.get(step.who)
    return client if client is not None and client.document is not None else None


def in_document(world: World, step: Step, work: Callable[[Document], Any]) -> None:
    """Do `work` as the application of the step's client, if it is running."""
    client = open_client(world, step)
    if client is None:
        return
    assert client.life is not None
    with as_things_are(world):
        world.loop.in_life(client.life, work, client.document)


def as_task(world: World, step: Step, work: Callable[[Document], Any]) -> Any:
    """Run the coroutine function `work` as a task of the client's life, and watch it."""
    client = open_client(world, step)
    if client is None:
        return None
    assert client.life is not None
    document = client.document
    assert document is not None

    async def run() -> None:
        with as_things_are(world):
            await work(document)

    return world.loop.in_life(client.life, world.loop.create_task, run())


@action("edit")
def edit(world: World, step: Step) -> None:
    """Edits of one turn: `edits`, a list."""
    in_document(world, step, lambda document: apply_edits(document, step.how["edits"]))


@action("write once")
def write_once(world: World, step: Step) -> None:
    """A key that nobody else ever writes: as long as its writer lives it must see it."""
    client = open_client(world, step)
    key = f"{step.who}-{step.how['number']}"

    def write(document: Document) -> None:
        if key not in document.map("once"):
            document.map("once")[key] = step.how["number"]
            assert client is not None
            client.tools.setdefault("once", {})[key] = None
            world.invariants.writing.wrote(client, "once", key)

    in_document(world, step, write)


@action("transaction")
def transaction(world: World, step: Step) -> Any:
    """`edits` as one node, half of them `hold_ms` after the others; `fails` takes all back."""
    edits, hold_s = step.how["edits"], step.how["hold_ms"] / 1000

    async def work(document: Document) -> None:
        half = len(edits) // 2
        with contextlib.suppress(GivenUp):
            async with document.transaction():
                apply_edits(document, edits[:half])
                await asyncio.sleep(hold_s)
                apply_edits(document, edits[half:])
                if step.how.get("fails"):
                    raise GivenUp

    return as_task(world, step, work)


@action("branches")
def branches(world: World, step: Step) -> None:
    """`count` branches of the present version, each with the same edits: so many heads."""

    def write(document: Document) -> None:
        begun = [document.branch() for _ in range(step.how["count"])]
        for number, branch in enumerate(begun):
            apply_edits(branch, step.how["edits"])
            branch.map("branch")[f"b{number}"] = number
            branch.commit()
        if step.how.get("merges"):
            begun[0].merge(document.frontier)

    in_document(world, step, write)


@action("old branch")
def old_branch(world: World, step: Step) -> None:
    """Edits on top of an older version: of the node `back` places before the newest."""

    def write(document: Document) -> None:
        nodes = [node.id for node in document.replica.nodes()]
        if not nodes:
            return
        branch = document.branch([nodes[-1 - step.how["back"] % len(nodes)]])
        apply_edits(branch, step.how["edits"])
        branch.commit()

    in_document(world, step, write)


@action("watch edits")
def watch_edits(world: World, step: Step) -> None:
    """From now on this client's edits can be undone."""
    client = open_client(world, step)
    if client is None or "undo" in client.tools:
        return

    def begin(document: Document) -> None:
        client.tools["undo"] = document.undo_manager(UNDONE, step.how["group_ms"])

    in_document(world, step, begin)


@action("undo")
def undo(world: World, step: Step) -> None:
    _undo_or_redo(world, step, "undo")


@action("redo")
def redo(world: World, step: Step) -> None:
    _undo_or_redo(world, step, "redo")


def _undo_or_redo(world: World, step: Step, which: str) -> None:
    client = open_client(world, step)
    manager = None if client is None else client.tools.get("undo")
    if manager is not None:
        in_document(world, step, lambda _: getattr(manager, which)() and world.saw(which))


@action("save version")
def save_version(world: World, step: Step) -> None:
    in_document(world, step, lambda document: document.versions.save(step.how["name"], "a note"))


@action("delete version")
def delete_version(world: World, step: Step) -> None:
    def delete(document: Document) -> None:
        with contextlib.suppress(UnknownVersionError):
            document.versions.delete(step.how["name"])

    in_document(world, step, delete)


@action("open version")
def open_version(world: World, step: Step) -> None:
    """Read the room as it was; a version may name nodes that never reached the room."""

    def look(document: Document) -> None:
        with contextlib.suppress(UnknownVersionError, UnknownNodeError):
            document.versions.open(step.how["name"]).state()
            world.saw("version opened")

    in_document(world, step, look)


@action("flush")
def flush(world: World, step: Step) -> Any:
    """What was written before a flush that returns is on disk: every later life has it."""

    async def work(document: Document) -> None:
        client = world.clients[step.who]
        written = dict(client.tools.get("once", {}))
        with contextlib.suppress(LocalStoreError):
            await document.flush()
            if client.has_store:
                client.kept.update(written)

    return as_task(world, step, work)
