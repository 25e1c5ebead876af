from __future__ import annotations

from random import Random

from roomlog.core.crdt.text.history import DELETE, INSERT, Entry, TextHistory
from tests.oracle.histories import random_graph


def test_the_difference_of_two_versions_is_that_of_their_histories_as_sets() -> None:
    for seed in range(150):
        random = Random(seed)
        graph = random_graph(random, random.choice([2, 10, 30]), 4)
        history = TextHistory()
        entries: list[Entry] = []
        for node in graph.nodes:
            entry = history.open([entries[parent] for parent in node.parents])
            entry.append(INSERT, 0, 1, 0)
            history.next_version += 1
            entries.append(entry)
        for _ in range(10):
            left = random.sample(range(len(entries)), random.randint(0, min(3, len(entries))))
            right = random.sample(range(len(entries)), random.randint(0, min(3, len(entries))))
            in_left = frozenset().union(*(graph.histories[index] for index in left))
            in_right = frozenset().union(*(graph.histories[index] for index in right))
            only_left: list[Entry] = []
            only_right = history.difference(
                [entries[index] for index in left], [entries[index] for index in right], only_left
            )
            assert [entries.index(entry) for entry in only_left] == sorted(
                in_left - in_right, reverse=True
            )
            assert [entries.index(entry) for entry in only_right] == sorted(
                in_right - in_left, reverse=True
            )


def test_nodes_are_found_by_handle_and_by_local_version() -> None:
    for seed in range(50):
        random = Random(seed)
        handles = sorted(random.sample(range(300), 60))
        if seed % 2:
            random.shuffle(handles)
        history = TextHistory()
        ends: dict[int, int] = {}
        owners: list[int] = []
        for handle in handles:
            size = random.choice([1, 1, 1, 3])
            history.note_node(handle, len(owners), size)
            owners += [handle] * size
            ends[handle] = len(owners)
        for handle in range(-1, 301):
            assert history.end_of(handle) == ends.get(handle, -1)
        for version, owner in enumerate(owners):
            assert history.node_at(version) == owner
            boundary = max([0, *(end for end in ends.values() if end <= version)])
            assert history.node_boundary(version) == boundary
        assert history.node_boundary(len(owners)) == len(owners)


def test_a_run_cut_at_any_node_keeps_every_characters_place() -> None:
    # Typed, then deleted forwards, then backwards in steps of several characters.
    edits = [(INSERT, at, 1) for at in range(10)] + [(DELETE, 2, 1), (DELETE, 2, 1)]
    edits += [(DELETE, 7, 1), (DELETE, 5, 2), (DELETE, 4, 1)]
    for cut in range(1, len(edits)):
        history = TextHistory()
        entry = history.open([])
        length = 0
        versions = 0
        boundaries = [0]
        for kind, position, size in edits:
            entry.append(kind, position, size, length)
            length += size if kind == INSERT else -size
            versions += size
            boundaries.append(versions)
        assert [op.length for op in entry.ops] == [10, 2, 4]
        assert entry.length_after() == length == 4
        front = history.split(0, boundaries[cut])
        assert history.entries == [front, entry]
        assert entry.parents == [front]
        assert (front.end, entry.end) == (boundaries[cut], versions)
        letters = list(range(10))
        replayed: list[int] = []
        straight: list[int] = []
        for part, part_edits in ((front, edits[:cut]), (entry, edits[cut:])):
            for op in part.ops:
                assert op.length_before == len(replayed)
                end = op.position + op.length
                if op.kind == INSERT:
                    replayed[op.position : op.position] = letters[op.position : end]
                else:
                    del replayed[op.position : end]
            for kind, position, size in part_edits:
                if kind == INSERT:
                    straight[position:position] = letters[position : position + size]
                else:
                    del straight[position : position + size]
            # Equal at the cut too: that is where a fork begins.
            assert replayed == straight
