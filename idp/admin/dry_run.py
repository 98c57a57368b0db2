"""A dry run: a company's response on the way that a sign-in takes, with everything shown and nothing kept.

The same code looks at the response, identifies the person, decides about the account, makes or links it, and makes the claims
that each product would be told. What is written is rolled back; Redis is not touched; and nothing here can sign: no module
on this file's way knows of a signing key (tests/admin/test_dry_run.py).
"""

from __future__ import annotations

import base64
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, assert_never
from urllib.parse import parse_qs

from sqlalchemy.orm import Session as Transaction

from idp.accounts.identity import Identity
from idp.accounts.lifecycle import snapshot
from idp.accounts.linking import Found, New, ProveFirst, Refused
from idp.accounts.sessions import CompanySession
from idp.client_record import Client
from idp.companies import owns_domain
from idp.connections import SamlConnection
from idp.database import Database
from idp.doors.company_identity import identify
from idp.doors.saml_assertion import Assertion
from idp.doors.saml_checks import OLDEST, Check, SentRequest
from idp.doors.saml_response import examine
from idp.errors import IdpError
from idp.login.arrival import Arrival
from idp.login.company_account import Proved, decision_about, settle
from idp.logs import printable
from idp.masking import mask_email
from idp.models import Account
from idp.oidc.claims import id_token_claims, person_claims, subject

MOST_ATTRIBUTES = 50


@dataclass(frozen=True, slots=True)
class Attribute:
    """An attribute that was sent.

    :ivar used_for: what it is mapped to (``email``, ``name``, …); empty: nothing here uses it.
    """

    name: str
    used_for: str
    values: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Outcome:
    """What would become of the account.

    :ivar decision: ``found`` (an account that is linked), ``prepared`` (one that waited for this person), ``new``,
        ``prove_first`` or ``refused``.
    :ivar reason: a code of the reasons table, if refused.
    :ivar proofs: in which ways the account may be proved first: ``password``, ``mail``.
    """

    decision: str
    reason: str = ""
    proofs: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Told:
    """What a product would be told: the claims of its ID token, which nobody signs here, and of its userinfo answer.

    None stands for what only a sign-in would make.
    """

    client_id: str
    name: str
    id_token: Mapping[str, Any]
    userinfo: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Report:
    """What a dry run saw. ``outcome`` is None, and ``told`` empty, when nobody could be identified.

    :ivar at: the time that was taken for now, seconds since 1970.
    :ivar name_id: the NameID and its format, if verified bytes said one.
    """

    connection_id: str
    at: float
    checks: tuple[Check, ...]
    name_id: str
    name_id_format: str
    attributes: tuple[Attribute, ...]
    outcome: Outcome | None
    told: tuple[Told, ...]

    @property
    def held(self) -> bool:
        """Whether every check did: the connection works, whatever becomes of this person's account."""
        return bool(self.checks) and all(check.ok for check in self.checks)

    @property
    def ok(self) -> bool:
        """Whether a sign-in would succeed, if perhaps after a proof."""
        return self.held and self.outcome is not None and self.outcome.decision != "refused"

    @property
    def reason(self) -> str:
        """The first reason for which a sign-in would fail; empty when it would not."""
        failed = next((check.reason for check in self.checks if not check.ok), "")
        return failed or (self.outcome.reason if self.outcome else "")


def dry_run(
    encoded: bytes | str,
    connection: SamlConnection,
    request_of: Callable[[str], SentRequest | None],
    *,
    database: Database,
    clients: Iterable[Client],
    issuer: str,
    subjects_secret: bytes,
    now: float,
    random: Callable[[int], bytes],
) -> Report:
    """Look at a response as if it had just been posted to the connection's ACS address.

    :param encoded: as the form field SAMLResponse has it.
    :param request_of: the request with an id; see ``as_if_sent`` where none is remembered any more.
    :param clients: the products whose claims are wanted.
    :param issuer: ours.
    :param subjects_secret: what pairwise subject identifiers are made with; it signs nothing.
    :param now: seconds since 1970.
    """
    examination = examine(encoded, connection, request_of, now)
    checks, seen = list(examination.checks), examination.assertion or examination.seen
    outcome: Outcome | None = None
    told: tuple[Told, ...] = ()
    with database.rehearsing() as db:
        if seen is not None:
            identity, more = identify(
                seen, connection, lambda domain: owns_domain(db, connection.company_id, domain), now
            )
            checks += more
            if identity is not None and examination.assertion is not None:
                outcome, told = _arrive(
                    db, identity, seen, connection, clients, issuer=issuer, subjects_secret=subjects_secret, now=now,
                    random=random,
                )  # fmt: skip
    return Report(
        connection_id=connection.id,
        at=now,
        checks=tuple(checks),
        name_id=printable(seen.name_id) if seen else "",
        name_id_format=printable(seen.name_id_format) if seen else "",
        attributes=_attributes(seen, connection) if seen else (),
        outcome=outcome,
        told=told,
    )


