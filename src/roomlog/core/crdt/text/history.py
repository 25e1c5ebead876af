"""The history of one text: runs of edits in a graph of linear stretches, and its node table.

A *local version* numbers one inserted or deleted character in the order this document learned of
it; it never leaves the document and decides nothing. An `Entry` is a stretch of local versions
without a fork or a merge inside: only its first has other parents than the one before it, and
nothing but its last is a parent. Inserted text is not kept: replaying needs lengths only.
"""

from bisect import bisect_right
from collections.abc import Sequence
from typing import Final, final

from roomlog.core.crdt.text.spans import Run

INSERT: Final = 0
DELETE: Final = 1  # all at one position, as with the delete key
BACKSPACE: Final = 2  # each edit ends where the one before began; position is the lowest
NOTHING: Final = 3  # a node without a valid edit still takes one local version


@final
class Target:
    """Characters that a deletion has hit: part of a run."""

    __slots__ = ("length", "offset", "run")

    def __init__(self, run: Run, offset: int, length: int) -> None:
        self.run: Run = run
        self.offset: int = offset
        self.length: int = length


@final
class Op:
    """A run of edits that continue each other; `length` is its number of local versions.

    `length_before` is the length of the author's view before it. `run`, `run_offset` and `targets`
    (in document order) belong to the walk under way.
    """

    __slots__ = ("kind", "length", "length_before", "position", "run", "run_offset", "targets")

    def __init__(self, kind: int, position: int, length: int, length_before: int) -> None:
        self.kind: int = kind
        self.position: int = position
        self.length: int = length
        self.length_before: int = length_before
        self.run: Run | None = None
        self.run_offset: int = 0
        self.targets: list[Target] | None = None

    def length_after(self) -> int:
        if self.kind == INSERT:
            return self.length_before + self.length
        if self.kind == NOTHING:
            return self.length_before
        return self.length_before - self.length

    def split(self, length: int) -> "Op":
        """Keep the first `length` local versions; return an operation of the others."""
        rest = self.length - length
        kind = self.kind
        if kind == INSERT:
            tail = Op(INSERT, self.position + length, rest, self.length_before + length)
            tail.run = self.run
            tail.run_offset = self.run_offset + length
        else:
            tail = Op(kind, self.position, rest, self.length_before - length)
            targets = self.targets
            if kind == DELETE:
                if targets is not None:
                    self.targets, tail.targets = _split_targets(targets, length)
            else:
                self.position += rest
                if targets is not None:
                    tail.targets, self.targets = _split_targets(targets, rest)
        self.length = length
        return tail


def _split_targets(targets: list[Target], length: int) -> tuple[list[Target], list[Target]]:
    head: list[Target] = []
    tail: list[Target] = []
    for target in targets:
        if length >= target.length:
            head.append(target)
            length -= target.length
        elif length > 0:
            head.append(Target(target.run, target.offset, length))
            tail.append(Target(target.run, target.offset + length, target.length - length))
            length = 0
        else:
            tail.append(target)
    return head, tail


@final
class Entry:
    """A stretch of history; local versions start..end-1. See the module's text.

    `critical`: everything known is before or after each of its versions. `forked`: it is a parent,
    so nothing may be appended. `walked`: a walk has used it.
    """

    __slots__ = (
        "critical",
        "end",
        "flag",
        "forked",
        "mark",
        "ops",
        "parents",
        "rank",
        "start",
        "walked",
    )

    def __init__(self, start: int, parents: list["Entry"]) -> None:
        self.start: int = start
        self.end: int = start
        self.parents: list[Entry] = parents
        self.ops: list[Op] = []
        self.critical: bool = False
        self.forked: bool = False
        self.walked: bool = False
        self.mark: int = 0
        self.flag: int = 0
        self.rank: int = 0

    def length_after(self) -> int:
        """Length of the document at the end of this stretch."""
        return self.ops[-1].length_after()

    def append(self, kind: int, position: int, length: int, length_before: int) -> Op:
        """Add an edit, as part of the last run when it continues it; returns the run.

        A deletion comes as DELETE and may be kept as part of a BACKSPACE run.
        """
        self.end += length
        ops = self.ops
        if ops:
            last = ops[-1]
            last_kind = last.kind
            if kind == INSERT:
                if last_kind == INSERT and position == last.position + last.length:
                    last.length += length
                    return last
            elif kind == DELETE:
                if last_kind == DELETE and position == last.position:
                    last.length += length
                    return last
                if position + length == last.position and (
                    last_kind == BACKSPACE or (last_kind == DELETE and last.length == 1)
                ):
                    last.kind = BACKSPACE
                    last.position = position
                    last.length += length
                    return last
        op = Op(kind, position, length, length_before)
        ops.append(op)
        return op


@final
class NodeRun:
    """Consecutive node handles with equally many, consecutive local versions each."""

    __slots__ = ("count", "each", "first", "start")

    def __init__(self, first: int, start: int, each: int) -> None:
        self.first: int = first
        self.start: int = start
        self.each: int = each
        self.count: int = 1


