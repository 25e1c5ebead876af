"""All promises together, and when each is looked at."""

from __future__ import annotations

from typing import TYPE_CHECKING

from roomlog.client.status import Phase
from roomlog.store.verification import FaultFound, verify_room
from tests.simulation.hostile.end import check_nothing_forbidden
from tests.simulation.invariants import bounds
from tests.simulation.invariants.acknowledged import Acknowledged
from tests.simulation.invariants.agreement import Agreement, disagreement
from tests.simulation.invariants.blame import check_endings
from tests.simulation.invariants.violation import Violation
from tests.simulation.invariants.writing import Writing

if TYPE_CHECKING:
    from tests.simulation.client_machine import ClientMachine
    from tests.simulation.server_machine import ServerMachine
    from tests.simulation.world import World


class Invariants:
    """Looks at a world from outside; nothing it does changes the run."""

    def __init__(self, world: World) -> None:
        self._world = world
        self.acknowledged = Acknowledged(world)
        self.agreement = Agreement()
        self.writing = Writing()
        world.invariants = self

    def look(self) -> None:
        """After a step of the plan, and now and then between: everything that can be had cheaply.

        Raises `Violation`.
        """
        self.faults()
        check_nothing_forbidden(self._world)
        for server in self._world.servers.values():
            if server.is_running:
                bounds.check_server(server)
        for client in self._world.clients.values():
            if client.document is not None:
                bounds.check_client(client)
                self.writing.check(client)
                self.agreement.look(client)

    def faults(self) -> None:
        """Nothing failed in a way that nobody had thought of, and nobody was blamed for it."""
        check_endings(self._world)
        for context in self._world.loop.faults:
            if isinstance(context.get("exception"), Violation):
                raise context["exception"]
            raise Violation(
                "nobody_took_it", f"{context.get('message')} {context.get('exception')!r}"
            )
        for server in self._world.servers.values():
            for fault in server.log.faults:
                raise Violation("server_fault", f"{server.name}: {fault!r}") from fault
        for client in self._world.clients.values():
            document = client.document
            if document is None:
                continue
            task = document._task
            if task is not None and task.done() and not task.cancelled() and task.exception():
                raise Violation("client_fault", f"{client.name}: {task.exception()!r}")
            status = document.status
            if status.phase is Phase.STOPPED and type(status.problem).__module__ == "builtins":
                raise Violation("client_fault", f"{client.name}: {status.problem!r}")

    def server_started(self, server: ServerMachine) -> None:
        """A server has opened its store again."""
        self.acknowledged.check(server)

    def disagreements(self, server: ServerMachine, clients: list[ClientMachine]) -> list[str]:
        """Why those clients do not agree with each other and their server yet; [] when they do."""
        logs = {}
        found = []
        for client in clients:
            if client.room_id not in logs:
                if server.store.open_room(client.room_id) is None:
                    found.append(f"{client.name}: there is no room {client.room_id}")
                    continue
                logs[client.room_id], _ = self.agreement.look_at_log(server, client.room_id)
            why = disagreement(client, logs[client.room_id])
            if why:
                found.append(f"{client.name} {why}")
        return found

    def at_end(self, server: ServerMachine) -> None:
        """Every log is whole, and nothing that was promised is missing. Raises `Violation`."""
        self.look()
        self.acknowledged.check(server)
        for room in server.store.rooms():
            try:
                verify_room(server.store, room, on_signed=lambda _: None)
            except FaultFound as found:
                fault = found.fault
                raise Violation(
                    "log_is_not_whole", f"{server.name} {room.room_id} seq {fault.seq}: {found}"
                ) from found
            self.agreement.look_at_log(server, room.room_id)
