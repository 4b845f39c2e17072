"""Logging: structlog over the standard library, JSON in services and readable on a terminal."""

from __future__ import annotations

import logging
import sys

import structlog
from celery import signals

from regioncap.escapes import shown


def connect() -> None:
    """Sets the logs up in place of Celery, when it would do so."""
    signals.setup_logging.connect(lambda **_: configure(), weak=False)


def _as_shown(_: object, __: str, event: structlog.types.EventDict) -> structlog.types.EventDict:
    """Keeps names and texts of others from commanding the terminal."""
    return {
        name: shown(value) if isinstance(value, str) else value for name, value in event.items()
    }


def configure() -> None:
    """Sends all logs of this process, also those of libraries, to stderr in one form."""
    shared: list[structlog.types.Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.stdlib.add_logger_name,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
    ]
    structlog.configure(
        processors=[*shared, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=True,
    )
    renderers: list[structlog.types.Processor] = (
        [_as_shown, structlog.dev.ConsoleRenderer()]
        if sys.stderr.isatty()
        else [structlog.processors.JSONRenderer()]
    )
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=shared,
            processors=[
                structlog.stdlib.ProcessorFormatter.remove_processors_meta,
                structlog.processors.format_exc_info,
                *renderers,
            ],
        )
    )
    root = logging.getLogger()
    root.handlers = [handler]
    root.setLevel(logging.INFO)
    # Their info lines tell of every message and connection; ours tell of every shard.
    for name in ("celery.worker.strategy", "celery.app.trace", "kombu", "urllib3", "httpx"):
        logging.getLogger(name).setLevel(logging.WARNING)
