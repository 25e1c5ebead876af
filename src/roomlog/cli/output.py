"""What commands print: results to standard output, progress and remarks to standard error."""

from __future__ import annotations

import base64
import json
import math
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table

from roomlog.core.crdt.map import BlobReference

WIDTH_WITHOUT_TERMINAL = 240


def line(text: str) -> None:
    """One line of the result."""
    sys.stdout.write(text + "\n")


def remark(text: str) -> None:
    """One line beside the result, on standard error."""
    sys.stderr.write(text + "\n")
    sys.stderr.flush()


def print_json(value: object, *, compact: bool = False) -> None:
    """A result as JSON; one line when `compact`."""
    layout: dict[str, Any] = {"separators": (",", ":")} if compact else {"indent": 2}
    line(json.dumps(value, ensure_ascii=False, allow_nan=False, **layout))


def as_json(value: object) -> object:
    """A value of a room as JSON can hold it.

    Bytes become `{"$bytes": base64}`, floats that JSON lacks `{"$float": "nan"}`, a blob
    `{"$blob": hash, "size_bytes": ..., "media_type": ...}`.
    """
    if isinstance(value, bytes):
        return {"$bytes": base64.b64encode(value).decode()}
    if isinstance(value, float) and not math.isfinite(value):
        return {"$float": repr(value)}
    if isinstance(value, BlobReference):
        return {
            "$blob": value.hash.hex(),
            "size_bytes": value.size_bytes,
            "media_type": value.media_type,
        }
    if isinstance(value, Mapping):
        return {str(key): as_json(each) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [as_json(each) for each in value]
    return value


def counted(count: int, noun: str) -> str:
    """`1 node`, `2 nodes`."""
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"


def fields(rows: Mapping[str, object]) -> None:
    """Names and values below each other."""
    width = max(len(name) for name in rows)
    for name, value in rows.items():
        line(f"{name:<{width}}  {value}")


def table(headers: Sequence[str], rows: Sequence[Sequence[object]]) -> None:
    """A table with a line a row, never cut when no terminal shows it."""
    console = Console(highlight=False, soft_wrap=True)
    if not console.is_terminal:
        console = Console(highlight=False, width=WIDTH_WITHOUT_TERMINAL)
    shown = Table(box=None, pad_edge=False, header_style="bold")
    for header, example in zip(headers, rows[0] if rows else headers, strict=True):
        is_number = isinstance(example, int | float)
        shown.add_column(header, justify="right" if is_number else "left", no_wrap=True)
    for row in rows:
        shown.add_row(*(str(each) for each in row))
    console.print(shown)


def time_text(ms: int) -> str:
    """A wall-clock time in milliseconds as ISO 8601 in UTC."""
    try:
        moment = datetime.fromtimestamp(ms / 1_000, UTC)
    except (ValueError, OverflowError, OSError):
        return f"{ms} ms"
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")


class Steps:
    """Counts finished work on a bar; does nothing where nobody watches."""

    def __init__(self, progress: Progress | None, description: str, total: int) -> None:
        self._progress = progress
        self._task = None if progress is None else progress.add_task(description, total=total)

    def advance(self, count: int = 1) -> None:
        """`count` more are done."""
        if self._progress is not None and self._task is not None:
            self._progress.advance(self._task, count)


@contextmanager
def steps(description: str, total: int) -> Iterator[Steps]:
    """A progress bar on standard error while a terminal shows it."""
    if not sys.stderr.isatty():
        yield Steps(None, description, total)
        return
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=Console(stderr=True), transient=True) as progress:
        yield Steps(progress, description, total)
