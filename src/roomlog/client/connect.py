"""`connect`: the way into a room."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Final

from roomlog.client.address import Address
from roomlog.client.backoff import Backoff
from roomlog.client.document import Document
from roomlog.client.host import Host
from roomlog.client.options import DocumentOptions, History, Verify
from roomlog.client.patterns import checked_patterns
from roomlog.core.errors import InvalidTypeError, InvalidValueError
from roomlog.core.signing import PUBLIC_KEY_BYTES, Signer
from roomlog.identity import Identity
from roomlog.protocol.capabilities import Offer, own_offer
from roomlog.protocol.codec import Codec

CLOSE_TIMEOUT_S: Final = 5.0
_MOST_LABEL_CHARACTERS: Final = 128


def _wall_clock_ms() -> int:
    return time.time_ns() // 1_000_000


def connect(
    url: str,
    *,
    room: str,
    identity: Signer | str | os.PathLike[str] | None = None,
    store: str | os.PathLike[str] | None = None,
    label: str = "",
    codec: Codec = Codec.MSGPACK,
    server_key: bytes | None = None,
    verify: Verify = "live",
    history: History = "full",
    subscribe: Iterable[str] | None = None,
    capabilities: Iterable[str] | None = None,
    close_timeout_s: float = CLOSE_TIMEOUT_S,
    clock_ms: Callable[[], int] = _wall_clock_ms,
) -> Document:
    """Open a room: `async with connect(url, room="demo", identity=me) as doc`.

    Works without a server from the start: what is written is kept, in `store` if one is given
    (a path; one process at a time), and sent once the server can be reached.

    - `url`: `ws://host:port` or `wss://host`, as the server's operator gives it out.
    - `room`: 1 to 128 of `A-Z a-z 0-9 . _ ~ -`.
    - `identity`: who writes; a path is loaded, or created when there is no file. None only reads.
    - `label`: shown to others beside the key, at most 128 characters.
    - `server_key`: 32 bytes; the server's key if it is known, else the first one met is pinned.
    - `verify`: "live" checks every node that arrives live, and takes what the pinned server says
      about older history on its word; "all" checks the signatures of history too.
    - `history`: a room with a long past is joined by a snapshot of what is in it. "full" brings
      its older history in beside that, "recent" leaves it there until something needs it.
    - `subscribe`: globs over keys (`notes/**`, `users/*/name`), at most 64: only these keys are
      held and can be written; [] is everything, None leaves what the store has.
    - `capabilities`: names of those to offer to the server, to try what happens without others.
    - `close_timeout_s`: how long the end of the block waits for acknowledgments.
    - `clock_ms`: wall clock in milliseconds since 1970.

    Raises ValueError or TypeError for an argument that cannot be, `IdentityFileError`; when it is
    entered, `LocalStoreError` and its kinds.
    """
    address = Address(url)
    for name, path in (("identity", identity), ("store", store)):
        if isinstance(path, str | os.PathLike) and not Path(path).name:
            raise InvalidValueError(f"{name}: {os.fspath(path)!r} names no file")
    signer: Signer | None
    if isinstance(identity, str | os.PathLike):
        signer = Identity.load_or_create(identity)
    elif identity is None or hasattr(identity, "public_key"):
        signer = identity
    else:
        raise InvalidTypeError(f"identity: an Identity, a path or None, not {identity!r}")
    if server_key is not None and len(server_key) != PUBLIC_KEY_BYTES:
        raise InvalidValueError(f"server_key: 32 bytes, not {len(server_key)}")
    if verify not in ("live", "all"):
        raise InvalidValueError(f"verify: 'live' or 'all', not {verify!r}")
    if history not in ("full", "recent"):
        raise InvalidValueError(f"history: 'full' or 'recent', not {history!r}")
    patterns = None if subscribe is None else checked_patterns(subscribe)
    host = Host()
    if len(label) > _MOST_LABEL_CHARACTERS:
        raise InvalidValueError("label: longer than 128 characters")
    return Document(
        address,
        room,
        signer,
        None if store is None else Path(store),
        DocumentOptions(
            label=label,
            codec=codec,
            server_key=server_key,
            verify=verify,
            history=history,
            patterns=patterns,
            offer=_offer_of(capabilities),
            close_timeout_s=close_timeout_s,
        ),
        backoff=Backoff(host.random),
        clock_ms=clock_ms,
        host=host,
    )


def _offer_of(capabilities: Iterable[str] | None) -> Offer | None:
    if capabilities is None:
        return None
    everything, names = own_offer(), set(capabilities)
    unknown = sorted(names - set(everything))
    if unknown:
        raise InvalidValueError(f"capabilities: this build knows nothing of {unknown}")
    return {name: value for name, value in everything.items() if name in names}
