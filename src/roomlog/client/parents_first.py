"""The order in which nodes that came in any order can be taken, one by one."""

from __future__ import annotations

from collections.abc import Mapping

from roomlog.core.node import Node


def parents_first(nodes: list[Node], index: Mapping[bytes, int]) -> list[Node]:
    """The same nodes, each behind those of its parents that are here; as they are where possible.

    `index` has the place of each in `nodes`, by id.
    """
    if all(_last_parent(node, index) < at for at, node in enumerate(nodes)):
        return nodes
    ordered: list[Node] = []
    is_taken = bytearray(len(nodes))
    for start in range(len(nodes)):
        under_way = [start]
        while under_way:
            at = under_way[-1]
            node = nodes[at]
            lacking = [
                place
                for place in (index.get(parent, -1) for parent in node.parents)
                if place >= 0 and not is_taken[place]
            ]
            if lacking and not is_taken[at]:
                under_way += reversed(lacking)
                continue
            under_way.pop()
            if not is_taken[at]:
                is_taken[at] = 1
                ordered.append(node)
    return ordered


def _last_parent(node: Node, index: Mapping[bytes, int]) -> int:
    return max([index.get(parent, -1) for parent in node.parents], default=-1)
