"""Every way of feeding a history gives the text of the naive implementation.

ROOMLOG_HISTORIES sets how many generated histories are tried (each in five arrival orders).
"""

from __future__ import annotations

import os
from random import Random

import pytest

from tests.core.crdt.text.text_runs import Feeder
from tests.oracle.histories import (
    Graph,
    TextHistory,
    arrival_order,
    random_graph,
    text_history,
    wide_graph,
)

HISTORIES = int(os.environ.get("ROOMLOG_HISTORIES", "1200"))
ORDERS = 5
BLOCKS = 8


def make_history(seed: int) -> tuple[TextHistory, Random]:
    random = Random(seed)
    if seed % 400 == 399:
        graph = wide_graph(random, 65)
    elif seed % 100 == 50:
        graph = random_graph(random, 150, 5)
    else:
        graph = random_graph(random, random.choice([1, 3, 8, 20, 40]), random.choice([3, 4, 5]))
    return text_history(random, graph), random


@pytest.mark.parametrize("block", range(BLOCKS))
def test_every_arrival_order_and_mixture_gives_the_text_of_the_naive_oracle(block: int) -> None:
    tried = 0
    same_place = 0
    invalid = 0
    for seed in range(block, HISTORIES, BLOCKS):
        history, random = make_history(seed)
        tried += 1
        same_place += history.same_place > 0
        invalid += history.invalid_edits > 0
        for turn in range(ORDERS):
            order = arrival_order(random, history.graph)
            feeder = Feeder(history, random, random.choice([1, 10, 200_000]))
            if turn % 2:
                feeder.one_by_one(order)
            else:
                feeder.mixed(order)
            assert str(feeder.document) == history.text, f"seed {seed}, turn {turn}"
            assert len(feeder.document) == len(history.text)
    print(f"{tried} histories, {same_place} with same-place collisions, {invalid} with misses")
    # Without these the test would prove little.
    assert same_place * 5 >= tried
    assert invalid * 5 >= tried


def test_a_whole_history_as_one_batch_gives_the_text_of_the_naive_oracle() -> None:
    for seed in range(50_000, 50_000 + max(100, HISTORIES // 10)):
        history, random = make_history(seed)
        feeder = Feeder(history, random)
        order = arrival_order(random, history.graph)
        feeder.document.add_nodes([feeder.node(index) for index in order])
        assert str(feeder.document) == history.text, f"seed {seed}"


def test_t57_one_key_on_two_devices_gives_one_text_in_every_order() -> None:
    collided = 0
    for seed in range(200):
        random = Random(seed)
        graph = Graph()
        first = graph.add(0, 0, frozenset())
        # One author on two devices, both writing on the same version, both many times.
        views = {0: frozenset({first}), 1: frozenset({first})}
        for _ in range(12):
            device = random.randrange(2)
            if random.random() < 0.2:
                views[device] |= views[1 - device]
            views[device] |= {graph.add(0, device, views[device])}
        history = text_history(random, graph)
        collided += history.same_place > 0
        for _ in range(ORDERS):
            feeder = Feeder(history, random)
            feeder.mixed(arrival_order(random, graph))
            assert str(feeder.document) == history.text, f"seed {seed}"
    assert collided > 50
