"""Structured logs: one event a line, as JSON or for a terminal.

What users wrote, tokens and keys never enter a log line.
"""

from __future__ import annotations

import logging
import sys
from typing import Final, TextIO, cast

import structlog
from structlog.typing import FilteringBoundLogger, Processor

Log = FilteringBoundLogger
_LEVELS: Final = {
    "debug": logging.DEBUG,
    "info": logging.INFO,
    "warning": logging.WARNING,
    "error": logging.ERROR,
}


def make_log(log_format: str, log_level: str, stream: TextIO | None = None) -> Log:
    """A logger that writes to `stream` (standard error by default).

    `log_format` is auto, json or console; `log_level` debug, info, warning or error.
    """
    target = sys.stderr if stream is None else stream
    is_console = log_format == "console" or (log_format == "auto" and target.isatty())
    processors: list[Processor] = [
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
    ]
    if is_console:
        processors.append(
            structlog.dev.ConsoleRenderer(
                colors=target.isatty(), exception_formatter=structlog.dev.plain_traceback
            )
        )
    else:
        processors += [
            # Local variables hold what users wrote, and keys: tracebacks go without them.
            structlog.processors.ExceptionRenderer(
                structlog.tracebacks.ExceptionDictTransformer(show_locals=False)
            ),
            structlog.processors.JSONRenderer(default=repr),
        ]
    logger = structlog.wrap_logger(
        structlog.PrintLogger(target),
        processors=processors,
        wrapper_class=structlog.make_filtering_bound_logger(_LEVELS[log_level]),
    )
    # aiohttp reports what hostile clients do as warnings; the session's own line says it better.
    for name in ("aiohttp.websocket", "aiohttp.server", "aiohttp.access"):
        logging.getLogger(name).setLevel(logging.CRITICAL)
    return cast(Log, logger)
