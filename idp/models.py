"""All tables. Times are whole seconds since 1970 (UTC), the same on SQLite and PostgreSQL.

Identifiers of people are random and permanent; secrets stand here only as hashes.
"""

from __future__ import annotations

from typing import Any, ClassVar

from sqlalchemy import JSON, BigInteger, Boolean, ForeignKey, Index, Integer, MetaData, String, Text, UniqueConstraint
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column, relationship

# SQLite only auto-increments INTEGER primary keys; PostgreSQL gets the wide type.
Id = BigInteger().with_variant(Integer, "sqlite")


class Table(DeclarativeBase):
    metadata = MetaData(
        naming_convention={
            "ix": "ix_%(column_0_label)s",
            "uq": "uq_%(table_name)s_%(column_0_name)s",
            "fk": "fk_%(table_name)s_%(column_0_name)s_%(referred_table_name)s",
            "pk": "pk_%(table_name)s",
        }
    )
    type_annotation_map: ClassVar[dict[Any, Any]] = {dict[str, Any]: JSON, list[str]: JSON}


class Account(Table):
    """A person. ``id`` never leaves this system; ``sub`` is the public subject identifier, random and permanent."""

    __tablename__ = "accounts"

    id: Mapped[str] = mapped_column(String(32), primary_key=True)  # 32 hex digits, random
    sub: Mapped[str] = mapped_column(String(64), unique=True)
    state: Mapped[str] = mapped_column(String(16), default="active")  # active, suspended, closed
    locale: Mapped[str | None] = mapped_column(String(16))
    # Standard claims (OpenID Connect Core 5.1) other than sub, email, locale and their verified flags; checked by
    # accounts/lifecycle.py when written, so that reading them needs no second look.
    profile: Mapped[dict[str, Any]] = mapped_column(default=dict)
    created_at: Mapped[int] = mapped_column(BigInteger)
    updated_at: Mapped[int] = mapped_column(BigInteger)

    emails: Mapped[list[Email]] = relationship(back_populates="account", cascade="all, delete-orphan")
    password: Mapped[Password | None] = relationship(back_populates="account", cascade="all, delete-orphan")


class Email(Table):
    """An address of a person. ``canonical`` (see ``accounts/identity.py``) is unique over everybody."""

    __tablename__ = "emails"

    id: Mapped[int] = mapped_column(Id, primary_key=True)
    account_id: Mapped[str] = mapped_column(ForeignKey("accounts.id", ondelete="CASCADE"), index=True)
    address: Mapped[str] = mapped_column(String(320))
    canonical: Mapped[str] = mapped_column(String(320), unique=True)
    primary: Mapped[bool] = mapped_column(Boolean, default=True)
    verified_at: Mapped[int | None] = mapped_column(BigInteger)

    account: Mapped[Account] = relationship(back_populates="emails")


class Password(Table):
    """The password of a standard account, as an argon2id hash."""

    __tablename__ = "passwords"

    account_id: Mapped[str] = mapped_column(ForeignKey("accounts.id", ondelete="CASCADE"), primary_key=True)
    hash: Mapped[str] = mapped_column(String(255))
    changed_at: Mapped[int] = mapped_column(BigInteger)

    account: Mapped[Account] = relationship(back_populates="password")


class Link(Table):
    """An identity at a door that leads to an account: the login key is (issuer, subject), never the e-mail."""

    __tablename__ = "links"
    __table_args__ = (UniqueConstraint("issuer", "subject"),)

    id: Mapped[int] = mapped_column(Id, primary_key=True)
    account_id: Mapped[str] = mapped_column(ForeignKey("accounts.id", ondelete="CASCADE"), index=True)
    issuer: Mapped[str] = mapped_column(String(512))
    subject: Mapped[str] = mapped_column(String(512))
    proof: Mapped[dict[str, Any]] = mapped_column(default=dict)
    created_at: Mapped[int] = mapped_column(BigInteger)


class Device(Table):
    """A browser in which a person has signed in before. The cookie's secret stands here as a hash."""

    __tablename__ = "devices"
    __table_args__ = (UniqueConstraint("account_id", "secret_hash"),)

    id: Mapped[int] = mapped_column(Id, primary_key=True)
    account_id: Mapped[str] = mapped_column(ForeignKey("accounts.id", ondelete="CASCADE"), index=True)
    secret_hash: Mapped[str] = mapped_column(String(64))
    label: Mapped[str] = mapped_column(String(128))  # "Firefox on Linux"
    first_seen_at: Mapped[int] = mapped_column(BigInteger)
    last_seen_at: Mapped[int] = mapped_column(BigInteger)


class Consent(Table):
    """What a person allowed a client. ``scopes`` only grows until it is withdrawn."""

    __tablename__ = "consents"
    __table_args__ = (UniqueConstraint("account_id", "client_id"),)

    id: Mapped[int] = mapped_column(Id, primary_key=True)
    account_id: Mapped[str] = mapped_column(ForeignKey("accounts.id", ondelete="CASCADE"), index=True)
    client_id: Mapped[str] = mapped_column(String(128))
    scopes: Mapped[list[str]] = mapped_column(default=list)
    given_at: Mapped[int] = mapped_column(BigInteger)


class ProductUse(Table):
    """That a person has opened a product: first and last time. Written by the worker, never on a hot path."""

    __tablename__ = "product_uses"

    account_id: Mapped[str] = mapped_column(ForeignKey("accounts.id", ondelete="CASCADE"), primary_key=True)
    client_id: Mapped[str] = mapped_column(String(128), primary_key=True)
    first_at: Mapped[int] = mapped_column(BigInteger)
    last_at: Mapped[int] = mapped_column(BigInteger)


