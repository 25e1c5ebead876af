"""Where a room is served: what is dialled, and the origin that the handshake signs."""

from __future__ import annotations

from typing import Final, final
from urllib.parse import urlsplit

from roomlog.core.errors import InvalidValueError

_SCHEMES: Final = {"ws": "ws", "wss": "wss", "http": "ws", "https": "wss"}
_DEFAULT_PORTS: Final = {"ws": 80, "wss": 443}


@final
class Address:
    """A server's address, read from a URL like `ws://127.0.0.1:7878` or `https://host/base`.

    Raises InvalidValueError for another scheme, a missing host, or a query.

    >>> Address("WSS://Example.org:443/base/").room_url("demo")
    'wss://example.org/base/ws/demo'
    >>> Address("http://localhost:7878").origin
    'ws://localhost:7878'
    """

    def __init__(self, url: str) -> None:
        try:
            parts = urlsplit(url)
            host, port = parts.hostname, parts.port
        except ValueError as error:
            raise InvalidValueError(f"url: {url!r}: {error}") from None
        scheme = _SCHEMES.get(parts.scheme.lower())
        if scheme is None:
            raise InvalidValueError(f"url: {url!r} starts with none of ws, wss, http, https")
        if not host or parts.query or parts.fragment or parts.username or parts.password:
            raise InvalidValueError(f"url: {url!r} is not scheme://host[:port][/path]")
        host = f"[{host}]" if ":" in host else host
        suffix = "" if port in (None, _DEFAULT_PORTS[scheme]) else f":{port}"
        self.origin = f"{scheme}://{host}{suffix}"
        """What the client dials, as the handshake signs it."""
        self._path = parts.path.rstrip("/")

    def room_url(self, room_id: str) -> str:
        """The WebSocket URL of a room."""
        return f"{self.origin}{self._path}/ws/{room_id}"
