"""The order in which a batch is walked, and which parts of it need no walk."""

from roomlog.core.crdt.text.history import Entry


def walk_order(entries: list[Entry]) -> list[Entry]:
    """A topological order in which a walk moves little between versions.

    Depth first along each branch. Of the ready entries those with one parent come first, the
    smallest branch first; a merge waits until no branch is left to follow. `entries` is in
    topological order itself. Uses `rank` and `mark` of the entries.
    """
    count = len(entries)
    for index in range(count):
        entries[index].rank = index
    if count < 3:
        return entries
    waiting: list[int] = [0] * count
    children: list[list[int]] = [[] for _ in range(count)]
    merges: list[bool] = [False] * count
    for index in range(count):
        parents = entries[index].parents
        merges[index] = len(parents) > 1
        for parent in parents:
            at = parent.rank
            if at < count and entries[at] is parent:
                children[at].append(index)
                waiting[index] += 1
    weights: list[int] = [0] * count
    for index in range(count - 1, -1, -1):
        entry = entries[index]
        weight = entry.end - entry.start
        for child in children[index]:
            if not merges[child]:
                weight += weights[child]
        weights[index] = weight
    branches: list[int] = []
    joins: list[int] = []
    for index in range(count - 1, -1, -1):
        if not waiting[index]:
            if merges[index]:
                joins.append(index)
            else:
                branches.append(index)
    if len(branches) > 1:
        _heaviest_first(branches, weights)
    order: list[Entry] = []
    while branches or joins:
        index = branches.pop() if branches else joins.pop()
        order.append(entries[index])
        ready: list[int] = []
        for child in children[index]:
            waiting[child] -= 1
            if not waiting[child]:
                if merges[child]:
                    joins.append(child)
                else:
                    ready.append(child)
        if len(ready) > 1:
            _heaviest_first(ready, weights)
        branches.extend(ready)
    return order


def _heaviest_first(indices: list[int], weights: list[int]) -> None:
    pairs = [(-weights[index], -index) for index in indices]
    pairs.sort()
    for at in range(len(pairs)):
        indices[at] = -pairs[at][1]


def mark_critical(order: list[Entry], heads: list[Entry]) -> None:
    """Set `critical` of each entry that all others of the batch, and all before it, relate to.

    That is: after it it is the only head, and everything later has it in its history. `order` is
    the order of the walk, `heads` the heads before it.
    """
    critical = find_critical(order, heads)
    for index in range(len(order)):
        order[index].critical = critical[index]


def find_critical(order: list[Entry], heads: list[Entry]) -> list[bool]:
    """Which entries of the batch `mark_critical` marks."""
    count = len(order)
    for index in range(count):
        order[index].rank = index
    lowest: list[int] = [count] * (count + 1)
    for index in range(count - 1, -1, -1):
        least = lowest[index + 1]
        highest_parent = -1
        for parent in order[index].parents:
            rank = parent.rank
            if rank < count and order[rank] is parent and rank > highest_parent:
                highest_parent = rank
        lowest[index] = min(least, highest_parent)
    alone: list[Entry] = list(heads)
    critical: list[bool] = []
    for index in range(count):
        entry = order[index]
        parents = entry.parents
        if len(alone) == 1 and len(parents) == 1 and alone[0] is parents[0]:
            alone[0] = entry
        else:
            alone = [head for head in alone if not _among(head, parents)]
            alone.append(entry)
        critical.append(len(alone) == 1 and lowest[index + 1] >= index)
    return critical


def _among(entry: Entry, entries: list[Entry]) -> bool:
    return any(other is entry for other in entries)
