"""`roomlog`: the commands together, and how each of them ends."""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Sequence
from typing import cast

import typer

from roomlog.cli import doctor, key, loadtest, migrate, replay, room, serve, tail, verify, version
from roomlog.cli.failure import FAILED, INTERRUPTED, USAGE, Failure
from roomlog.core.errors import RoomlogError
from roomlog.core.reject import Reject

# Typer's own errors have no public common name.
UsageError = cast(type[Exception], typer.BadParameter.__mro__[1])


def make_app() -> typer.Typer:
    """The whole command line."""
    app = typer.Typer(
        name="roomlog",
        help="A room server for local-first, real-time applications.",
        add_completion=False,
        pretty_exceptions_enable=False,
        rich_markup_mode=None,
        context_settings={"help_option_names": ["-h", "--help"]},
    )
    app.command("serve")(serve.serve)
    app.command("tail")(tail.tail)
    app.command("replay")(replay.replay)
    app.command("verify")(verify.verify)
    app.command("doctor")(doctor.doctor)
    app.add_typer(room.app, name="room")
    app.add_typer(key.app, name="key")
    app.add_typer(migrate.app, name="migrate")
    app.command("loadtest")(loadtest.loadtest)
    app.command("version")(version.version)
    return app


def run(arguments: Sequence[str]) -> int:
    """Run one command; its exit code: 0 done, 1 failed, 2 wrongly asked, 130 interrupted."""
    command = typer.main.get_command(make_app())
    try:
        result = command.main(
            list(arguments) or ["--help"], prog_name="roomlog", standalone_mode=False
        )
        sys.stdout.flush()
    except UsageError as error:
        return _fail(_usage(error), USAGE)
    except Failure as error:
        return _fail(str(error), error.exit_code)
    except Reject as error:
        return _fail(f"{error.message} ({error.reject_class.wire})", FAILED)
    except RoomlogError as error:
        return _fail(str(error), FAILED)
    except (KeyboardInterrupt, typer.Abort):
        return INTERRUPTED
    except BrokenPipeError:
        # Whoever read the output has seen enough. Nothing more may be written to it.
        with contextlib.suppress(OSError):
            os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        return FAILED
    except OSError as error:
        return _fail(str(error), FAILED)
    # With `standalone_mode=False` the code of `typer.Exit` is returned.
    return result if isinstance(result, int) else 0


def main() -> None:
    """The entry point of the `roomlog` script."""
    _open_standard_streams()
    sys.exit(run(sys.argv[1:]))


def _open_standard_streams() -> None:
    """Give streams that the caller closed to nobody, before a store gets their descriptors."""
    for descriptor in range(3):
        try:
            os.fstat(descriptor)
        except OSError:
            os.open(os.devnull, os.O_RDWR)
    if sys.stdout is None:
        sys.stdout = os.fdopen(1, "w", closefd=False)
    if sys.stderr is None:
        sys.stderr = os.fdopen(2, "w", closefd=False)


def _usage(error: BaseException) -> str:
    context = getattr(error, "ctx", None)
    path = context.command_path if context is not None else "roomlog"
    text = " ".join(str(getattr(error, "format_message", error.__str__)()).split())
    return f"{text or 'a command is missing'} (see: {path} --help)"


def _fail(message: str, exit_code: int) -> int:
    sys.stdout.flush()
    sys.stderr.write(f"roomlog: {' '.join(message.splitlines())}\n")
    return exit_code
