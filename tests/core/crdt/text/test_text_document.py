from __future__ import annotations

from collections.abc import Sequence
from itertools import permutations
from random import Random

import pytest

from roomlog.core.crdt.text import TextDocument, TextEdit
from tests.core.crdt.text.text_runs import apply_effects

Node = tuple[int, Sequence[int], Sequence[TextEdit]]


def key(node: int) -> bytes:
    return node.to_bytes(8, "big")


def insert(position: int, text: str) -> TextEdit:
    return TextEdit(position, 0, text)


def delete(position: int, length: int) -> TextEdit:
    return TextEdit(position, length, "")


def orders(nodes: Sequence[Node], keys: dict[int, bytes]) -> set[str]:
    """The texts that all arrival orders, one by one and as a batch, end with."""
    texts = set()
    for order in permutations(nodes):
        handles: dict[int, int] = {}
        if any(
            parent not in {node for node, _, _ in order[:at]}
            for at, (_, parents, _) in enumerate(order)
            for parent in parents
        ):
            continue
        for node, _, _ in order:
            handles[node] = len(handles)
        by_handle = {handle: keys[node] for node, handle in handles.items()}
        arrived = [
            (handles[node], [handles[parent] for parent in parents], edits)
            for node, parents, edits in order
        ]
        single = TextDocument(by_handle.__getitem__)
        for node in arrived:
            single.add_node(*node)
        batch = TextDocument(by_handle.__getitem__)
        batch.add_nodes(arrived)
        texts |= {str(single), str(batch)}
    return texts


# Local edits


def test_local_edits_read_back_and_become_nodes_that_others_can_build_on() -> None:
    document = TextDocument(key)
    document.insert(3, 0, "hello")
    document.insert(3, 5, " world")
    document.delete(7, 0, 1)
    document.insert(7, 0, "H")
    assert str(document) == "Hello world"
    assert len(document) == 11
    # Concurrent with node 7, on top of node 3.
    assert document.add_node(8, [3], [insert(11, "!"), delete(0, 5)]) == [
        insert(11, "!"),
        delete(1, 4),
    ]
    assert str(document) == "H world!"
    document.insert(9, 8, "?")
    assert document.add_node(12, [9], [insert(0, ">")]) == [insert(0, ">")]
    assert str(document) == ">H world!?"


def test_slices_are_cut_as_those_of_strings() -> None:
    document = TextDocument(key)
    document.insert(0, 0, "abcdef")
    for start, stop in [(0, 6), (2, 4), (4, 2), (-3, -1), (0, 99), (9, 12), (3, 3)]:
        assert document.slice(start, stop) == "abcdef"[start:stop]


@pytest.mark.parametrize(("position", "length"), [(-1, 1), (0, 4), (3, 1), (4, 0), (1, -1)])
def test_a_local_edit_outside_the_text_raises_and_changes_nothing(
    position: int, length: int
) -> None:
    document = TextDocument(key)
    document.insert(0, 0, "abc")
    with pytest.raises(IndexError):
        document.delete(1, position, length)
    if not 0 <= position <= 3:
        with pytest.raises(IndexError):
            document.insert(1, position, "x")
    assert str(document) == "abc"
    document.insert(1, 3, "d")
    assert str(document) == "abcd"


def test_an_empty_local_edit_raises_and_changes_nothing() -> None:
    document = TextDocument(key)
    with pytest.raises(ValueError, match="nothing to insert"):
        document.insert(0, 0, "")
    with pytest.raises(ValueError, match="nothing to delete"):
        document.delete(0, 0, 0)
    document.insert(0, 0, "a")
    assert str(document) == "a"


def test_a_node_takes_no_more_local_edits_once_another_node_has_come() -> None:
    document = TextDocument(key)
    document.insert(0, 0, "a")
    document.add_node(1, [0], [insert(1, "b")])
    with pytest.raises(ValueError, match="node 0 comes after node 1"):
        document.insert(0, 0, "x")
    assert str(document) == "ab"


def test_a_batch_on_top_of_a_local_node_ends_it() -> None:
    for size in (2, 6):
        document = TextDocument(key)
        document.insert(0, 0, "a")
        document.add_nodes([(1 + at, [at], [insert(1, "b")]) for at in range(size)])
        assert str(document) == "a" + "b" * size
        with pytest.raises(ValueError, match="comes after"):
            document.insert(0, 0, "x")


def test_a_local_node_is_a_child_of_all_heads() -> None:
    document = TextDocument(key)
    document.insert(0, 0, "m")
    document.add_node(1, [0], [insert(0, "l")])
    document.add_node(2, [0], [insert(1, "r")])
    document.insert(3, 3, "!")
    assert document.add_node(4, [3], [delete(0, 4)]) == [delete(0, 4)]
    # Somebody who has seen nodes 1 and 2, but not 3.
    document.add_node(5, [2, 1], [insert(3, "?")])
    assert str(document) == "?"


# Callers' mistakes


