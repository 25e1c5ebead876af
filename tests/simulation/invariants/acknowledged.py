"""What was acknowledged is in the store for ever, under the seq that was named."""

from __future__ import annotations

from typing import TYPE_CHECKING

from roomlog.protocol.codec import Codec, server_frames
from roomlog.protocol.messages import PackAck
from roomlog.store.interface import NODE_ID_BYTES
from tests.simulation.invariants.violation import Violation
from tests.simulation.network import BINARY, TEXT, Link

if TYPE_CHECKING:
    from tests.simulation.server_machine import ServerMachine
    from tests.simulation.world import World

MOST_ACK_BYTES = 256 * 1024


class Acknowledged:
    """By server and room, which node each epoch was said to have at which seq.

    Acknowledgements are read off the wire as they leave; what they name is compared with the store
    each time a server starts, and at the end.
    """

    def __init__(self, world: World) -> None:
        self._world = world
        self._said: dict[tuple[str, str], dict[int, bytes]] = {}
        self._read = {codec: server_frames(codec).read for codec in Codec}
        self.count = 0
        world.network.observers.append(self._look)

    def _look(self, link: Link, lane: str, opcode: int, payload: bytes) -> None:
        if lane != "to_client" or opcode not in (TEXT, BINARY) or b"pack-ack" not in payload[:64]:
            return
        server = self._world.network.servers[link.origin]
        hub = getattr(server, "hub", None)
        message = self._read[link.codec](payload)
        if hub is None or not isinstance(message, PackAck):
            return
        room = hub.registry.rooms.get(link.room_id)
        if room is None:
            raise Violation("acknowledged_unknown_room", f"{server.name} {link.room_id}")
        seqs = [seq for _, seq in message.duplicates]
        if message.to_seq:
            seqs += range(message.from_seq, message.to_seq + 1)
        said = self._said.setdefault((server.name, link.room_id), {})
        for seq in seqs:
            if seq > room.head_seq:
                raise Violation("acknowledged_before_stored", f"{server.name} seq {seq}")
            node_id = room.id_at(seq)
            if said.setdefault(seq, node_id) != node_id:
                raise Violation("seq_named_two_nodes", f"{server.name} seq {seq}")
            self.count += 1

    def put_back(self, server: ServerMachine) -> None:
        """Somebody replaced the server's files by older ones: what they lack is no promise."""
        for key in [key for key in self._said if key[0] == server.name]:
            del self._said[key]

    def check(self, server: ServerMachine) -> None:
        """Compare with what the open store of `server` has."""
        for (name, room_id), said in self._said.items():
            if name != server.name or not said:
                continue
            if server.store.open_room(room_id) is None:
                raise Violation("acknowledged_room_gone", f"{name} {room_id}")
            stored: list[bytes] = []
            for row in server.store.load_index(room_id):
                if row.from_seq != len(stored) + 1:
                    raise Violation("seq_gap", f"{name} {room_id}: {row.from_seq}")
                ids = row.ids
                stored += [ids[i : i + NODE_ID_BYTES] for i in range(0, len(ids), NODE_ID_BYTES)]
            if len(set(stored)) != len(stored):
                raise Violation("node_stored_twice", f"{name} {room_id}")
            for seq, node_id in said.items():
                if seq > len(stored) or stored[seq - 1] != node_id:
                    raise Violation(
                        "acknowledged_is_lost", f"{name} {room_id} seq {seq} {node_id.hex()[:12]}"
                    )
