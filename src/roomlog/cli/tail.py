"""`roomlog tail`: follow a room and print what changes."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from roomlog.cli.failure import Failure
from roomlog.cli.options import DEFAULT_URL
from roomlog.cli.output import as_json, line, print_json, remark

if TYPE_CHECKING:
    from roomlog.client.changes import ChangeFeed
    from roomlog.client.document import Document

STATE: Final = "state"
SHOWN_CHARACTERS: Final = 200
RETRY_S: Final = 1.0
STATUS_POLL_S: Final = 0.25
_KINDS: Final = {
    "maps": "map",
    "blobs": "map",
    "counters": "counter",
    "lists": "list",
    "texts": "text",
}


def tail(
    room: Annotated[str, typer.Argument(help="The room's id.", metavar="ROOM")],
    url: Annotated[
        str, typer.Option("--url", metavar="URL", help="The server's address.")
    ] = DEFAULT_URL,
    json: Annotated[bool, typer.Option("--json", help="Print one JSON object a line.")] = False,
    count: Annotated[
        int | None,
        typer.Option(
            "--count", min=0, metavar="N", show_default=False, help="End after N changes."
        ),
    ] = None,
) -> None:
    """Follow a room without writing: what it holds, then every change, until Ctrl-C.

    Waits for a room that does not exist yet, and for a server that cannot be reached.
    """
    asyncio.run(_follow(room, url, json, count))


async def _follow(room: str, url: str, json: bool, count: int | None) -> None:
    from roomlog.client.connect import connect
    from roomlog.client.errors import ConnectionStoppedError
    from roomlog.core.reject import RejectClass

    has_waited = False
    while True:
        try:
            async with connect(url, room=room, history="recent") as document:
                await _print_changes(document, room, url, json=json, count=count)
                return
        except ConnectionStoppedError as error:
            if error.reject_class != RejectClass.ROOM_NOT_FOUND.wire:
                raise Failure(f"{url}: {error}") from None
        if not has_waited:
            remark(f"there is no room {room} on {url} yet; waiting for its first writer")
            has_waited = True
        await asyncio.sleep(RETRY_S)


async def _print_changes(
    document: Document, room: str, url: str, *, json: bool, count: int | None
) -> None:
    feed = document.changes()
    watching = asyncio.ensure_future(_tell_status(document, url))
    try:
        await document.synced()
        remark(f"following {room} on {url} at seq {document.status.seq}; Ctrl-C ends")
        feed.take_nowait()
        _print_state(document, json)
        await _print_feed(document, feed, watching, json=json, count=count)
    finally:
        watching.cancel()


async def _print_feed(
    document: Document,
    feed: ChangeFeed,
    watching: asyncio.Future[None],
    *,
    json: bool,
    count: int | None,
) -> None:
    from roomlog.client.changes import ChangeKind

    printed = 0
    while count is None or printed < count:
        next_change = asyncio.ensure_future(anext(feed))
        await asyncio.wait(_either(next_change, watching), return_when=asyncio.FIRST_COMPLETED)
        if not next_change.done():
            next_change.cancel()
            watching.result()
            return
        change = next_change.result()
        if change.kind is ChangeKind.RESYNC:
            remark("changes came faster than they could be printed; the whole state again:")
            _print_state(document, json)
            continue
        authors = sorted(author.hex() for author in change.authors)
        _print(document, change.kind.value, change.key, authors, json=json)
        printed += 1


def _either(*futures: asyncio.Future[Any]) -> tuple[asyncio.Future[Any], ...]:
    return futures


async def _tell_status(document: Document, url: str) -> None:
    """Say when the server is lost and found; raise when trying again is no use."""
    from roomlog.client.status import Phase

    is_away = False
    while True:
        status = document.status
        if status.phase is Phase.STOPPED:
            raise status.problem or Failure(f"{url}: the connection stopped")
        if status.phase is Phase.OFFLINE and not is_away:
            is_away = True
            remark(f"{url} cannot be reached ({status.problem}); trying again")
        elif status.phase is Phase.LIVE and is_away:
            is_away = False
            remark(f"{url} is back, at seq {status.seq}")
        await asyncio.sleep(STATUS_POLL_S)


def _print_state(document: Document, json: bool) -> None:
    for group, objects in document.state().items():
        for key in objects:
            _print(document, _KINDS[group], key, None, json=json)


def _print(
    document: Document, kind: str, key: str, authors: list[str] | None, *, json: bool
) -> None:
    is_present, value = _value(document, kind, key)
    if json:
        shown: dict[str, object] = {"event": STATE if authors is None else "change"}
        shown |= {"kind": kind, "key": key, "present": is_present, "value": as_json(value)}
        print_json(shown | {"authors": authors or []}, compact=True)
        flush()
        return
    text = repr(value) if is_present else "(deleted)"
    if len(text) > SHOWN_CHARACTERS:
        text = f"{text[: SHOWN_CHARACTERS // 2]} ... {text[-SHOWN_CHARACTERS // 2 :]}"
    by = f"  by {', '.join(author[:8] for author in authors)}" if authors else ""
    line(f"{kind} {key} = {text}{by}")
    flush()


def _value(document: Document, kind: str, key: str) -> tuple[bool, object]:
    """Whether the object is there, and what a reader sees of it."""
    if kind == "counter":
        return True, document.counter(key).value
    if kind == "list":
        return True, list(document.list(key))
    if kind == "text":
        return True, str(document.text(key))
    values = document.map("")
    return key in values, values.get(key)


def flush() -> None:
    """Let whoever follows the output see the line now."""
    import sys

    sys.stdout.flush()