def test_unknown_parents_and_handles_that_do_not_grow_raise_and_change_nothing() -> None:
    document = TextDocument(key)
    document.add_node(4, [], [insert(0, "abc")])
    for bad in ([9], [4, 9], [3], [-1]):
        with pytest.raises(ValueError, match="unknown"):
            document.add_node(5, bad, [insert(0, "x")])
        with pytest.raises(ValueError, match="unknown"):
            document.add_nodes([(5 + i, bad, [insert(0, "x")]) for i in range(6)])
        with pytest.raises(ValueError, match="unknown"):
            document.add_nodes([(5, [4], [insert(0, "x")]), (6, bad, [])])
    with pytest.raises(ValueError, match="comes after"):
        document.add_node(4, [4], [insert(0, "x")])
    for handles in ([5, 6, 7, 4], [5, 6, 6, 7]):
        with pytest.raises(ValueError, match="comes after"):
            document.add_nodes([(handle, [4], [insert(0, "x")]) for handle in handles])
    assert str(document) == "abc"
    assert document.add_node(5, [4], [insert(3, "d")]) == [insert(3, "d")]


def test_a_span_limit_below_one_is_refused() -> None:
    with pytest.raises(ValueError, match="span_limit"):
        TextDocument(key, span_limit=0)


# Merging


def test_t11_a_range_delete_takes_what_its_author_saw_whatever_arrives_first() -> None:
    nodes: list[Node] = [
        (0, [], [insert(0, "one two three")]),
        (1, [0], [delete(0, 13)]),
        (2, [0], [insert(3, "-new-"), insert(18, " end")]),
        (3, [0], [delete(4, 9)]),
    ]
    assert orders(nodes, {node: key(node) for node in range(4)}) == {"-new- end"}


def test_t12_insert_beside_a_concurrently_deleted_character_stays_in_place() -> None:
    nodes: list[Node] = [
        (0, [], [insert(0, "abcdef")]),
        (1, [0], [delete(1, 4)]),
        (2, [0], [insert(3, "X")]),
        (3, [2], [insert(4, "Y")]),
        (4, [1], [insert(1, "-")]),
    ]
    assert orders(nodes, {node: key(node) for node in range(5)}) == {"a-XYf"}


def test_t12_a_concurrent_insert_that_was_deleted_meanwhile_takes_no_room() -> None:
    nodes: list[Node] = [
        (0, [], [insert(0, "ab")]),
        (1, [0], [insert(1, "XYZ")]),
        (2, [1], [delete(1, 3)]),
        (3, [0], [insert(1, "-")]),
        (4, [3], [insert(3, "+")]),
    ]
    for keys in (range(5), range(5, 0, -1)):
        assert orders(nodes, dict(enumerate(map(key, keys)))) == {"a-b+"}


@pytest.mark.parametrize("style", ["forwards", "backwards", "mixed"])
def test_t16_concurrent_typing_at_one_place_does_not_interleave(style: str) -> None:
    texts = set()
    for seed in range(40):
        random = Random(seed)
        document = TextDocument(lambda node: key(node % 3))
        document.add_node(0, [], [insert(0, "<>")])
        heads = dict.fromkeys(range(3), 0)
        written = dict.fromkeys(range(3), 0)
        node = 0
        while min(written.values()) < 6:
            author = random.choice([other for other in range(3) if written[other] < 6])
            # The tie-break knows the author only.
            node = node // 3 * 3 + 3 + author
            count = written[author]
            backwards = style == "backwards" or (style == "mixed" and author == 1)
            at = 1 if backwards else 1 + count
            document.add_node(node, [heads[author]], [insert(at, "aBc"[author])])
            heads[author] = node
            written[author] += 1
        texts.add(str(document))
    assert texts == {"<aaaaaaBBBBBBcccccc>"}


def test_t18_positions_count_scalar_values_whatever_they_are_made_of() -> None:
    family = "\U0001f468\u200d\U0001f469"  # three scalar values, five UTF-16 units
    nodes: list[Node] = [
        (0, [], [insert(0, family + "e\u0301\0z")]),
        (1, [0], [insert(3, "|")]),
        (2, [0], [delete(4, 2)]),
        (3, [0], [delete(1, 1), insert(6, "\U0010ffff")]),
        (4, [0], [insert(8, "in nine units, but not in seven characters")]),
    ]
    # Seven characters, one of them deleted by node 3: position 6 is the end.
    want = "\U0001f468\U0001f469|ez\U0010ffff"
    assert orders(nodes, {node: key(node) for node in range(5)}) == {want}
    document = TextDocument(key)
    document.insert(0, 0, family)
    assert len(document) == 3
    assert document.slice(1, 2) == "\u200d"
    document.add_node(1, [0], [insert(3, "|")])
    document.add_node(2, [0], [insert(4, "beyond the end of what its author saw")])
    assert str(document) == family + "|"


MISSES = [
    insert(4, "x"),
    insert(-1, "x"),
    insert(1 << 60, "x"),
    insert(0, ""),
    delete(2, 2),
    delete(3, 1),
    delete(-1, 1),
    delete(0, -1),
    delete(0, 1 << 60),
]