class MailedLink(Table):
    """A link in a mail that lives longer than an hour. Bound to one person and one purpose, used once."""

    __tablename__ = "mailed_links"

    id: Mapped[int] = mapped_column(Id, primary_key=True)
    secret_hash: Mapped[str] = mapped_column(String(64), unique=True)
    purpose: Mapped[str] = mapped_column(String(32))  # not_me, later: reset, invitation, …
    account_id: Mapped[str] = mapped_column(ForeignKey("accounts.id", ondelete="CASCADE"), index=True)
    facts: Mapped[dict[str, Any]] = mapped_column(default=dict)
    created_at: Mapped[int] = mapped_column(BigInteger)
    expires_at: Mapped[int] = mapped_column(BigInteger)
    used_at: Mapped[int | None] = mapped_column(BigInteger)


class Revocation(Table):
    """Something that must end in Redis too: written with the act itself, replayed until ``done_at`` is set."""

    __tablename__ = "revocations"
    __table_args__ = (Index("ix_revocations_open", "done_at", "id"),)

    id: Mapped[int] = mapped_column(Id, primary_key=True)
    # account (sessions and grants end), consent (those of one client), person (claims have changed)
    kind: Mapped[str] = mapped_column(String(32))
    account_id: Mapped[str] = mapped_column(String(32))
    client_id: Mapped[str | None] = mapped_column(String(128))
    created_at: Mapped[int] = mapped_column(BigInteger)
    done_at: Mapped[int | None] = mapped_column(BigInteger)


class Attempt(Table):
    """A sign-in attempt, found by its receipt code. Values are masked when they are written."""

    __tablename__ = "attempts"
    __table_args__ = (Index("ix_attempts_outcome", "outcome", "started_at"),)

    code: Mapped[str] = mapped_column(String(9), primary_key=True)  # K7QX-2M4P
    started_at: Mapped[int] = mapped_column(BigInteger, index=True)
    last_at: Mapped[int] = mapped_column(BigInteger)
    client_id: Mapped[str | None] = mapped_column(String(128))
    door: Mapped[str | None] = mapped_column(String(64))
    account_id: Mapped[str | None] = mapped_column(String(32), index=True)
    outcome: Mapped[str] = mapped_column(String(16))  # open, done, failed
    reason: Mapped[str | None] = mapped_column(String(64))


class AttemptStep(Table):
    """One step of an attempt. ``entry`` is the step's own id, so that a repeated drain writes nothing twice."""

    __tablename__ = "attempt_steps"

    entry: Mapped[str] = mapped_column(String(40), primary_key=True)
    code: Mapped[str] = mapped_column(String(9), index=True)
    at: Mapped[int] = mapped_column(BigInteger)  # milliseconds, because steps follow fast
    name: Mapped[str] = mapped_column(String(48))
    reason: Mapped[str | None] = mapped_column(String(64))
    facts: Mapped[dict[str, Any]] = mapped_column(default=dict)


class AuditEvent(Table):
    """What was done, by whom, to what: in the same transaction as the act."""

    __tablename__ = "audit_events"

    id: Mapped[int] = mapped_column(Id, primary_key=True)
    at: Mapped[int] = mapped_column(BigInteger, index=True)
    event: Mapped[str] = mapped_column(String(64), index=True)  # audit.Event
    actor: Mapped[str] = mapped_column(String(160))  # "person:<id>", "operator:<unix user>", "system"
    account_id: Mapped[str | None] = mapped_column(String(32), index=True)
    facts: Mapped[dict[str, Any]] = mapped_column(default=dict)


class OutboxMail(Table):
    """A mail on its way. Subject and bodies are made when it is sent, from ``name``, ``language`` and ``values``."""

    __tablename__ = "outbox_mails"
    __table_args__ = (
        Index("ix_outbox_mails_due", "state", "next_try_at"),
        Index("ix_outbox_mails_recipient", "recipient", "created_at"),
    )

    id: Mapped[int] = mapped_column(Id, primary_key=True)
    name: Mapped[str] = mapped_column(String(48))  # templates/mail/<name>.txt and .html
    recipient: Mapped[str] = mapped_column(String(320))
    language: Mapped[str] = mapped_column(String(16))
    values: Mapped[dict[str, Any]] = mapped_column(default=dict)  # sealed where it holds a secret: see mail.py
    state: Mapped[str] = mapped_column(String(16), default="waiting")  # waiting, sent, bounced, given_up
    tries: Mapped[int] = mapped_column(Integer, default=0)
    created_at: Mapped[int] = mapped_column(BigInteger)
    next_try_at: Mapped[int] = mapped_column(BigInteger)
    leased_until: Mapped[int | None] = mapped_column(BigInteger)
    sent_at: Mapped[int | None] = mapped_column(BigInteger)
    last_answer: Mapped[str | None] = mapped_column(Text)


class LogoutNotice(Table):
    """A back-channel logout that a relying party has still to hear. The token is made when it is sent."""

    __tablename__ = "logout_notices"
    __table_args__ = (Index("ix_logout_notices_due", "state", "next_try_at"),)

    id: Mapped[int] = mapped_column(Id, primary_key=True)
    client_id: Mapped[str] = mapped_column(String(128))
    sub: Mapped[str] = mapped_column(String(255))
    sid: Mapped[str] = mapped_column(String(64))
    state: Mapped[str] = mapped_column(String(16), default="waiting")  # waiting, sent, given_up
    tries: Mapped[int] = mapped_column(Integer, default=0)
    created_at: Mapped[int] = mapped_column(BigInteger)
    next_try_at: Mapped[int] = mapped_column(BigInteger)
    leased_until: Mapped[int | None] = mapped_column(BigInteger)
    sent_at: Mapped[int | None] = mapped_column(BigInteger)
    last_answer: Mapped[str | None] = mapped_column(Text)
