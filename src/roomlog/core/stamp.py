"""The total order of operations that write the same register.

A stamp is (clock, author, node id, operation index); the greater one wins. The author alone is
not enough: one key may live on two devices. Stamps are never stored: a local version and an
operation index name one, and the graph knows the rest.
"""

from roomlog.core.graph import Graph


def wins(graph: Graph, lv: int, index: int, other_lv: int, other_index: int) -> bool:
    """Whether operation ``index`` of node ``lv`` has a greater stamp than the other operation.

    A local version that the graph does not hold yet is an open node's: it will be a child of all
    that is in view, so its clock will be greater than any here.
    """
    if lv == other_lv:
        return index > other_index
    known = len(graph)
    if lv >= known or other_lv >= known:
        return lv > other_lv
    clock = graph.clock_of(lv)
    other_clock = graph.clock_of(other_lv)
    if clock != other_clock:
        return clock > other_clock
    author = graph.author_of(lv)
    other_author = graph.author_of(other_lv)
    if author != other_author:
        return author > other_author
    return graph.id_of(lv) > graph.id_of(other_lv)
