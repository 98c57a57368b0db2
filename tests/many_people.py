"""As many people as a test wants, made by the database itself, with what people have: in each table that their pages read."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from sqlalchemy import text

from idp.companies import create_company
from idp.database import Database
from idp.parts import Parts
from tests.backends import running_postgres

PARCEL = 20_000
DOMAINS = 10  # a tenth of all people have an address at each of these
# What is written for the person with the number n: {id}, {json …} and {yes} are spelled by the kind of database.
ROWS = {
    "accounts (id, sub, state, profile, created_at, updated_at)": (
        """{id}, 'sub-' || n, 'active', {open}'{{"name"{colon} "Person ' || n || '"}}'{close}, 1, 1"""
    ),
    'emails (account_id, address, canonical, domain, "primary", verified_at)': (
        "{id}, 'p' || n || {at}, 'p' || n || {at}, {domain}, {yes}, 1"
    ),
    "passwords (account_id, hash, changed_at)": "{id}, 'no hash', 1",
    "search_terms (account_id, kind, term, company_id)": "{id}, 'address', 'p' || n || {at}, {company}",
    "search_terms  (account_id, kind, term, company_id)": "{id}, 'domain', {domain} || ' p' || n, {company}",
    "search_terms   (account_id, kind, term, company_id)": "{id}, 'name', 'person ' || n, {company}",
    "devices (account_id, secret_hash, label, first_seen_at, last_seen_at)": "{id}, 'd' || n, 'Firefox', 1, 1",
    "passkeys (account_id, credential_id, public_key, sign_count, transports, name, synced, created_at)": (
        "{id}, 'k' || n, '', 0, {open}'[]'{close}, 'Key', {no}, 1"
    ),
    "links (account_id, issuer, subject, door, proof, created_at)": (
        "{id}, 'https://social.example', 'l' || n, 'google', {open}'{{}}'{close}, 1"
    ),
    "members (account_id, company_id, role, break_glass, prepared, created_at)": (
        "{id}, {company}, 'member', {no}, {no}, 1"
    ),
    "invitations (account_id, company_id, sent, last_sent_at, expires_at, accepted_at, created_at)": (
        "{id}, NULL, 1, 1, 1, 1, 1"
    ),
    "audit_events (at, event, actor, account_id, facts)": (
        "1, 'person.signed_in', 'person:' || {id}, {id}, {open}'{{}}'{close}"
    ),
    "attempts (code, started_at, last_at, account_id, outcome)": "'A' || n, 1, 1, {id}, 'done'",
    "attempt_steps (entry, code, at, name, facts)": "'e' || n, 'A' || n, 1, 'signed_in', {open}'{{}}'{close}",
    "mailed_links (secret_hash, purpose, account_id, facts, created_at, expires_at)": (
        "'m' || n, 'not_me', {id}, {open}'{{}}'{close}, 1, 1"
    ),
    'outbox_mails (name, recipient, language, "values", state, tries, created_at, next_try_at)': (
        "'new_device', 'p' || n || {at}, 'en', {open}'{{}}'{close}, 'sent', 1, 1, 1"
    ),
    "revocations (kind, account_id, created_at, done_at)": "'person', {id}, 1, 1",
    "held_addresses (canonical, account_id, until)": "'old' || n || {at}, {id}, 1",
    "consents (account_id, client_id, scopes, given_at)": "{id}, 'C1', {open}'[]'{close}, 1",
    "product_uses (account_id, client_id, first_at, last_at)": "{id}, 'C1', 1, 1",
}
TABLES = frozenset(row.split()[0] for row in ROWS)  # which grow with the number of people


KINDS = ["sqlite", pytest.param("postgresql", marks=pytest.mark.needs("postgresql"))]


@contextmanager
def emptied_afterwards(parts: Parts, kind: str) -> Iterator[Parts]:
    """A provider on one of KINDS whose people do not outlive the test; its receipts are closed, whose thread writes whenever it likes."""
    parts.attempts.close()
    if kind == "sqlite":
        yield parts
        with parts.database.transaction() as db:  # no need to look for canaries in a million people
            db.execute(text("PRAGMA defer_foreign_keys=ON"))
            for table in TABLES:
                db.execute(text(f"DELETE FROM {table}"))
        return
    with running_postgres() as server:
        database = Database(parts.config.model_copy(update={"database_url": server.new_database()}))
        database.upgrade()
        yield dataclasses.replace(parts, database=database)
        database.close()


def add_many_people(parts: Parts, first: int, end: int) -> None:
    """The people with the numbers from ``first`` to before ``end``: p7@d7.example, called Person 7, member of one company."""
    postgres = parts.database.kind == "postgresql"
    with parts.database.transaction() as db:
        company = create_company(
            db, f"Company of {first}", actor="operator:test", now=parts.clock(), random=parts.random
        ).id
    spelled = {
        "id": "lpad(to_hex(n), 32, '0')" if postgres else "printf('%032x', n)",
        "open": "CAST(" if postgres else "",
        "close": " AS JSON)" if postgres else "",
        "colon": "\\:",
        "yes": "true" if postgres else "1",
        "no": "false" if postgres else "0",
        "domain": f"'d' || (n % {DOMAINS}) || '.example'",
        "at": f"'@d' || (n % {DOMAINS}) || '.example'",
        "company": f"'{company}'",
    }
    numbers = (
        "SELECT generate_series(CAST(:first AS integer), CAST(:last AS integer))"
        if postgres
        else "SELECT :first UNION ALL SELECT n + 1 FROM numbers WHERE n < :last"
    )
    for start in range(first, end, PARCEL):
        values = {"first": start, "last": min(start + PARCEL, end) - 1}
        for into, columns in ROWS.items():
            with parts.database.transaction() as db:
                made = f"WITH RECURSIVE numbers (n) AS ({numbers}) SELECT {columns.format(**spelled)} FROM numbers"
                db.execute(text(f"INSERT INTO {into} {made}"), values)
    if postgres:
        with parts.database.transaction() as db:
            db.execute(text("ANALYZE"))  # as its own housekeeping does
