"""Logs: JSON, one line per event, to standard error. Whatever a visitor sends stays inside its JSON string (IJ-01).

Secrets are never logged. Two nets stand below that rule: the loggers of libraries that would write codes, keys or whole
messages are held at a level where they do not (P-01, P-29, S-27), and fields with the name of a secret lose their value.
"""

from __future__ import annotations

import logging
import sys
from typing import TextIO

import structlog
from structlog.typing import EventDict, Processor, WrappedLogger

# What these say below their level holds requests, codes, SQL parameters, or documents of other people's.
PINNED = {
    "pyop": logging.WARNING,
    "oic": logging.WARNING,
    "jwkest": logging.WARNING,
    "saml2": logging.CRITICAL,
    "urllib3": logging.WARNING,
    "sqlalchemy": logging.WARNING,
    "werkzeug": logging.WARNING,
    "alembic": logging.WARNING,  # nothing secret, but two lines at every readiness probe
}

SECRET_FIELDS = {
    *("access_token", "assertion", "authorization", "client_assertion", "client_secret", "code", "code_verifier"),
    *("cookie", "csrf", "id_token", "id_token_hint", "password", "refresh_token", "secret", "set_cookie", "token"),
}

_GONE = "•••"


def configure(level: str, stream: TextIO | None = None) -> None:
    """Send every log of this process as JSON lines to ``stream`` (default: standard error).

    :param level: DEBUG, INFO, WARNING or ERROR.
    """
    handler = logging.StreamHandler(stream or sys.stderr)
    handler.setFormatter(json_lines())
    root = logging.getLogger()
    root.handlers = [handler]
    root.setLevel(level)
    for name, least in PINNED.items():
        logging.getLogger(name).setLevel(least)
    # A full disk or a closed pipe under the log must not end a sign-in, nor spill its arguments unescaped (DS-15).
    logging.raiseExceptions = False
    structlog.configure(
        processors=[structlog.stdlib.filter_by_level, *_ENRICH, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.make_filtering_bound_logger(root.level),
    )


def json_lines() -> logging.Formatter:
    """The one form of a log line. Everything outside ASCII is escaped, so that no character can end or hide a line."""
    return structlog.stdlib.ProcessorFormatter(
        foreign_pre_chain=_ENRICH,
        processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, structlog.processors.JSONRenderer()],
    )


def printable(text: str, limit: int = 200) -> str:
    """``text`` as one harmless line of at most ``limit`` characters: what no screen shows (control and direction
    characters, line separators, lone surrogates) becomes an escape."""
    if not text.isprintable():
        text = "".join(
            character if character.isprintable() else character.encode("unicode_escape").decode()
            for character in text[: limit + 1]
        )
    return text if len(text) <= limit else text[: limit - 1] + "…"


def _without_secrets(_logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
    for name in event.keys() & SECRET_FIELDS:
        event[name] = _GONE
    return event


_ENRICH: list[Processor] = [
    structlog.stdlib.add_log_level,
    structlog.stdlib.add_logger_name,
    structlog.processors.TimeStamper(fmt="iso", utc=True, key="time"),
    structlog.processors.format_exc_info,
    _without_secrets,
]
