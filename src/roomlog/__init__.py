"""roomlog: a self-hosted room server for local-first, real-time applications.

What is exported here is imported when it is first used, so that a program that needs only a part,
such as the server or a `Replica`, does not load the rest.
"""

from importlib import import_module
from typing import TYPE_CHECKING

__version__ = "0.1.0"

if TYPE_CHECKING:
    from roomlog.client import errors
    from roomlog.client.connect import connect
    from roomlog.client.document import Document
    from roomlog.core.anchors import SavedAnchor
    from roomlog.core.replica import Replica
    from roomlog.identity import Identity

__all__ = ["Document", "Identity", "Replica", "SavedAnchor", "__version__", "connect", "errors"]

_HOME = {
    "Document": "roomlog.client.document",
    "Identity": "roomlog.identity",
    "Replica": "roomlog.core.replica",
    "SavedAnchor": "roomlog.core.anchors",
    "connect": "roomlog.client.connect",
}


def __getattr__(name: str) -> object:
    if name == "errors":
        value: object = import_module("roomlog.client.errors")
    elif name in _HOME:
        value = getattr(import_module(_HOME[name]), name)
    else:
        raise AttributeError(f"module 'roomlog' has no attribute {name!r}")
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
