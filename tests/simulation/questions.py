"""Steps in which a document asks, looks back, shows itself, or wants other keys."""

from __future__ import annotations

import contextlib
from typing import Any

from roomlog.client.document import Document
from roomlog.client.errors import (
    ConnectionStoppedError,
    LocalStoreError,
    NotConnectedError,
    PeerUnknownError,
)
from tests.simulation.actions import action
from tests.simulation.plan import Step
from tests.simulation.world import World
from tests.simulation.writing_actions import as_task, in_document

NO_ANSWER = (TimeoutError, ConnectionStoppedError, LocalStoreError)
"""How waiting for a server may end."""


@action("synced")
def synced(world: World, step: Step) -> Any:
    """Afterwards nothing that was written before is pending."""

    async def work(document: Document) -> None:
        written = document.pending
        with contextlib.suppress(*NO_ANSWER):
            await document.synced(timeout_s=step.how["timeout_s"])
            world.saw("synced")
            assert not set(written) & set(document.pending), "synced, and still pending"

    return as_task(world, step, work)


@action("subscribe")
def subscribe(world: World, step: Step) -> Any:
    """Hold other keys than before: `patterns`."""

    async def work(document: Document) -> None:
        with contextlib.suppress(*NO_ANSWER):
            await document.subscribe(step.how["patterns"], timeout_s=step.how["timeout_s"])
            world.saw("subscribed")

    return as_task(world, step, work)


@action("history")
def history(world: World, step: Step) -> Any:
    """Bring in all older history, then look back."""

    async def work(document: Document) -> None:
        with contextlib.suppress(*NO_ANSWER):
            await document.history(timeout_s=step.how["timeout_s"])
            document.conflicts()
            world.saw("history")

    return as_task(world, step, work)


@action("look back")
def look_back(world: World, step: Step) -> None:
    """Everything that replays history or walks it."""

    def look(document: Document) -> None:
        conflicts = document.conflicts()
        view = document.at(document.frontier)
        if not document.replica.has_open_edits and not document.patterns:
            assert view.state() == document.state(), "the present version reads differently"
        world.saw("looked back" if not conflicts else "looked back at conflicts")
        for key in ("t", "u"):
            runs = document.text(key).attribution()
            assert sum(run.length for run in runs) == len(document.text(key))
        document.export()

    in_document(world, step, look)


@action("read acknowledged")
def read_acknowledged(world: World, step: Step) -> None:
    """What the server has acknowledged; without anything pending it is all there is."""

    def look(document: Document) -> None:
        if not document.pending and not document.replica.has_open_edits:
            assert document.text("t").get(canonical=True) == str(document.text("t"))
            assert document.map("m").get("a", canonical=True) == document.map("m").get("a")

    in_document(world, step, look)


@action("show")
def show(world: World, step: Step) -> None:
    """Presence: `data`, None for nothing."""

    def work(document: Document) -> None:
        document.presence.set(step.how["data"], step.how.get("ttl_s"))
        world.saw("presence shown")

    in_document(world, step, work)


@action("signal")
def signal(world: World, step: Step) -> Any:
    """Tell somebody who is there: the `to`th of the peers."""

    async def work(document: Document) -> None:
        peers = list(document.peers)
        if peers:
            with contextlib.suppress(TimeoutError, NotConnectedError, PeerUnknownError):
                await document.signal(peers[step.how["to"] % len(peers)], step.how["data"])
                world.saw("signal passed on")

    return as_task(world, step, work)
