"""roomlog: a self-hosted room server for local-first, real-time applications."""

__version__ = "0.1.0.dev0"

from roomlog.client import errors
from roomlog.client.connect import connect
from roomlog.client.document import Document
from roomlog.core.replica import Replica
from roomlog.identity import Identity

__all__ = ["Document", "Identity", "Replica", "__version__", "connect", "errors"]
