"""Who wrote what of a text: runs of visible characters with their node and its author."""

from __future__ import annotations

from types import TracebackType
from typing import TYPE_CHECKING, NamedTuple, final

from roomlog.core.crdt.text.pieces import PieceList
from roomlog.core.errors import NotSubscribedError, RoomlogError
from roomlog.core.path_key import check_key
from roomlog.core.text_followers import TextChange, TextFollower, text_followers_of

if TYPE_CHECKING:
    from roomlog.core.replica import Replica
    from roomlog.core.state import State


class AttributionRun(NamedTuple):
    """`length` characters from `start` on that one node wrote.

    `author` is a public key, None for text whose history is not here because the replica began
    with a snapshot. `node_id` is None for that, and for edits that are not committed.
    """

    start: int
    length: int
    author: bytes | None
    node_id: bytes | None


def attribute_text(replica: Replica, key: str) -> list[AttributionRun]:
    """The runs of a text, in order and without gaps; replays its history."""
    check_readable(replica, key)
    return _runs(replica.objects, _own_key(replica), key, None)


@final
class TextAttribution:
    """The attribution of one text, kept up with its edits from the first `runs` on.

    It costs something with every edit, so `close` it, or use it in a `with` block.
    """

    def __init__(self, replica: Replica, key: str) -> None:
        check_readable(replica, key)
        self.key = key
        self._own_key = _own_key(replica)
        self._pieces: PieceList | None = None
        self._is_closed = False
        self._follower = TextFollower(self._edited, self._replaced)
        self._followers = text_followers_of(replica.objects)
        self._followers.follow(key, self._follower)

    def runs(self) -> list[AttributionRun]:
        """The runs of the text as it is now. Raises RoomlogError when it was closed."""
        if self._is_closed:
            raise RoomlogError("the attribution was closed")
        state = self._followers.state
        if self._pieces is None:
            text = state.texts.get(self.key)
            if text is not None:
                self._pieces = text.document.origins()
        return _runs(state, self._own_key, self.key, self._pieces)

    def close(self) -> None:
        """Keep up no longer."""
        self._is_closed = True
        self._followers.unfollow(self.key, self._follower)
        self._pieces = None

    def __enter__(self) -> TextAttribution:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def _edited(self, position: int, deleted: int, inserted: int, version: int) -> None:
        pieces = self._pieces
        if pieces is not None:
            if deleted:
                pieces.delete(position, deleted)
            else:
                pieces.insert(position, inserted, version)

    def _replaced(self, changes: list[TextChange], is_discard: bool) -> None:
        # The other document numbers its characters anew.
        self._pieces = None


def check_readable(replica: Replica, key: str) -> None:
    """Raise `InvalidValueError` for a broken key, `NotSubscribedError` for one not held here."""
    check_key(key)
    readable = replica.objects.readable
    if readable is not None and not readable.matches(key):
        raise NotSubscribedError(key)


def _own_key(replica: Replica) -> bytes | None:
    return None if replica.identity is None else replica.identity.public_key


def _runs(
    state: State, own_key: bytes | None, key: str, pieces: PieceList | None
) -> list[AttributionRun]:
    text = state.texts.get(key)
    if text is None:
        return []
    document = text.document
    graph = state.graph
    runs: list[AttributionRun] = []
    start = 0
    last = -2
    for piece in (document.origins() if pieces is None else pieces).pieces():
        at = piece.number
        stop = at + piece.length
        while at < stop:
            node, end = -1, stop
            if at >= 0:
                node, _, end = document.node_span(at)
            size = min(stop, end) - at
            if node == last:
                runs[-1] = runs[-1]._replace(length=runs[-1].length + size)
            elif node < 0:
                runs.append(AttributionRun(start, size, None, None))
            elif node < len(graph):
                runs.append(AttributionRun(start, size, graph.author_of(node), graph.id_of(node)))
            else:
                runs.append(AttributionRun(start, size, own_key, None))
            last = node
            start += size
            at += size
    return runs