@pytest.mark.parametrize("miss", MISSES, ids=repr)
def test_t53_an_edit_outside_the_authors_view_does_nothing_on_every_path(miss: TextEdit) -> None:
    nodes: list[Node] = [
        (0, [], [insert(0, "abc")]),
        (1, [0], [miss, insert(3, "!")]),
        (2, [0], [miss]),
        (3, [2], [insert(0, "longer than before ")]),
        (4, [1, 2], [delete(0, 1), insert(0, "A")]),
    ]
    assert orders(nodes, {node: key(node) for node in range(5)}) == {
        "longer than before Abc!",
    }


def test_t53_an_edit_that_other_peoples_text_would_make_room_for_still_does_nothing() -> None:
    # The author sees 2 characters; the merged text has 12.
    nodes: list[Node] = [
        (0, [], [insert(0, "ab")]),
        (1, [0], [insert(2, "0123456789")]),
        (2, [0], [delete(1, 2), insert(5, "x"), insert(2, ".")]),
        (3, [2], [delete(0, 9)]),
    ]
    assert orders(nodes, {node: key(node) for node in range(4)}) == {"ab0123456789."}


def test_a_node_without_any_edit_still_counts_as_history() -> None:
    nodes: list[Node] = [
        (0, [], []),
        (1, [0], [insert(0, "a")]),
        (2, [0], []),
        (3, [1, 2], [insert(1, "b")]),
        (4, [2], [insert(1, "never")]),
    ]
    assert orders(nodes, {node: key(node) for node in range(5)}) == {"ab"}


def test_a_history_with_several_beginnings_is_one_text() -> None:
    nodes: list[Node] = [
        (0, [], [insert(0, "aa")]),
        (1, [], [insert(0, "bb")]),
        (2, [], [insert(0, "cc")]),
        (3, [2], [insert(1, "-")]),
    ]
    keys = {0: b"1", 1: b"0", 2: b"2", 3: b"3"}
    assert orders(nodes, keys) == {"bbaac-c"}


def test_redundant_and_repeated_parents_change_nothing() -> None:
    for parents in ([1, 0], [0, 1], [1, 1], [1, 0, 1]):
        document = TextDocument(key)
        document.add_node(0, [], [insert(0, "ab")])
        document.add_node(1, [0], [delete(0, 1)])
        document.add_node(2, [0], [insert(1, "-")])
        document.add_node(3, parents, [insert(0, ">")])
        document.add_nodes([(4 + i, [*parents], [insert(1, "<")]) for i in range(5)])
        assert str(document) == ">-b<<<<<"


def test_a_redundant_parent_of_the_only_head_does_not_hinder_what_follows() -> None:
    document = TextDocument(key)
    document.add_node(0, [], [insert(0, "a")])
    document.add_node(1, [0], [insert(1, "b")])
    document.add_node(2, [0, 1], [insert(2, "c")])
    document.add_node(3, [2], [insert(3, "d")])
    document.insert(4, 4, "e")
    document.add_node(5, [2], [insert(3, "f"), delete(0, 1)])
    assert str(document) == "bcdef"


def test_a_late_node_on_an_old_version_goes_where_its_author_saw_it() -> None:
    document = TextDocument(key)
    want = "".join(chr(ord("a") + index % 26) for index in range(500))
    for index in range(500):
        document.insert(index, index, want[index])
    for late, seen in enumerate((99, 499, 250, 10, 0, 120)):
        before = str(document)
        # Node `seen` wrote the last character of what this author saw; it writes before that one.
        effects = document.add_node(1000 + late, [seen], [insert(seen, "#")])
        assert apply_effects(before, effects) == str(document)
    parts = str(document).split("#")
    assert "".join(parts) == want
    assert [len(part) for part in parts] == [0, 10, 89, 21, 130, 249, 1]


def test_a_batch_says_what_it_changes_in_a_text_that_is_there() -> None:
    document = TextDocument(key)
    first = document.add_nodes(
        [(node, [node - 1] if node else [], [insert(0, "x")]) for node in range(5)]
    )
    assert first is None
    before = str(document)
    effects = document.add_nodes(
        [
            (5, [4], [insert(5, "tail")]),
            (6, [4], [insert(0, "head")]),
            (7, [6], [delete(0, 2)]),
            (8, [5, 7], [delete(0, 1)]),
            (9, [8], [delete(0, 1)]),
        ]
    )
    assert effects is not None
    assert apply_effects(before, effects) == str(document) == "xxxxxtail"


def test_more_state_than_the_span_limit_is_dropped_and_rebuilt_with_the_same_text() -> None:
    random = Random(5)
    texts = []
    for limit in (1, 40, 200_000):
        random.seed(5)
        document = TextDocument(key, span_limit=limit)
        document.add_node(0, [], [insert(0, "x" * 50)])
        heads = [0, 0]
        for node in range(1, 301):
            side = node % 2
            document.add_node(node, [heads[side]], [insert(random.randint(0, 40), "ab"[side])])
            heads[side] = node
        texts.append(str(document))
        assert (document.stats.span_limit_drops > 0) == (limit < 200_000)
        # Each rebuild makes room for twice what it needed: few are made.
        assert document.stats.span_limit_drops < 20
    assert len(set(texts)) == 1
