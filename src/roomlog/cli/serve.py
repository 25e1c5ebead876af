"""`roomlog serve`: a server, with every key of the configuration as an option."""

from __future__ import annotations

import inspect
import os
import shlex
import shutil
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from roomlog.cli.failure import UsageFailure
from roomlog.server.config import CONFIG_KEYS, ConfigError, ConfigKey, ValueKind, load_config

if TYPE_CHECKING:
    from roomlog.server.service import Service

DEMO_ROOM = "demo"
WRITING = """\
{python} -c "
import asyncio, roomlog
async def main():
    async with roomlog.connect('{url}', room='{room}', identity='me.key') as doc:
        doc.map('users')['ada'] = 'hello'
        await doc.synced()
asyncio.run(main())"
"""


def serve(**flags: Any) -> None:
    """Serve rooms until SIGTERM or Ctrl-C, then drain.

    A flag wins over its ROOMLOG_* variable, which wins over the file of --config.
    """
    config_path = flags.pop("config")
    try:
        config = load_config(flags, os.environ, config_path)
    except ConfigError as error:
        raise UsageFailure(f"{error} (see: roomlog serve --help)") from None
    from roomlog.server.service import STORE_REPLACED, run

    def on_start(service: Service) -> None:
        sys.stderr.write(greeting(service.url, config.store))
        if service.is_store_replaced:
            sys.stderr.write(f"WARNING: {STORE_REPLACED}\n")
        sys.stderr.flush()

    raise typer.Exit(run(config, on_start))


def greeting(url: str, store: str) -> str:
    """What is told when the server listens: where, and two commands to paste as they are."""
    python = from_here(sys.executable)
    roomlog = "roomlog" if shutil.which("roomlog") else from_here(sys.argv[0])
    if Path(sys.argv[0]).name == "__main__.py":
        roomlog = f"{python} -m roomlog"
    kept = f"rooms are kept in {store}" if store else "rooms are kept in memory only: --store DIR"
    return (
        f"roomlog listens on {url}; {kept}\n"
        f"  watch a room:  {roomlog} tail {DEMO_ROOM} --url {url}\n"
        "  write into it:\n"
        f"{WRITING.format(python=python, url=url, room=DEMO_ROOM)}"
    )


def from_here(program: str) -> str:
    """A program's path for a shell in the same directory: its environment may not be active."""
    path = Path(program)
    if path.is_absolute() and path.is_relative_to(Path.cwd()):
        path = path.relative_to(Path.cwd())
    return shlex.quote(str(path))


def option_of(key: ConfigKey) -> inspect.Parameter:
    """A key of the configuration as an option. Values are checked where the table is."""
    shown = ", ".join(key.default) if isinstance(key.default, tuple) else key.default
    default = "" if shown in ("", False) else f" (default {shown})"
    unit = f", {key.unit}" if key.unit and key.kind is not ValueKind.TEXT else ""
    choices = f": {', '.join(key.choices)}" if key.choices else ""
    text = f"{key.meaning}{choices}{unit}{default}"
    if key.kind is ValueKind.FLAG:
        option = typer.Option(key.flag + f"/--no-{key.flag[2:]}", help=text, show_default=False)
        annotation: Any = bool | None
    else:
        metavar = "N" if key.kind is ValueKind.COUNT else (key.unit or "TEXT").upper()
        option = typer.Option(key.flag, help=text, metavar=metavar, show_default=False)
        annotation = str | None
    return inspect.Parameter(
        key.name, inspect.Parameter.KEYWORD_ONLY, default=option, annotation=annotation
    )


def _declare_options() -> None:
    """Give `serve` its options: one schema for flags, variables and the file."""
    config = inspect.Parameter(
        "config",
        inspect.Parameter.KEYWORD_ONLY,
        default=typer.Option(
            "--config", help="TOML file with the same keys.", metavar="FILE", show_default=False
        ),
        annotation=str | None,
    )
    for option in (parameters := [*map(option_of, CONFIG_KEYS), config]):
        option.default.default = None
    serve.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    serve.__annotations__ = {each.name: each.annotation for each in parameters}


_declare_options()
