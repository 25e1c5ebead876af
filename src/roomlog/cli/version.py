"""`roomlog version`: this build, and everything it declares."""

from __future__ import annotations

from typing import Annotated

import typer

from roomlog.cli.options import JsonOption
from roomlog.cli.output import fields, print_json


def version(
    manifest: Annotated[
        bool,
        typer.Option("--manifest", help="Everything that is declared, as JSON."),
    ] = False,
    json: JsonOption = False,
) -> None:
    """Print the version, or with --manifest all that this build speaks, stores and measures."""
    from roomlog.server.manifest import build_manifest

    whole = build_manifest()
    if manifest:
        print_json(whole)
        return
    shown = {
        "roomlog": whole["version"],
        "python": whole["python"],
        "protocols": whole["protocols"],
        "schema_version": whole["store"]["schema_version"],
        "compat_version": whole["store"]["compat_version"],
        "feature_level": whole["feature_level"],
    }
    if json:
        print_json(shown)
    else:
        fields({**shown, "protocols": ", ".join(map(str, shown["protocols"]))})