@final
class TextHistory:
    """Entries in the order of their local versions, and where each node's edits are."""

    __slots__ = (
        "_difference_marks",
        "_node_firsts",
        "_node_runs",
        "_version_runs",
        "_version_starts",
        "base_node",
        "entries",
        "next_version",
        "starts",
        "writing",
        "written_from",
    )

    def __init__(self) -> None:
        self.entries: list[Entry] = []
        self.starts: list[int] = []
        self.next_version: int = 0
        # The same records twice: by node handle, and by local version.
        self._node_runs: list[NodeRun] = []
        self._node_firsts: list[int] = []
        self._version_runs: list[NodeRun] = []
        self._version_starts: list[int] = []
        self._difference_marks: int = 0
        # The node that stands for history that is not here, -1 when all of it is.
        self.base_node: int = -1
        # The node under way, whose number of local versions is not known yet.
        self.writing: int = -1
        self.written_from: int = 0

    def open(self, parents: list[Entry]) -> Entry:
        """Begin a new entry after everything known."""
        entry = Entry(self.next_version, parents)
        self.add(entry)
        return entry

    def add(self, entry: Entry) -> None:
        """Take over an entry whose start is the next local version."""
        for parent in entry.parents:
            parent.forked = True
        self.entries.append(entry)
        self.starts.append(entry.start)

    def note_node(self, node: int, start: int, length: int) -> None:
        """Record that the local versions from `start` on are those of `node`."""
        self.written_from = start + length
        runs = self._version_runs
        if runs:
            last = runs[-1]
            if (
                last.each == length
                and last.first + last.count == node
                and last.start + last.count * length == start
            ):
                last.count += 1
                return
        run = NodeRun(node, start, length)
        runs.append(run)
        self._version_starts.append(start)
        firsts = self._node_firsts
        if not firsts or firsts[-1] < node:
            firsts.append(node)
            self._node_runs.append(run)
        else:
            at = bisect_right(firsts, node)
            firsts.insert(at, node)
            self._node_runs.insert(at, run)

    def node_at(self, version: int) -> int:
        """The node that a local version belongs to."""
        if version >= self.written_from:
            return self.writing
        run = self._version_runs[bisect_right(self._version_starts, version) - 1]
        return run.first + (version - run.start) // run.each

    def node_span(self, version: int) -> tuple[int, int, int]:
        """The node that a local version belongs to, and its first and last + 1 version."""
        run = self._version_runs[bisect_right(self._version_starts, version) - 1]
        index = (version - run.start) // run.each
        start = run.start + index * run.each
        return run.first + index, start, start + run.each

    def node_boundary(self, version: int) -> int:
        """The greatest end of a node's local versions that is not above `version`."""
        run = self._version_runs[bisect_right(self._version_starts, version) - 1]
        nodes = min((version - run.start) // run.each, run.count)
        return run.start + nodes * run.each

    def end_of(self, node: int) -> int:
        """The local version after the last one of `node`; -1 when the node is not known."""
        at = bisect_right(self._node_firsts, node) - 1
        if at >= 0:
            run = self._node_runs[at]
            if node < run.first + run.count:
                return run.start + (node - run.first + 1) * run.each
        return -1

    def index_at(self, version: int) -> int:
        """Index of the entry that holds a local version."""
        return bisect_right(self.starts, version) - 1

    def split(self, index: int, version: int) -> Entry:
        """Cut the entry at `index` before `version`, a node's boundary; returns the front part.

        The entry itself stays what comes after: it is known to others by its end.
        """
        entry = self.entries[index]
        front = Entry(entry.start, entry.parents)
        front.critical = entry.critical
        front.walked = entry.walked
        front.forked = True
        front.end = version
        ops = entry.ops
        # Operations know their lengths only; walk from the nearer end.
        at = entry.end
        cut = len(ops)
        while at > version:
            cut -= 1
            at -= ops[cut].length
        if at < version:
            ops.insert(cut + 1, ops[cut].split(version - at))
            cut += 1
        front.ops = ops[:cut]
        entry.ops = ops[cut:]
        entry.start = version
        entry.parents = [front]
        self.entries.insert(index, front)
        self.starts[index] = version
        self.starts.insert(index, front.start)
        return front

    def difference(
        self, left: Sequence[Entry], right: Sequence[Entry], only_left: list[Entry]
    ) -> list[Entry]:
        """What each of two versions has that the other has not.

        Fills `only_left` and returns the entries only in `right`, both from the newest back; no
        version may name an entry twice. The search goes back from both, newest first, and ends when
        all it still holds is in both.
        """
        only_right: list[Entry] = []
        self._difference_marks += 1
        mark = self._difference_marks
        queue: list[Entry] = []  # ascending by start
        unshared = 0
        for entry in left:
            entry.mark = mark
            entry.flag = 1
            _enqueue(queue, entry)
            unshared += 1
        for entry in right:
            if entry.mark != mark:
                entry.mark = mark
                entry.flag = 2
                _enqueue(queue, entry)
                unshared += 1
            else:
                entry.flag = 3
                unshared -= 1
        while unshared:
            entry = queue.pop()
            flag = entry.flag
            if flag == 1:
                unshared -= 1
                only_left.append(entry)
            elif flag == 2:
                unshared -= 1
                only_right.append(entry)
            for parent in entry.parents:
                if parent.mark != mark:
                    parent.mark = mark
                    parent.flag = flag
                    _enqueue(queue, parent)
                    if flag != 3:
                        unshared += 1
                elif parent.flag | flag != parent.flag:
                    parent.flag = 3
                    unshared -= 1
        return only_right


def _enqueue(queue: list[Entry], entry: Entry) -> None:
    queue.append(entry)
    at = len(queue) - 1
    start = entry.start
    while at and queue[at - 1].start > start:
        queue[at] = queue[at - 1]
        at -= 1
    queue[at] = entry
