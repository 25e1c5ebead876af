"""History that is taken on the server's word: what is found out about it before it counts.

Ids cover parents, so a node that is bent in any bit has another id, and nothing true stands
on it. It shows as a node whose parent did not come, or as a head. So heads of a pack are checked
by their signatures, few as they are, and a pack is taken whole or not at all: a node that no server
has must never be built upon, for what stands on it could never be given to anybody.
"""

from __future__ import annotations

from collections.abc import Sequence

from roomlog.core.node import Node, check_signature
from roomlog.core.reject import Reject, RejectClass
from roomlog.core.replica import Replica


def check_unverified(nodes: Sequence[Node], replica: Replica) -> None:
    """Look at the nodes of a pack, in its order, that are to be taken without their signatures.

    Heads that came unsigned are believed. Raises `Reject` (parent_missing, signature_invalid).
    """
    here: set[bytes] = set()
    named: set[bytes] = set()
    for node in nodes:
        named.update(node.parents)
        # Without older history some parents are rightly unknown: such nodes are held.
        if not replica.is_partial:
            for parent in node.parents:
                if parent not in here and parent not in replica:
                    raise Reject(RejectClass.PARENT_MISSING, "a node came before its parents")
        here.add(node.id)
    for node in nodes:
        if node.id not in named and node.signature is not None and node.id not in replica:
            check_signature(node)
