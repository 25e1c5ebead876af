"""Two who wrote in turns give back what a server lost, each as soon as the other has."""

from __future__ import annotations

from roomlog.identity import Identity
from tests.client.model_server import ModelServer
from tests.client.simulated_client import SimulatedClient, settle

TURNS = 12


def without_time(*clients: SimulatedClient) -> None:
    """Deliver everything; nobody's pause ends meanwhile."""
    moved = True
    while moved:
        moved = False
        for client in clients:
            moved |= client.deliver_to_server()
            moved |= client.deliver_to_client()


def test_t22_who_wrote_in_turns_need_not_wait_for_each_other_at_every_turn() -> None:
    server = ModelServer()
    clients = [
        SimulatedClient(name, Identity.from_seed(name[:1].encode() * 32), server)
        for name in ("ada", "bob")
    ]
    for client in clients:
        client.connect()
    settle(*clients)
    for turn in range(TURNS):
        for client in clients:
            client.engine.replica.map("m")[client.name] = turn
            client.flush()
            settle(*clients)
    whole = [node.id for node in server.log]
    assert len(whole) == 2 * TURNS
    for client in clients:
        client.disconnect()
    # It is put back to its very beginning, without a proof: everybody may bring his own only.
    del server.log[1:]
    server.seqs = {server.log[0].id: 1}
    server.epoch = b"F" * 16
    for client in clients:
        client.connect()
    without_time(*clients)
    assert [node.id for node in server.log] == whole
    for client in clients:
        assert not len(client.engine.pending)
