"""Engine and session together over the model server: what is shared, refused, drafted, resumed."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from roomlog.client.changes import Change, ChangeKind, Origin
from roomlog.client.engine import Engine
from roomlog.client.errors import TransactionError
from roomlog.client.store_writes import CursorMoved, LineageAdopted, ReceivedPack, Rewritten
from roomlog.core.node import Node, NodeHasher
from roomlog.core.operation import MapSet
from roomlog.core.pack import decode_pack
from roomlog.core.replica import Replica
from roomlog.identity import Identity
from roomlog.protocol.client_events import CaughtUp, Opened
from roomlog.protocol.codec import Codec
from roomlog.protocol.messages import RejectedNode
from tests.client.model_server import ModelServer, refuse_nothing
from tests.client.simulated_client import SimulatedClient, settle

ADA = Identity.from_seed(b"a" * 32)
BOB = Identity.from_seed(b"b" * 32)


def written_keys(node: Node) -> list[str]:
    return [operation.key for operation in node.operations()]


def refusing(
    key: str, reject_class: str, detail: dict[str, object] | None = None
) -> Callable[[Node], RejectedNode | None]:
    def refuse(node: Node) -> RejectedNode | None:
        if key in written_keys(node):
            return RejectedNode(id=node.id, reject_class=reject_class, detail=detail or {})
        return None

    return refuse


def server_state(server: ModelServer) -> Replica:
    replica = Replica("demo", None, server.lineage)
    result = replica.add_nodes(server.log)
    assert not result.rejected
    assert not result.waiting
    return replica


def assert_agree(server: ModelServer, *clients: SimulatedClient) -> None:
    expected = server_state(server)
    for client in clients:
        assert not list(client.engine.pending), client.name
        assert client.engine.replica.state() == expected.state()
        assert client.engine.replica.state_hash() == expected.state_hash()
        assert client.engine.canonical() is client.engine.replica


@pytest.mark.parametrize("codec", list(Codec))
def test_two_clients_converge_live(codec: Codec) -> None:
    server = ModelServer()
    ada = SimulatedClient("ada", ADA, server, codec)
    bob = SimulatedClient("bob", BOB, server, codec)
    ada.connect()
    bob.connect()
    settle(ada, bob)
    ada.engine.replica.map("users")["ada"] = {"age": 36}
    ada.flush()
    bob.engine.replica.text("notes").insert(0, "hello")
    bob.engine.replica.list("todo").append("sign")
    bob.engine.replica.counter("votes").add(2)
    bob.flush()
    settle(ada, bob)
    assert ada.engine.replica.state() == {
        "maps": {"users/ada": {"age": 36}},
        "blobs": {},
        "counters": {"votes": 2},
        "lists": {"todo": ["sign"]},
        "texts": {"notes": "hello"},
    }
    assert_agree(server, ada, bob)
    assert ada.engine.cursor is not None
    assert ada.engine.cursor.seq == server.head


def test_two_drafts_of_a_room_that_nobody_has_met_become_one_room() -> None:
    server = ModelServer()
    ada = SimulatedClient("ada", ADA, server)
    bob = SimulatedClient("bob", BOB, server)
    for client in (ada, bob):
        for index in range(3):
            client.engine.replica.text("notes").insert(0, f"{client.name} {index} ")
            client.flush()
    ada.connect()
    bob.connect()
    settle(ada, bob)
    assert len(server.log) == 6
    assert "ada 2 ada 1 ada 0 " in str(ada.engine.replica.text("notes"))
    assert "bob 2 bob 1 bob 0 " in str(ada.engine.replica.text("notes"))
    assert not ada.engine.is_draft
    assert_agree(server, ada, bob)
    adopted = [write for write in ada.writes if isinstance(write, LineageAdopted)]
    assert [write.lineage for write in adopted] == [server.lineage]
    assert len(adopted[0].nodes) == 3


def test_an_edit_that_is_open_when_the_room_is_met_is_part_of_the_draft() -> None:
    server = ModelServer()
    ada = SimulatedClient("ada", ADA, server)
    ada.engine.replica.map("m")["k"] = 1
    ada.connect()
    settle(ada)
    assert server_state(server).state()["maps"] == {"m/k": 1}
    assert_agree(server, ada)


def test_an_anonymous_client_reads_a_room_it_had_no_draft_of() -> None:
    server = ModelServer()
    ada = SimulatedClient("ada", ADA, server)
    ada.engine.replica.map("m")["k"] = 1
    ada.flush()
    ada.connect()
    settle(ada)
    eve = SimulatedClient("eve", None, server)
    eve.connect()
    settle(eve)
    assert_agree(server, ada, eve)
    opened = eve.events_of(Opened)
    assert [event.is_proven for event in opened if isinstance(event, Opened)] == [True]


def test_what_was_pushed_but_never_acknowledged_is_found_in_the_log_again() -> None:
    server = ModelServer()
    ada = SimulatedClient("ada", ADA, server)
    ada.connect()
    settle(ada)
    ada.engine.replica.map("m")["k"] = 1
    ada.flush()
    while ada.deliver_to_server():
        pass
    assert server.head == 1
    ada.disconnect()
    assert len(ada.engine.pending) == 1
    ada.connect()
    settle(ada)
    assert server.head == 1
    assert_agree(server, ada)


def test_t57_one_key_on_two_devices_writes_into_one_room() -> None:
    server = ModelServer()
    desk = SimulatedClient("desk", ADA, server)
    phone = SimulatedClient("phone", ADA, server)
    for client in (desk, phone):
        client.engine.replica.map("m")["place"] = client.name
        client.engine.replica.text("notes").insert(0, client.name)
        client.flush()
        client.connect()
    settle(desk, phone)
    desk.engine.replica.counter("c").add(1)
    desk.flush()
    phone.engine.replica.counter("c").add(1)
    phone.flush()
    settle(desk, phone)
    assert desk.engine.replica.counter("c").value == 2
    assert_agree(server, desk, phone)


def test_t17_a_refused_write_is_rolled_back_and_reported() -> None:
    server = ModelServer(refuse=refusing("secret/k", "write_forbidden"))
    ada = SimulatedClient("ada", ADA, server)
    ada.connect()
    settle(ada)
    ada.engine.take_changes()
    ada.engine.replica.map("secret")["k"] = 1
    (refused_id,) = ada.flush()
    settle(ada)
    assert ada.engine.replica.state()["maps"] == {}
    assert [each.node_id for each in ada.rejections] == [refused_id]
    assert ada.rejections[0].reject_class == "write_forbidden"
    assert ada.rejections[0].operations == [MapSet("secret/k", 1)]
    assert ada.rejections[0].keys == ["secret/k"]
    assert ada.engine.take_changes()[-1] == Change(
        ChangeKind.MAP, "secret/k", Origin.ROLLBACK, frozenset({ADA.public_key})
    )
    assert server.head == 0
    assert_agree(server, ada)


def test_t17_own_writes_are_canonical_once_acknowledged() -> None:
    server = ModelServer()
    ada = SimulatedClient("ada", ADA, server)
    ada.connect()
    settle(ada)
    ada.engine.replica.map("m")["k"] = 1
    assert ada.engine.canonical().map("m").get("k") is None
    ada.flush()
    assert ada.engine.canonical().map("m").get("k") is None
    assert ada.engine.replica.map("m")["k"] == 1
    settle(ada)
    assert ada.engine.canonical().map("m").get("k") == 1
    ada.engine.replica.map("m")["k"] = 2
    ada.flush()
    assert ada.engine.canonical().map("m").get("k") == 1
    assert ada.engine.canonical() is ada.engine.canonical()


def test_t52_what_follows_a_refused_node_is_rebased_not_lost() -> None:
    server = ModelServer(refuse=refusing("secret/k", "write_forbidden"))
    ada = SimulatedClient("ada", ADA, server)
    bob = SimulatedClient("bob", BOB, server)
    ada.connect()
    bob.connect()
    settle(ada, bob)
    text = "a day of work"
    ada.engine.replica.map("secret")["k"] = 1
    ada.flush()
    for index, character in enumerate(text):
        ada.engine.replica.text("notes").insert(index, character)
        ada.flush()
    settle(ada, bob)
    assert str(bob.engine.replica.text("notes")) == text
    assert len(ada.rejections) == 1
    assert_agree(server, ada, bob)
    rewritten = [write for write in ada.writes if isinstance(write, Rewritten)]
    assert len(rewritten) == 1
    assert len(rewritten[0].removed) == 1 + len(text)
    assert len(rewritten[0].nodes) == len(text)


def test_t52_what_is_refused_together_with_its_ancestor_is_rebased_not_lost() -> None:
    server = ModelServer(refuse=refusing("secret/k", "write_forbidden"))
    ada = SimulatedClient("ada", ADA, server)
    # Written before the session began, so all of it goes up in one pack and has one answer.
    ada.engine.replica.map("secret")["k"] = 1
    ada.flush()
    for index, character in enumerate("a day"):
        ada.engine.replica.text("notes").insert(index, character)
        ada.flush()
    ada.connect()
    settle(ada)
    assert str(ada.engine.replica.text("notes")) == "a day"
    assert len(ada.rejections) == 1
    assert_agree(server, ada)


def test_t52_only_the_named_operations_of_a_refused_node_are_dropped() -> None:
    server = ModelServer(refuse=refusing("secret/k", "policy_violation", {"ops": [1]}))
    ada = SimulatedClient("ada", ADA, server)
    ada.connect()
    settle(ada)
    ada.engine.replica.map("m")["before"] = 1
    ada.engine.replica.map("secret")["k"] = 1
    ada.engine.replica.map("m")["after"] = 1
    (old_id,) = ada.flush()
    settle(ada)
    # An unknown class from a newer server is final: the whole node goes.
    assert ada.engine.replica.state()["maps"] == {}
    server.refuse = refusing("secret/k", "write_forbidden", {"ops": [1]})
    ada.engine.replica.map("m")["before"] = 1
    ada.engine.replica.map("secret")["k"] = 1
    ada.engine.replica.map("m")["after"] = 1
    (old_id,) = ada.flush()
    settle(ada)
    assert ada.engine.replica.state()["maps"] == {"m/before": 1, "m/after": 1}
    assert ada.rejections[-1].operation_indexes == (1,)
    new_id = ada.engine.successor(old_id)
    assert new_id is not None
    assert new_id != old_id
    assert new_id in server.seqs
    assert ada.engine.successor(new_id) == new_id
    assert ada.engine.successor(ada.rejections[0].node_id) is None
    assert_agree(server, ada)


def test_a_write_that_is_put_off_is_pushed_again_after_the_hint() -> None:
    server = ModelServer(refuse=refusing("m/k", "clock_ahead", {"retry_after_ms": 2_000}))
    ada = SimulatedClient("ada", ADA, server)
    ada.connect()
    settle(ada)
    ada.engine.replica.map("m")["k"] = 1
    ada.flush()
    ada.engine.replica.map("m")["later"] = 1
    ada.flush()
    for _ in range(20):
        ada.deliver_to_server()
        ada.deliver_to_client()
    assert ada.engine.paused_until_ms == ada.now_ms + 2_000
    assert ada.engine.take_unsent(ada.now_ms) == []
    assert len(ada.engine.pending) == 2
    assert ada.engine.put_off_class in ("clock_ahead", "parent_missing")
    assert server.head == 0
    server.refuse = refuse_nothing
    settle(ada)
    assert ada.engine.put_off_class == ""
    assert server.head == 2
    assert not ada.rejections
    assert_agree(server, ada)


def test_waits_grow_while_a_server_keeps_putting_off() -> None:
    server = ModelServer(refuse=refusing("m/k", "store_unavailable"))
    ada = SimulatedClient("ada", ADA, server)
    ada.connect()
    settle(ada)
    ada.engine.replica.map("m")["k"] = 1
    ada.flush()
    waits = []
    for _ in range(9):
        while ada.deliver_to_server() or ada.deliver_to_client():
            pass
        waits.append(ada.engine.paused_until_ms - ada.now_ms)
        ada.now_ms = ada.engine.paused_until_ms
        ada.pump()
    assert waits[:4] == [500, 1_000, 2_000, 4_000]
    assert waits[-1] == 30_000


def test_a_pause_is_over_when_the_clock_is_set_back_and_the_next_one_is_as_long_as_ever() -> None:
    server = ModelServer(refuse=refusing("m/k", "store_unavailable", {"retry_after_ms": 2_000}))
    ada = SimulatedClient("ada", ADA, server)
    ada.connect()
    settle(ada)
    ada.engine.replica.map("m")["k"] = 1
    ada.flush()
    while ada.deliver_to_server() or ada.deliver_to_client():
        pass
    assert ada.engine.take_unsent(ada.now_ms) == []
    ada.now_ms -= 9 * 24 * 3600 * 1000
    ada.pump()
    while ada.deliver_to_server() or ada.deliver_to_client():
        pass
    assert ada.engine.paused_until_ms == ada.now_ms + 2_000
    server.refuse = refuse_nothing
    settle(ada)
    assert server.head == 1


def test_own_nodes_that_the_server_lost_are_pushed_again() -> None:
    server = ModelServer()
    ada = SimulatedClient("ada", ADA, server)
    ada.connect()
    settle(ada)
    for index in range(4):
        ada.engine.replica.map("m")[str(index)] = index
        ada.flush()
    settle(ada)
    ada.disconnect()
    lost = server.log[1:]
    del server.log[1:]
    for node in lost:
        del server.seqs[node.id]
    server.epoch = b"F" * 16
    ada.engine.replica.map("m")["new"] = 1
    ada.flush()
    ada.connect()
    settle(ada)
    assert server_state(server).state()["maps"] == {
        "m/0": 0, "m/1": 1, "m/2": 2, "m/3": 3, "m/new": 1
    }  # fmt: skip
    assert_agree(server, ada)


def test_a_client_far_ahead_of_its_credit_gets_everything_across() -> None:
    server = ModelServer(credit_nodes=3)
    ada = SimulatedClient("ada", ADA, server)
    ada.connect()
    settle(ada)
    for index in range(50):
        ada.engine.replica.counter("c").add(index + 1)
        ada.flush()
    settle(ada)
    assert server.head == 50
    assert_agree(server, ada)


def test_the_frontier_of_a_hello_never_names_pending_nodes() -> None:
    server = ModelServer()
    ada = SimulatedClient("ada", ADA, server)
    bob = SimulatedClient("bob", BOB, server)
    ada.connect()
    bob.connect()
    settle(ada, bob)
    ada.engine.replica.map("m")["a"] = 1
    ada.flush()
    bob.engine.replica.map("m")["b"] = 1
    bob.flush()
    settle(ada, bob)
    ada.disconnect()
    for index in range(3):
        ada.engine.replica.map("m")[f"offline {index}"] = 1
        ada.flush()
    assert ada.engine.admitted_frontier() == server.frontier()
    assert len(server.frontier()) == 2
    backlog = ada.engine.backlog
    assert backlog is not None
    assert backlog.nodes == 3
    ada.engine.cursor = None
    ada.connect()
    settle(ada, bob)
    assert_agree(server, ada, bob)


def test_a_server_that_sends_bad_nodes_is_left_and_nothing_counts_as_read() -> None:
    server = ModelServer()
    ada = SimulatedClient("ada", ADA, server)
    ada.engine.replica.map("m")["k"] = 1
    ada.flush()
    ada.connect()
    settle(ada)
    node = server.log[0]
    forged = Node(
        node.id, node.author, node.clock, node.kind, node.parents, node.body_hash, node.body,
        bytes(64),
    )  # fmt: skip
    server.log[0] = forged
    bob = SimulatedClient("bob", BOB, server)
    bob.connect()
    settle(ada, bob)
    assert [str(fault) for fault in bob.faults]
    assert bob.engine.replica.state()["maps"] == {}
    assert bob.engine.cursor is None
    assert bob.session is None
    server.log[0] = node
    bob.connect()
    settle(ada, bob)
    assert_agree(server, ada, bob)


def test_t2_what_is_stored_of_a_pack_are_the_nodes_that_were_good() -> None:
    server = ModelServer()
    ada = SimulatedClient("ada", ADA, server)
    ada.connect()
    settle(ada)
    for key in ("good", "forged", "on forged"):
        ada.engine.replica.map("m")[key] = 1
        ada.flush()
    settle(ada)
    forged = server.log[1]
    server.log[1] = Node(
        forged.id, forged.author, forged.clock, forged.kind, forged.parents, forged.body_hash,
        forged.body, bytes(64),
    )  # fmt: skip
    bob = SimulatedClient("bob", BOB, server)
    bob.connect()
    settle(bob)
    assert bob.engine.replica.state()["maps"] == {"m/good": 1}
    packs = [write.pack for write in bob.writes if isinstance(write, ReceivedPack)]
    stored = [node for pack in packs for node in decode_pack(pack, NodeHasher(server.lineage))]
    assert [node.id for node in stored] == [server.log[0].id]
    assert stored[0].signature == server.log[0].signature


def test_a_log_that_lacks_parents_is_a_fault_and_the_cursor_is_given_up() -> None:
    server = ModelServer()
    ada = SimulatedClient("ada", ADA, server)
    for index in range(2):
        ada.engine.replica.map("m")["k"] = index
        ada.flush()
    ada.connect()
    settle(ada)
    whole = list(server.log)
    server.log[:] = whole[1:]
    server.seqs = {whole[1].id: 1}
    bob = SimulatedClient("bob", BOB, server)
    bob.connect()
    settle(bob)
    assert len(bob.faults) == 1
    # What waited for a parent that may never come must not hold up the next session.
    assert bob.engine.held_count == 0
    assert isinstance(bob.writes[-1], CursorMoved)
    assert bob.writes[-1].cursor is None


def test_transactions_make_one_node_and_roll_back_whole() -> None:
    engine = Engine("demo", ADA, b"d" * 32, is_draft=True)
    engine.replica.map("m")["before"] = 1
    engine.begin_transaction(1_000)
    with pytest.raises(TransactionError):
        engine.begin_transaction(1_000)
    engine.replica.map("m")["a"] = 1
    engine.replica.counter("c").add(1)
    ids = engine.end_transaction(1_001, keep=True)
    assert len(ids) == 1
    assert len(engine.replica.node(ids[0]).operations()) == 2
    engine.begin_transaction(1_002)
    engine.replica.map("m")["a"] = 2
    del engine.replica.map("m")["before"]
    assert engine.end_transaction(1_003, keep=False) == []
    assert engine.replica.state()["maps"] == {"m/before": 1, "m/a": 1}
    assert len(engine.pending) == 2


ACTIONS = st.one_of(
    st.tuples(st.just("edit"), st.integers(0, 2), st.integers(0, 5)),
    st.tuples(st.just("flush"), st.integers(0, 2), st.just(0)),
    st.tuples(st.just("connect"), st.integers(0, 2), st.just(0)),
    st.tuples(st.just("disconnect"), st.integers(0, 2), st.just(0)),
    st.tuples(st.just("up"), st.integers(0, 2), st.integers(1, 4)),
    st.tuples(st.just("down"), st.integers(0, 2), st.integers(1, 4)),
    st.tuples(st.just("epoch"), st.just(0), st.just(0)),
)


def edit(client: SimulatedClient, what: int) -> None:
    replica = client.engine.replica
    text = replica.text("notes")
    if what == 0:
        text.insert(len(text), client.name)
    elif what == 1:
        text.insert(0, client.name[0])
    elif what == 2 and len(text) > 2:
        text.delete(1, 2)
    elif what == 3:
        replica.map("m")["k"] = client.name
    elif what == 4:
        replica.list("todo").append(client.name)
    else:
        replica.map("forbidden")[client.name] = 1


@settings(max_examples=60, deadline=None)
@given(st.lists(ACTIONS, max_size=60), st.booleans(), st.sampled_from([1, 3, 4096]))
def test_any_order_of_work_loss_and_refusal_ends_in_agreement(
    actions: list[tuple[str, int, int]], names_operations: bool, credit_nodes: int
) -> None:
    def refuse(node: Node) -> RejectedNode | None:
        bad = [
            index
            for index, operation in enumerate(node.operations())
            if operation.key.startswith("forbidden")
        ]
        if not bad:
            return None
        detail: dict[str, object] = {"ops": bad} if names_operations else {}
        return RejectedNode(id=node.id, reject_class="write_forbidden", detail=detail)

    server = ModelServer(refuse=refuse, credit_nodes=credit_nodes, page_nodes=2)
    clients = [
        SimulatedClient("ada", ADA, server),
        SimulatedClient("bob", BOB, server, Codec.JSON),
        SimulatedClient("phone", ADA, server),
    ]
    epochs = 0
    for action, index, amount in actions:
        client = clients[index]
        if action == "edit":
            edit(client, amount)
        elif action == "flush":
            client.flush()
        elif action == "connect":
            client.connect()
            client.pump()
        elif action == "disconnect":
            client.disconnect()
        elif action == "epoch":
            epochs += 1
            for each in clients:
                each.disconnect()
            server.epoch = bytes([epochs]) * 16
        else:
            for _ in range(amount):
                if action == "up":
                    client.deliver_to_server()
                else:
                    client.deliver_to_client()
    for client in clients:
        client.flush()
        client.connect()
        client.pump()
    settle(*clients)
    assert not any(client.faults for client in clients)
    assert not any("forbidden" in key for node in server.log for key in written_keys(node))
    assert all(client.events_of(CaughtUp) or client.session for client in clients)
    assert_agree(server, *clients)


def test_t22_a_node_whose_ack_ran_ahead_of_the_relay_is_pushed_again_when_it_was_lost() -> None:
    server = ModelServer()
    ada = SimulatedClient("ada", ADA, server)
    bob = SimulatedClient("bob", BOB, server)
    for client in (ada, bob):
        client.connect()
    ada.engine.replica.map("m")["first"] = 1
    ada.flush()
    settle(ada, bob)
    cursor = ada.engine.cursor
    assert cursor is not None
    bob.engine.replica.map("m")["bob"] = 1
    bob.flush()
    while bob.deliver_to_server():
        pass
    # The relay of Bob's node is lost on the wire; the ack of Ada's own behind it arrives.
    ada.engine.replica.map("m")["ada"] = 1
    (node_id,) = ada.flush()
    while ada.deliver_to_server():
        pass
    assert ada.peer is not None
    del ada.peer.outgoing[0]
    while ada.deliver_to_client():
        pass
    assert ada.engine.log.places.id_at(cursor.seq + 2) == node_id
    assert not len(ada.engine.pending)
    ada.disconnect()
    bob.disconnect()
    for node in server.log[1:]:
        del server.seqs[node.id]
    del server.log[1:]
    # The cursor still fits this shorter log to the last node, and nothing is to be caught up.
    assert ada.engine.cursor == cursor
    ada.connect()
    settle(ada)
    assert [event.catch_up for event in ada.events if isinstance(event, Opened)][-1] == "none"
    assert node_id in server.seqs
    bob.connect()
    settle(ada, bob)
    assert_agree(server, ada, bob)
    assert server_state(server).state()["maps"] == {"m/ada": 1, "m/bob": 1, "m/first": 1}


@pytest.mark.parametrize("is_asked", [True, False])
def test_t22_a_reader_pushes_nothing_back(is_asked: bool) -> None:
    server = ModelServer()
    ada = SimulatedClient("ada", ADA, server)
    eve = SimulatedClient("eve", None, server)
    ada.connect()
    settle(ada)
    for index in range(3):
        ada.engine.replica.map("m")[str(index)] = index
        ada.flush()
    eve.connect()
    settle(ada, eve)
    eve.disconnect()
    for node in server.log[1:]:
        del server.seqs[node.id]
    del server.log[1:]
    server.epoch = b"F" * 16
    eve.connect()
    if is_asked:
        eve.engine.missing_asked()
    settle(eve)
    assert len(server.log) == 1
    assert not len(eve.engine.pending)
    assert not len(eve.engine.log.push_back)
