"""Engines with their stores crash at every step: nothing durable is lost, nothing refused stays."""

from __future__ import annotations

import shutil
from typing import Any

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from roomlog.core.node import Node
from roomlog.core.replica import Replica
from roomlog.identity import Identity
from roomlog.protocol.codec import Codec
from roomlog.protocol.messages import RejectedNode
from tests.client.model_server import ModelServer
from tests.client.stored_client import MARKS, StoredClient, marks_of
from tests.oracle.handle_edits import Edit, edits, perform
from tests.state_machines import machine_test, scratch_directory

picks = st.integers(0, 2)
frames = st.sampled_from([1, 1, 2, 5, 100])


class StoredEngineMachine(RuleBasedStateMachine):
    """Three clients, two of them of one key, with a server that refuses and forgets."""

    def __init__(self) -> None:
        super().__init__()
        self.path = scratch_directory()
        self.server = ModelServer(refuse=self.refuse)
        self.clients: list[StoredClient] = []
        self.is_full = False
        self.names_operations = False
        self.epochs = 0

    def teardown(self) -> None:
        for client in self.clients:
            client.close()
        shutil.rmtree(self.path)

    @initialize(
        credit_nodes=st.sampled_from([1, 3, 4096]),
        names_operations=st.booleans(),
        codec=st.sampled_from(Codec),
        is_met=st.sampled_from([True, True, False]),
    )
    def begin(self, credit_nodes: int, names_operations: bool, codec: Codec, is_met: bool) -> None:
        self.names_operations = names_operations
        self.server.credit_nodes = credit_nodes
        self.server.page_nodes = 2
        for name in ("ada", "bob", "phone"):
            identity = Identity.from_seed((b"b" if name == "bob" else b"a") * 32)
            path = self.path / f"{name}.sqlite3"
            self.clients.append(StoredClient(name, identity, self.server, path, codec))
        if is_met:
            for client in self.clients:
                client.mark("good")
            self.settle()

    def refuse(self, node: Node) -> RejectedNode | None:
        """What is forbidden never comes in; when the store is full, nothing does for a while."""
        bad = [
            index
            for index, operation in enumerate(node.operations())
            if operation.key.startswith(f"{MARKS}/bad")
        ]
        if bad:
            detail: dict[str, Any] = {"ops": bad} if self.names_operations else {}
            return RejectedNode(id=node.id, reject_class="write_forbidden", detail=detail)
        if self.is_full:
            return RejectedNode(id=node.id, reject_class="store_unavailable")
        return None

    # What an application does

    @rule(
        who=picks,
        data=st.data(),
        count=st.integers(0, 2),
        prefix=st.sampled_from(["good", "good", "good", "bad"]),
        is_flushed=st.sampled_from([True, True, False]),
    )
    def write(
        self, who: int, data: st.DataObject, count: int, prefix: str, is_flushed: bool
    ) -> None:
        client = self.clients[who]
        client.mark(prefix)
        for _ in range(count):
            edit: Edit = data.draw(edits())
            perform(client.engine.replica, edit)
        if is_flushed:
            client.flush()

    @rule(prefix=st.sampled_from(["good", "good", "bad"]), rounds=st.integers(0, 3))
    def everybody_writes(self, prefix: str, rounds: int) -> None:
        for client in self.clients:
            client.mark(prefix)
            client.flush()
        self.everything_moves(rounds)

    @rule(who=picks)
    def connect(self, who: int) -> None:
        self.clients[who].connect()
        self.clients[who].pump()

    @rule(who=picks)
    def disconnect(self, who: int) -> None:
        self.clients[who].disconnect()

    # What the world does

    @rule(who=picks, count=frames)
    def deliver_up(self, who: int, count: int) -> None:
        for _ in range(count):
            self.clients[who].deliver_to_server()

    @rule(who=picks, count=frames)
    def deliver_down(self, who: int, count: int) -> None:
        for _ in range(count):
            self.clients[who].deliver_to_client()

    @rule(who=picks)
    def send_before_the_disk_has_it(self, who: int) -> None:
        self.clients[who].mark("good")
        self.clients[who].flush()
        self.deliver_up(who, 100)

    @rule(who=picks)
    def write_to_disk(self, who: int) -> None:
        self.clients[who].write_to_disk()

    @rule(rounds=st.integers(1, 8))
    def everything_moves(self, rounds: int) -> None:
        for _ in range(rounds):
            for client in self.clients:
                client.connect()
                client.pump()
                client.write_to_disk()
                client.deliver_to_server()
                client.deliver_to_client()

    @rule(who=picks)
    def crash(self, who: int) -> None:
        client = self.clients[who]
        client.crash()
        replica = Replica("demo", None, client.document.lineage)
        replica.add_nodes(client.store.document.nodes, verify=False)
        assert client.engine.replica.state() == replica.state()
        assert list(client.engine.pending) == client.store.document.pending
        assert client.engine.cursor == client.document.cursor

    @rule()
    def fill_or_empty_the_disk_of_the_server(self) -> None:
        self.is_full = not self.is_full

    @rule(lost=st.sampled_from([0, 1, 1, 2, 3, 8]), is_new_epoch=st.booleans())
    def restore_the_server(self, lost: int, is_new_epoch: bool) -> None:
        """An older copy of its log, and every socket is gone."""
        for client in self.clients:
            client.disconnect()
        kept = len(self.server.log) - min(lost, len(self.server.log))
        for node in self.server.log[kept:]:
            del self.server.seqs[node.id]
        del self.server.log[kept:]
        if is_new_epoch:
            self.epochs += 1
            self.server.epoch = bytes([self.epochs]) * 16

    # What holds

    @invariant()
    def only_what_is_durable_was_pushed(self) -> None:
        durable = set().union(*(client.durable_marks for client in self.clients))
        for node in self.server.log:
            assert durable.issuperset(marks_of(node))

    @invariant()
    def pending_nodes_keep_the_order_in_which_they_were_written(self) -> None:
        for client in self.clients:
            pending = client.engine.pending
            marks = [
                mark
                for node_id in pending
                for mark in marks_of(client.engine.replica.node(node_id))
                if f"-{client.name}-" in mark
            ]
            assert marks == sorted(marks, key=lambda mark: mark[-4:])
            assert {node_id in client.engine.replica for node_id in pending} <= {True}

    @rule()
    def settle(self) -> None:
        """Everybody comes, the disk keeps up: all agree, and every promise was kept."""
        self.is_full = False
        for client in self.clients:
            client.flush()
            client.connect()
            client.pump()
        for _ in range(2_000):
            moved = False
            for client in self.clients:
                moved |= client.write_to_disk()
                moved |= client.deliver_to_server()
                moved |= client.deliver_to_client()
            if not moved:
                for client in self.clients:
                    client.now_ms += 97_000
                    client.pump()
                if not any(self.is_busy(client) for client in self.clients):
                    break
        else:
            raise AssertionError("they never come to rest")
        room = Replica("demo", None, self.server.lineage)
        result = room.add_nodes(self.server.log)
        assert not result.rejected
        assert not result.waiting
        here = set(room.map(MARKS))
        for client in self.clients:
            assert not client.faults
            assert not len(client.engine.pending)
            assert client.engine.replica.state_hash() == room.state_hash()
            kept = {mark for mark in client.durable_marks if mark.startswith("good")}
            if self.names_operations:
                assert kept <= here
            refused = {mark for each in client.document.rejections for mark in marks_of(each.node)}
            assert client.durable_marks <= here | refused
        assert not any(mark.startswith("bad") for mark in here)

    def is_busy(self, client: StoredClient) -> bool:
        has_frames = client.peer is not None and bool(client.peer.outgoing)
        return bool(client.to_server or has_frames or client.store.queued_bytes)


TestEnginesKeepWhatWasDurable = machine_test(StoredEngineMachine, steps=40)
