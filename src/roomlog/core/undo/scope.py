"""Which objects an undo history is about."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TypeAlias, final

from roomlog.core.errors import InvalidTypeError
from roomlog.core.named_versions import is_reserved
from roomlog.core.path_key import check_key
from roomlog.core.state import KINDS, MAP

Place: TypeAlias = str | tuple[int, str]
"""A path key, which stands for itself and all below it; or a kind of object and its key. For maps
that is a prefix: all keys below it."""


@final
class UndoScope:
    """Everything, or what lies at some places. Reserved keys are in no scope."""

    def __init__(self, places: Iterable[Place] | None = None) -> None:
        self._all = places is None
        self._paths: list[str] = []
        self._objects: set[tuple[int, str]] = set()
        self._prefixes: list[str] = []
        for place in places or ():
            if isinstance(place, str):
                check_key(place)
                self._paths.append(place)
            elif not isinstance(place, tuple) or place[0] not in KINDS:
                raise InvalidTypeError(f"scope: a path key or an object, not {place!r}")
            elif place[0] == MAP:
                self._prefixes.append(f"{place[1]}/" if place[1] else "")
            else:
                self._objects.add(place)

    def holds(self, kind: int, key: str) -> bool:
        """Whether an edit of this object is in the scope."""
        if is_reserved(key):
            return False
        if self._all or (kind, key) in self._objects:
            return True
        if kind == MAP and any(key.startswith(prefix) for prefix in self._prefixes):
            return True
        return any(key == path or key.startswith(f"{path}/") for path in self._paths)
