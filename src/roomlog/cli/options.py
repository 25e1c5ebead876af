"""Options that several commands share."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

DEFAULT_URL = "ws://127.0.0.1:7878"

StoreOption = Annotated[
    Path,
    typer.Option("--store", metavar="DIR", help="Store directory of a server.", show_default=False),
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print the result as JSON.")]
RoomOption = Annotated[
    str | None, typer.Option("--room", metavar="ROOM", help="Only this room.", show_default=False)
]
