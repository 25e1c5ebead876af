"""`roomlog key`: identity files."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from roomlog.cli.failure import Failure
from roomlog.cli.options import JsonOption
from roomlog.cli.output import fields, print_json
from roomlog.identity import Identity

app = typer.Typer(help="Make and show identity files.")

PathArgument = Annotated[Path, typer.Argument(help="The identity file.", metavar="FILE")]


@app.command()
def new(path: PathArgument, json: JsonOption = False) -> None:
    """Make a new identity; never writes over an existing file."""
    identity = Identity.generate()
    try:
        identity.save(path)
    except FileExistsError:
        raise Failure(f"{path} exists already; choose another name, or remove it first") from None
    except FileNotFoundError:
        raise Failure(f"there is no directory {path.parent}; make it first") from None
    _show(path, identity, json)


@app.command()
def show(path: PathArgument, json: JsonOption = False) -> None:
    """Print the public key of an identity; the secret stays in the file."""
    try:
        identity = Identity.load(path)
    except FileNotFoundError:
        raise Failure(f"there is no {path}; make it: roomlog key new {path}") from None
    _show(path, identity, json)


def _show(path: Path, identity: Identity, json: bool) -> None:
    shown = {"file": str(path), "public_key": identity.public_key.hex()}
    if json:
        print_json(shown)
    else:
        fields(shown)
