"""No refused write stays visible, and no accepted one vanishes."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.simulation.invariants.violation import Violation

if TYPE_CHECKING:
    from tests.simulation.client_machine import ClientMachine
    from tests.simulation.loop import Life


class Writing:
    """Follows what each life of each client has been told about its writes.

    `wrote` tells of a key that is set once and never again: as long as its writer lives it is
    visible to it, until a refusal names it.
    """

    def __init__(self) -> None:
        self._kept: dict[tuple[str, str], tuple[Life, str, str]] = {}
        self._admitted: dict[Life, tuple[bytes, set[bytes]]] = {}

    def wrote(self, client: ClientMachine, prefix: str, key: str) -> None:
        """`client` has just set `key` of `doc.map(prefix)`; nobody ever writes that key again."""
        assert client.life is not None
        self._kept[prefix, key] = (client.life, prefix, key)

    def check(self, client: ClientMachine) -> None:
        """Look at one client as it is now."""
        document = client.document
        if document is None or client.life is None:
            return
        engine = document._engine
        graph = engine.replica.graph
        rejections = document.rejections()
        refused = {rejection.node_id for rejection in rejections}
        for node_id in () if client.was_lied_to else refused:
            if graph.index_of(node_id) >= 0:
                raise Violation("refused_is_visible", f"{client.name} {node_id.hex()[:12]}")
        self._check_admitted(client)
        taken_back = {key for rejection in rejections for key in rejection.keys}
        for life, prefix, key in self._kept.values():
            if life is not client.life or f"{prefix}/{key}" in taken_back:
                continue
            if engine.replica.map(prefix).get(key) is None:
                raise Violation("own_write_vanished", f"{client.name} {prefix}/{key}")

    def _check_admitted(self, client: ClientMachine) -> None:
        document, life = client.document, client.life
        assert document is not None
        assert life is not None
        engine = document._engine
        replica = engine.replica
        if engine.is_draft or replica.is_partial or replica.base_seq:
            self._admitted.pop(life, None)
            return
        admitted = {node.id for node in replica.nodes() if node.id not in engine.pending}
        lineage, before = self._admitted.get(life, (replica.lineage, set()))
        gone = before - admitted
        # A server that lost its log gets them back: they are pending again, and still visible.
        gone = {node_id for node_id in gone if replica.graph.index_of(node_id) < 0}
        if lineage == replica.lineage and gone:
            raise Violation("accepted_vanished", f"{client.name} {next(iter(gone)).hex()[:12]}")
        self._admitted[life] = (replica.lineage, admitted)