def encoded_response(given: bytes) -> bytes:
    """The form field SAMLResponse, from what holds it, a whole form as a browser's tools copy it, or the XML that it encodes."""
    text = given.strip()
    if text.startswith(b"<"):
        return base64.b64encode(text)
    if b"SAMLResponse=" in text[:4096]:
        text = parse_qs(text.decode("ascii", "replace")).get("SAMLResponse", [""])[0].encode()
    return re.sub(rb"\s", b"", text)


def as_if_sent(connection: SamlConnection, now: float) -> Callable[[str], SentRequest]:
    """For a response that was captured some time ago: the request that it answers is taken for one of ours.

    Taken to be as old as a response may be, it refuses none that the ACS address would have taken for its real one.
    """

    def request_of(id: str) -> SentRequest:
        return SentRequest(
            id=id, issued_at=int(now) - OLDEST, connection_id=connection.id, idp_entity_id=connection.idp_entity_id,
            force_authn=False, max_age=None, contexts=(), passive=False,
        )  # fmt: skip

    return request_of


def masked(report: Report) -> Report:
    """The report as a company's IT is shown it: enough to know one's own values again, no more.

    An account that must be proved first is nobody's but its owner's until then: nothing of it is shown.
    """
    unproved = report.outcome is not None and report.outcome.decision == "prove_first"
    return Report(
        connection_id=report.connection_id,
        at=report.at,
        checks=report.checks,
        name_id=_mask(report.name_id),
        name_id_format=report.name_id_format,
        attributes=tuple(
            Attribute(one.name, one.used_for, tuple(_mask(value) for value in one.values)) for one in report.attributes
        ),
        outcome=report.outcome,
        told=tuple(
            Told(
                one.client_id,
                one.name,
                one.id_token,
                {name: _masked_claim(name, value) for name, value in one.userinfo.items()},
            )
            for one in report.told
            if not unproved
        ),
    )


def _arrive(
    db: Transaction,
    identity: Identity,
    seen: Assertion,
    connection: SamlConnection,
    clients: Iterable[Client],
    *,
    issuer: str,
    subjects_secret: bytes,
    now: float,
    random: Callable[[int], bytes],
) -> tuple[Outcome, tuple[Told, ...]]:
    session = CompanySession(connection.id, seen.name_id, seen.name_id_format, seen.session_index)
    arrival = Arrival(identity, connection.company_id, session, seen.session_not_on_or_after)
    proved: Proved | None = None
    decision = decision_about(db, arrival, own_issuer=issuer)
    match decision:
        case Refused(reason):
            return Outcome("refused", reason), ()
        case ProveFirst(account_id, proofs):
            outcome = Outcome("prove_first", proofs=tuple(proofs))
            proved = Proved(account_id, proofs[0])  # what would follow
        case New():
            outcome = Outcome("new")
        case Found(prepared=prepared):
            outcome = Outcome("prepared" if prepared else "found")
        case _:
            assert_never(decision)
    try:
        account = settle(db, arrival, proved, own_issuer=issuer, now=now, random=random)
    except IdpError as error:
        return Outcome("refused", error.reason), ()
    assert isinstance(account, Account)  # it was proved
    db.flush()
    person = snapshot(account)
    told = []
    for client in clients:
        sub = subject(client, account.id, account.sub, subjects_secret)
        claims = id_token_claims(
            client,
            issuer=issuer,
            sub=sub,
            auth_time=identity.at,
            proved_at=identity.at,
            acr=identity.acr,
            amr=identity.methods,
            person=person,
            wished={},
            now=now,
        )
        userinfo = {"sub": sub, **person_claims(client, person, client.scopes, {}, proved_at=identity.at)}
        later = {"sid": None, "at_hash": None}
        if outcome.decision == "new":
            later["sub"] = userinfo["sub"] = None
        told.append(Told(client.client_id, client.name, claims | later, userinfo))
    return outcome, tuple(told)


def _attributes(seen: Assertion, connection: SamlConnection) -> tuple[Attribute, ...]:
    uses = {name: use for use, name in connection.attributes.items()}
    sent = list(seen.attributes.items())[:MOST_ATTRIBUTES]
    rows = [Attribute(printable(name), uses.get(name, ""), tuple(map(printable, values))) for name, values in sent]
    return tuple(sorted(rows, key=lambda row: (not row.used_for, row.name)))


def _masked_claim(name: str, value: Any) -> Any:
    if isinstance(value, dict) and name != "company":
        return {part: _masked_claim(part, inner) for part, inner in value.items()}
    hidden = isinstance(value, str) and name not in ("sub", "locale", "zoneinfo")
    return _mask(value) if hidden else value


def _mask(text: str) -> str:
    if "@" in text:
        return mask_email(text)
    return f"{text[:1]}•••" if text else ""
