"""`roomlog migrate`: look at a store's schema, bring it up to this build, raise its level."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Annotated

import typer

from roomlog.cli.failure import UsageFailure
from roomlog.cli.options import JsonOption, StoreOption
from roomlog.cli.output import fields, line, print_json, remark, time_text

if TYPE_CHECKING:
    from roomlog.store.sqlite.migrate import SchemaStatus

app = typer.Typer(help="Look at and change the schema of a store.")


@app.command()
def status(store: StoreOption, json: JsonOption = False) -> None:
    """Print the store's versions and what is pending. Writes nothing; works beside a server."""
    from roomlog.store.sqlite import migrate

    found = migrate.status(store)
    if json:
        print_json(_status_values(found))
        return
    level = found.store.feature_level
    fields(
        {
            "store": found.store.store_id.hex(),
            "created": time_text(found.store.created_ms),
            "schema": f"{found.store.schema_version} (this build {found.build_schema_version})",
            "compat": f"{found.store.compat_version} (since roomlog {found.compat_release})",
            "feature level": f"{level} (this build {found.build_feature_level})",
        }
    )
    for each in found.applied:
        line(f"applied  {each.version:04d}_{each.name}  {time_text(each.applied_ms)}")
    for name in found.pending:
        line(f"pending  {name}")
    line(_advice(found, str(store)))


@app.command()
def up(store: StoreOption, json: JsonOption = False) -> None:
    """Apply pending migrations. They only add: the build before this one may still be used."""
    from roomlog.store.sqlite import migrate

    def on_applied(name: str) -> None:
        if not json:
            line(f"applied  {name}")

    names = migrate.apply(store, now_ms=time.time_ns() // 1_000_000, on_applied=on_applied)
    if json:
        print_json({"applied": names})
    elif not names:
        line("nothing is pending")


@app.command()
def finalize(
    store: StoreOption,
    yes: Annotated[bool, typer.Option("--yes", help="Do it without asking.")] = False,
    json: JsonOption = False,
) -> None:
    """Raise the feature level to this build's. There is no way back to an older build."""
    from roomlog.store.sqlite import migrate

    found = migrate.status(store)
    if found.can_finalize and not yes:
        before, after = found.store.feature_level, found.build_feature_level
        question = f"raise the feature level from {before} to {after}? older builds are then out"
        if json or not _asked(question):
            raise UsageFailure("--yes is missing: finalize cannot be undone")
    before, after = migrate.finalize(store)
    if json:
        print_json({"feature_level_before": before, "feature_level": after})
    elif before == after:
        line(f"the feature level is {after} already")
    else:
        line(f"the feature level is {after}, was {before}")


def _asked(question: str) -> bool:
    import sys

    if not sys.stdin.isatty():
        return False
    remark(f"{question} [y/N]")
    return sys.stdin.readline().strip().lower() in ("y", "yes")


def _advice(found: SchemaStatus, store: str) -> str:
    if found.is_too_new:
        return f"this build may not open it: use roomlog {found.compat_release} or newer"
    if found.pending:
        return f"next: roomlog migrate up --store {store}"
    if found.can_finalize:
        return f"once no older build is needed: roomlog migrate finalize --store {store}"
    return "nothing to do"


def _status_values(found: SchemaStatus) -> dict[str, object]:
    return {
        "store_id": found.store.store_id.hex(),
        "created_ms": found.store.created_ms,
        "schema_version": found.store.schema_version,
        "compat_version": found.store.compat_version,
        "compat_release": found.compat_release,
        "feature_level": found.store.feature_level,
        "build": {
            "release": found.build_release,
            "schema_version": found.build_schema_version,
            "compat_version": found.build_compat_version,
            "feature_level": found.build_feature_level,
        },
        "applied": [
            {
                "version": each.version,
                "name": each.name,
                "phase": each.phase,
                "checksum": each.checksum.hex(),
                "applied_ms": each.applied_ms,
            }
            for each in found.applied
        ],
        "pending": list(found.pending),
        "is_too_new": found.is_too_new,
        "can_finalize": found.can_finalize,
    }
