"""Steps in which the way between machines is slow, broken, or nobody knows which."""

from __future__ import annotations

from dataclasses import fields

from tests.simulation.actions import action
from tests.simulation.client_machine import ClientMachine
from tests.simulation.network import Conditions, Link
from tests.simulation.plan import Step
from tests.simulation.world import World

LINE_FAULTS = ("drop", "duplicate", "swap")


def links_of(world: World, client: ClientMachine) -> list[Link]:
    """The links of this client's present life."""
    return [each for each in world.network.links if each.client is client.life and not each.is_over]


def heal(conditions: Conditions) -> None:
    """The way is as it should be; what got lost on it stays lost."""
    well = Conditions()
    for field in fields(Conditions):
        setattr(conditions, field.name, getattr(well, field.name))


@action("cut")
def cut(world: World, step: Step) -> None:
    """The socket breaks; both ends learn it."""
    client = world.clients.get(step.who)
    if client is not None:
        for link in links_of(world, client):
            world.saw("network cut")
            link.cut()


@action("freeze")
def freeze(world: World, step: Step) -> None:
    """The socket is half open: neither end hears of the other, or learns why."""
    client = world.clients.get(step.who)
    if client is not None:
        for link in links_of(world, client):
            world.saw("network half-open")
            link.freeze()


@action("stop reading")
def stop_reading(world: World, step: Step) -> None:
    """What is sent to the client stays in its system's buffers for `pause_ms`."""
    client = world.clients.get(step.who)
    if client is not None:
        for link in links_of(world, client):
            world.saw("network not read")
            link.to_client.is_paused = True
            world.loop.call_later(step.how["pause_ms"] / 1000, link.to_client.resume)


@action("way")
def way(world: World, step: Step) -> None:
    """How the client reaches others from now on: fields of `Conditions`, the others being well."""
    client = world.clients.get(step.who)
    if client is None:
        return
    heal(client.conditions)
    for name, value in step.how.items():
        setattr(client.conditions, name, value)
        world.saw(f"network {name}")


@action("damage")
def damage(world: World, step: Step) -> None:
    """The line drops, doubles or swaps frames, as TCP never does, and breaks soon after."""
    client = world.clients.get(step.who)
    if client is None or not links_of(world, client):
        return
    getattr(client.conditions, step.how["lane"]).extend(step.how["faults"])
    client.had_damaged_line = True

    def cut_links(links: list[Link]) -> None:
        for link in links:
            link.cut()
        client.conditions.to_server.clear()
        client.conditions.to_client.clear()

    links = links_of(world, client)
    world.loop.call_later(step.how["cut_after_ms"] / 1000, cut_links, links)
