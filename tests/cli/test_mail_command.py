"""Promises of ``idp mail``."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import trustme
from click.testing import CliRunner, Result
from sqlalchemy import select

from idp.cli.mail_command import mail_command
from idp.config import Config
from idp.database import Database
from idp.errors import OperatorError
from idp.models import AuditEvent, OutboxMail
from tests import canaries
from tests.fakes.mail_server import PASSWORD, mail_server

NOW = 1_800_000_000


@pytest.fixture
def database(config: Config) -> Iterator[Database]:
    built = Database(config)
    yield built
    built.close()


Run = Callable[..., Result]


@pytest.fixture
def run(config: Config) -> Run:
    """``idp mail …`` on the test's database; an OperatorError comes out as itself."""

    def command(*arguments: str, **environ: str) -> Result:
        settings = {"IDP_ISSUER": config.issuer, "IDP_DATA": str(config.data), "IDP_KEYS": str(config.keys)}
        result = CliRunner().invoke(mail_command, arguments, env=settings | environ)
        if isinstance(result.exception, OperatorError):
            raise result.exception
        canaries.show(result.output, "idp mail")
        return result

    return command


def add(database: Database, state: str, recipient: str = "carol@example.org", answer: str | None = None) -> None:
    with database.transaction() as db:
        db.add(
            OutboxMail(
                name="new_device",
                recipient=recipient,
                language="en",
                values={"sealed": "c2VhbGVk", "agent": "Firefox"},
                state=state,
                tries=2,
                created_at=NOW,
                next_try_at=NOW,
                sent_at=NOW + 5 if state == "sent" else None,
                last_answer=answer,
            )
        )


def test_the_list_shows_what_became_of_each_mail_and_not_what_is_in_it(run: Run, database: Database) -> None:
    add(database, "sent", answer="250 2.0.0 queued as 7")
    add(database, "bounced", "dave@example.org", "recipient: 550 no such person")
    add(database, "waiting")

    plain = run("list").output
    assert [line.split()[0] for line in plain.splitlines() if not line.startswith("        ")] == ["3", "2", "1"]
    for part in ("2027-01-15T08:00:00Z", "bounced", "dave@example.org", "550 no such person", "250 2.0.0 queued as 7"):
        assert part in plain
    assert "next try 2027-01-15T08:00:00Z" in plain
    assert "sealed" not in plain and "Firefox" not in plain

    rows = json.loads(run("list", "--json").output)
    assert rows[1] == {
        "id": 2,
        "name": "new_device",
        "recipient": "dave@example.org",
        "language": "en",
        "state": "bounced",
        "tries": 2,
        "created_at": "2027-01-15T08:00:00Z",
        "next_try_at": None,
        "sent_at": None,
        "last_answer": "recipient: 550 no such person",
    }
    assert rows[2]["sent_at"] == "2027-01-15T08:00:05Z"


def test_the_list_can_be_narrowed(run: Run, database: Database) -> None:
    for state, recipient in (
        ("sent", "carol@example.org"),
        ("bounced", "dave@example.org"),
        ("bounced", "eve@x.example"),
    ):
        add(database, state, recipient)

    def numbers(*arguments: str) -> list[int]:
        return [row["id"] for row in json.loads(run("list", "--json", *arguments).output)]

    assert numbers("--state", "bounced") == [3, 2]
    assert numbers("--to", "Dave@Example.org") == [2]
    assert numbers("--limit", "1") == [3]
    assert numbers("--state", "waiting") == []


def test_a_retry_puts_mails_on_their_way_again_and_is_audited(run: Run, database: Database) -> None:
    for state in ("bounced", "sent", "given_up", "bounced"):
        add(database, state)

    said = run("retry", "1", "2", "99").output
    assert "1 of 3 will be sent again." in said
    assert "2 99" in said
    assert "2 of 2 will be sent again." in run("retry", "--all").output
    with database.reading() as db:
        assert [mail.state for mail in db.scalars(select(OutboxMail).order_by(OutboxMail.id))] == [
            "waiting",
            "sent",
            "waiting",
            "waiting",
        ]
        events = db.scalars(select(AuditEvent).order_by(AuditEvent.id)).all()
        assert [(event.event, event.facts) for event in events] == [("mail.retried", {"mail": n}) for n in (1, 3, 4)]
        assert all(event.actor.startswith("operator:") for event in events)


@pytest.mark.parametrize("arguments", [(), ("1", "--all")])
def test_a_retry_wants_to_know_which(run: Run, arguments: tuple[str, ...]) -> None:
    result = run("retry", *arguments)

    assert result.exit_code == 2
    assert "--all" in result.output


def test_a_test_mail_is_sent_at_once_and_the_answer_shown(run: Run, database: Database, tmp_path: Path) -> None:
    canaries.register(PASSWORD, "password of the mail server")
    authority = trustme.CA()
    authority.cert_pem.write_to_path(tmp_path / "ca.pem")
    with mail_server(authority) as server:
        settings = {**server.environ, "SSL_CERT_FILE": str(tmp_path / "ca.pem")}
        said = run("test", "Carol@Example.org", "--language", "fr", **settings).output

        assert "carol@example.org: 250 2.0.0 queued as 0001" in said
        [mail] = server.received
        assert mail.message["Subject"] == "Message de test de login.example"
        assert "Les messages de login.example vous parviennent." in mail.text()

        server.answers["RCPT"] = ["550 5.1.1 no such person"]
        with pytest.raises(OperatorError, match=r"recipient: 550 5\.1\.1 no such person"):
            run("test", "carol@example.org", **settings)
    with database.reading() as db:
        assert db.scalars(select(OutboxMail)).all() == []


def test_a_test_mail_needs_a_mail_server_and_an_address(run: Run) -> None:
    with pytest.raises(OperatorError, match="IDP_SMTP: not set"):
        run("test", "carol@example.org")
    with pytest.raises(OperatorError, match="not one plain e-mail address"):
        run("test", "carol", IDP_SMTP="localhost:9")
    with pytest.raises(OperatorError, match="connect: "):
        run("test", "carol@example.org", IDP_SMTP="localhost:9")
