"""All tables. Times are whole seconds since 1970 (UTC), the same on SQLite and PostgreSQL.

Identifiers of people are random and permanent; secrets stand here only as hashes.
"""

from __future__ import annotations

from typing import Any, ClassVar

from sqlalchemy import (
    JSON,
    BigInteger,
    Boolean,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    String,
    Text,
    UniqueConstraint,
    text,
)
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column, relationship

# SQLite only auto-increments INTEGER primary keys; PostgreSQL gets the wide type.
Id = BigInteger().with_variant(Integer, "sqlite")


# PostgreSQL compares text as people sort it, in which a dot may count for nothing; SQLite compares bytes.
Labels = String(254).with_variant(String(254, collation="C"), "postgresql")
Beginnings = String(320).with_variant(String(320, collation="C"), "postgresql")


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
    # The terms that the person has accepted (IDP_TERMS_VERSION then) and when; None: an operator or a company made the account.
    terms_version: Mapped[str | None] = mapped_column(String(64))
    terms_accepted_at: Mapped[int | None] = mapped_column(BigInteger)
    # Where reset mails go instead of the primary address, if the person has proved that it is theirs. Nobody signs in with it.
    recovery_email: Mapped[str | None] = mapped_column(String(320))
    recovery_verified_at: Mapped[int | None] = mapped_column(BigInteger)
    # When its owner closed it; two weeks later the row goes.
    closed_at: Mapped[int | None] = mapped_column(BigInteger, index=True)
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
    # The part of ``canonical`` after the @: a company's policies reach all addresses of its domains.
    domain: Mapped[str] = mapped_column(String(255), index=True)
    primary: Mapped[bool] = mapped_column(Boolean, default=True)
    verified_at: Mapped[int | None] = mapped_column(BigInteger)

    account: Mapped[Account] = relationship(back_populates="emails")


class SearchTerm(Table):
    """What a person is found by, from its beginning: see ``search_terms.py``, which writes it.

    ``company_id`` is the company that they belong to: one range of an index holds its people as well as everybody.
    """

    __tablename__ = "search_terms"
    __table_args__ = (
        Index("ix_search_terms_everybody", "kind", "term", "account_id"),
        Index("ix_search_terms_company", "company_id", "kind", "term", "account_id"),
    )

    account_id: Mapped[str] = mapped_column(ForeignKey("accounts.id", ondelete="CASCADE"), primary_key=True)
    kind: Mapped[str] = mapped_column(String(8), primary_key=True)  # address, name, domain
    term: Mapped[str] = mapped_column(Beginnings, primary_key=True)
    company_id: Mapped[str | None] = mapped_column(ForeignKey("companies.id", ondelete="SET NULL"))


class Password(Table):
    """The password of a standard account, as an argon2id hash."""

    __tablename__ = "passwords"

    account_id: Mapped[str] = mapped_column(ForeignKey("accounts.id", ondelete="CASCADE"), primary_key=True)
    hash: Mapped[str] = mapped_column(String(255))
    changed_at: Mapped[int] = mapped_column(BigInteger)

    account: Mapped[Account] = relationship(back_populates="password")


class Passkey(Table):
    """A passkey of a person (Web Authentication Level 3). Its user handle is the account's ``sub``."""

    __tablename__ = "passkeys"

    id: Mapped[int] = mapped_column(Id, primary_key=True)
    account_id: Mapped[str] = mapped_column(ForeignKey("accounts.id", ondelete="CASCADE"), index=True)
    credential_id: Mapped[str] = mapped_column(String(1400), unique=True)  # base64url; up to 1023 bytes
    public_key: Mapped[str] = mapped_column(Text)  # COSE, base64url
    sign_count: Mapped[int] = mapped_column(BigInteger, default=0)
    transports: Mapped[list[str]] = mapped_column(default=list)
    name: Mapped[str] = mapped_column(String(80))  # what the person calls it
    synced: Mapped[bool] = mapped_column(Boolean, default=False)  # its maker copies it to the person's other devices
    created_at: Mapped[int] = mapped_column(BigInteger)
    last_used_at: Mapped[int | None] = mapped_column(BigInteger)


class Totp(Table):
    """An authenticator app of a person (RFC 6238): SHA-1, six digits, thirty seconds."""

    __tablename__ = "totps"

    account_id: Mapped[str] = mapped_column(ForeignKey("accounts.id", ondelete="CASCADE"), primary_key=True)
    sealed_secret: Mapped[str] = mapped_column(Text)
    # The step of the last code that was taken: that one and older ones are refused (RFC 6238, section 5.2).
    last_step: Mapped[int] = mapped_column(BigInteger)
    created_at: Mapped[int] = mapped_column(BigInteger)


class RecoveryCode(Table):
    """One of the codes that a person has written down for the day on which the other factors are lost."""

    __tablename__ = "recovery_codes"

    id: Mapped[int] = mapped_column(Id, primary_key=True)
    account_id: Mapped[str] = mapped_column(ForeignKey("accounts.id", ondelete="CASCADE"), index=True)
    code_hash: Mapped[str] = mapped_column(String(64))
    created_at: Mapped[int] = mapped_column(BigInteger)
    used_at: Mapped[int | None] = mapped_column(BigInteger)


class EmailChange(Table):
    """Another address that a person wants, until both mailboxes have agreed. Until then it gives nothing to anybody."""

    __tablename__ = "email_changes"

    account_id: Mapped[str] = mapped_column(ForeignKey("accounts.id", ondelete="CASCADE"), primary_key=True)
    address: Mapped[str] = mapped_column(String(320))
    canonical: Mapped[str] = mapped_column(String(320))
    created_at: Mapped[int] = mapped_column(BigInteger)
    expires_at: Mapped[int] = mapped_column(BigInteger)
    old_proved_at: Mapped[int | None] = mapped_column(BigInteger)
    new_proved_at: Mapped[int | None] = mapped_column(BigInteger)


class HeldAddress(Table):
    """An address that an account has had lately: nobody else can have it while its mailbox may take it back."""

    __tablename__ = "held_addresses"

    canonical: Mapped[str] = mapped_column(String(320), primary_key=True)
    account_id: Mapped[str] = mapped_column(ForeignKey("accounts.id", ondelete="CASCADE"), index=True)
    until: Mapped[int] = mapped_column(BigInteger, index=True)


class Invitation(Table):
    """That somebody was asked to use the account which was made for them; only the link that was sent last works."""

    __tablename__ = "invitations"

    account_id: Mapped[str] = mapped_column(ForeignKey("accounts.id", ondelete="CASCADE"), primary_key=True)
    # None: by an operator.
    company_id: Mapped[str | None] = mapped_column(ForeignKey("companies.id", ondelete="CASCADE"), index=True)
    sent: Mapped[int] = mapped_column(Integer, default=0)  # how many times
    last_sent_at: Mapped[int | None] = mapped_column(BigInteger)
    expires_at: Mapped[int | None] = mapped_column(BigInteger)
    accepted_at: Mapped[int | None] = mapped_column(BigInteger)
    created_at: Mapped[int] = mapped_column(BigInteger)


class Link(Table):
    """An identity at a door that leads to an account: the login key is (issuer, subject), never the e-mail."""

    __tablename__ = "links"
    __table_args__ = (UniqueConstraint("issuer", "subject"),)

    id: Mapped[int] = mapped_column(Id, primary_key=True)
    account_id: Mapped[str] = mapped_column(ForeignKey("accounts.id", ondelete="CASCADE"), index=True)
    # company:<connection>:<entityID>, and an entityID has up to 1024 characters (SAML 2.0 core, section 8.3.6).
    issuer: Mapped[str] = mapped_column(String(1100))
    subject: Mapped[str] = mapped_column(String(512))
    door: Mapped[str] = mapped_column(String(32))  # company, or the key of a social provider
    # What the provider called the person when it was linked, to tell two links apart on a page. Nothing is decided by it.
    email: Mapped[str | None] = mapped_column(String(320))
    proof: Mapped[dict[str, Any]] = mapped_column(default=dict)
    created_at: Mapped[int] = mapped_column(BigInteger)


class Company(Table):
    """A company that signs its people in by itself, and what it decides about them."""

    __tablename__ = "companies"

    id: Mapped[str] = mapped_column(String(32), primary_key=True)  # 32 hex digits, random
    name: Mapped[str] = mapped_column(String(120))
    sso: Mapped[str] = mapped_column(String(16), default="optional")  # optional, required
    jit: Mapped[bool] = mapped_column(Boolean, default=False)  # whether a first company sign-in makes an account
    doors: Mapped[list[str]] = mapped_column(default=list)  # allowed beside the company's own: password, social
    # Seconds; they shorten what the provider allows and never lengthen it.
    session_idle: Mapped[int | None] = mapped_column(Integer)
    session_lifetime: Mapped[int | None] = mapped_column(Integer)
    shortest_password: Mapped[int | None] = mapped_column(Integer)  # characters; longer than the provider's own
    # From when on (seconds since 1970) its people need a second factor, except through the company's own door.
    second_factor_from: Mapped[int | None] = mapped_column(BigInteger)
    contacts: Mapped[list[str]] = mapped_column(default=list)  # technical contacts: certificates, metadata, domains
    # What its people are written to in, and its times are shown in, who have chosen none themselves.
    language: Mapped[str | None] = mapped_column(String(16))
    time_zone: Mapped[str | None] = mapped_column(String(64))
    colour: Mapped[str | None] = mapped_column(String(7))  # #rrggbb, of what its people see
    created_at: Mapped[int] = mapped_column(BigInteger)
    updated_at: Mapped[int] = mapped_column(BigInteger)

    domains: Mapped[list[CompanyDomain]] = relationship(back_populates="company", cascade="all, delete-orphan")


class CompanyLogo(Table):
    """What a company's people see beside its name: always a PNG that we have drawn anew from what was sent (company_settings.py)."""

    __tablename__ = "company_logos"

    company_id: Mapped[str] = mapped_column(ForeignKey("companies.id", ondelete="CASCADE"), primary_key=True)
    # In its address: of its content, so that it may be kept for good.
    name: Mapped[str] = mapped_column(String(32), unique=True)
    content: Mapped[bytes] = mapped_column(LargeBinary)
    width: Mapped[int] = mapped_column(Integer)  # pixels
    height: Mapped[int] = mapped_column(Integer)
    created_at: Mapped[int] = mapped_column(BigInteger)


class BulkInvitation(Table):
    """A list of people who are invited one after the other, in the background; kept for 30 days (admin/bulk_invitations.py)."""

    __tablename__ = "bulk_invitations"

    id: Mapped[str] = mapped_column(String(16), primary_key=True)
    company_id: Mapped[str] = mapped_column(ForeignKey("companies.id", ondelete="CASCADE"), index=True)
    account_id: Mapped[str] = mapped_column(ForeignKey("accounts.id", ondelete="CASCADE"), index=True)  # who invites
    language: Mapped[str] = mapped_column(String(16))  # of the mails
    state: Mapped[str] = mapped_column(String(8))  # draft, running, done, undoing, undone
    # Not before; while somebody works at it, when that is given up.
    due_at: Mapped[int] = mapped_column(BigInteger, index=True)
    created_at: Mapped[int] = mapped_column(BigInteger, index=True)


class BulkLine(Table):
    """One person of such a list."""

    __tablename__ = "bulk_lines"

    bulk_id: Mapped[str] = mapped_column(ForeignKey("bulk_invitations.id", ondelete="CASCADE"), primary_key=True)
    number: Mapped[int] = mapped_column(Integer, primary_key=True)  # of the line, from 1
    written: Mapped[str] = mapped_column(String(320))  # the address, as it was written
    name: Mapped[str | None] = mapped_column(String(200))
    role: Mapped[str] = mapped_column(String(20))
    state: Mapped[str] = mapped_column(String(8))  # waiting, invited, failed, undone, kept
    wrong: Mapped[str] = mapped_column(String(80))  # a key of the catalogues: why it failed or was kept; "": nothing


class SetUpLink(Table):
    """A link with which somebody of a company's IT, without an account, sets up its sign-in. Its secret stands here as a hash."""

    __tablename__ = "set_up_links"

    id: Mapped[str] = mapped_column(String(16), primary_key=True)  # in the audit: link:<id>
    company_id: Mapped[str] = mapped_column(ForeignKey("companies.id", ondelete="CASCADE"), index=True)
    secret_hash: Mapped[str] = mapped_column(String(64), unique=True)
    made_by: Mapped[str] = mapped_column(String(160))  # as the audit names them
    created_at: Mapped[int] = mapped_column(BigInteger)
    expires_at: Mapped[int] = mapped_column(BigInteger)
    opened_at: Mapped[int | None] = mapped_column(BigInteger)
    revoked_at: Mapped[int | None] = mapped_column(BigInteger)


class FactorRemoval(Table):
    """That somebody asked to take away all second factors of a person; another one has to agree until ``expires_at``."""

    __tablename__ = "factor_removals"

    account_id: Mapped[str] = mapped_column(ForeignKey("accounts.id", ondelete="CASCADE"), primary_key=True)
    asked_by: Mapped[str] = mapped_column(String(160))  # as the audit names them
    reason: Mapped[str] = mapped_column(String(300))
    expires_at: Mapped[int] = mapped_column(BigInteger)


class PolicyNotice(Table):
    """That people are to be told of a new policy of their company whom it concerns; those up to ``after`` (an account's id) have been."""

    __tablename__ = "policy_notices"
    __table_args__ = (UniqueConstraint("company_id", "kind"),)

    id: Mapped[int] = mapped_column(Id, primary_key=True)
    company_id: Mapped[str] = mapped_column(ForeignKey("companies.id", ondelete="CASCADE"))
    kind: Mapped[str] = mapped_column(String(24))  # of policy_preview.TOLD
    after: Mapped[str] = mapped_column(String(32))
    created_at: Mapped[int] = mapped_column(BigInteger)


class CompanyTerm(Table):
    """What a company is found by: its name from the beginning (name), and from each further word of it on (word)."""

    __tablename__ = "company_terms"
    __table_args__ = (Index("ix_company_terms_found", "kind", "term", "company_id"),)

    company_id: Mapped[str] = mapped_column(ForeignKey("companies.id", ondelete="CASCADE"), primary_key=True)
    kind: Mapped[str] = mapped_column(String(8), primary_key=True)  # name, word
    term: Mapped[str] = mapped_column(Beginnings, primary_key=True)


class CompanyDomain(Table):
    """An e-mail domain that a company says is its own, and the proof of it.

    ``domain`` is in its ASCII form, without a dot at the end. While nobody else may have it (verified, lost, or released and
    cooling off) it also stands in ``held``, which is unique over all companies, and in ``tree`` with its labels reversed
    (``example.acme.``), so that a range of the index holds all its sub-domains.
    """

    __tablename__ = "company_domains"
    __table_args__ = (UniqueConstraint("company_id", "domain"), Index("ix_company_domains_due", "next_check_at"))

    id: Mapped[int] = mapped_column(Id, primary_key=True)
    # None: the company is gone, and the domain cools off.
    company_id: Mapped[str | None] = mapped_column(ForeignKey("companies.id", ondelete="CASCADE"), index=True)
    domain: Mapped[str] = mapped_column(String(253))
    held: Mapped[str | None] = mapped_column(String(253), unique=True)
    tree: Mapped[str | None] = mapped_column(Labels, index=True)
    status: Mapped[str] = mapped_column(String(16), default="pending")  # pending, verified, expired, lost, released
    code: Mapped[str] = mapped_column(String(36))  # a UUID
    code_expires_at: Mapped[int] = mapped_column(BigInteger)
    method: Mapped[str | None] = mapped_column(String(8))  # dns, file: how it was verified
    found: Mapped[list[str]] = mapped_column(default=list)  # what the last check saw
    created_at: Mapped[int] = mapped_column(BigInteger)
    checked_at: Mapped[int | None] = mapped_column(BigInteger)
    verified_at: Mapped[int | None] = mapped_column(BigInteger)
    missed_since: Mapped[int | None] = mapped_column(BigInteger)  # verified, but the proof has not been found since
    # When the company last heard that the proof is missing; 0: it is, and nobody could be told.
    warned_at: Mapped[int | None] = mapped_column(BigInteger)
    free_at: Mapped[int | None] = mapped_column(BigInteger)  # lost or released: when others may claim it
    next_check_at: Mapped[int | None] = mapped_column(BigInteger)

    company: Mapped[Company | None] = relationship(back_populates="domains")


class Member(Table):
    """That a person belongs to a company. Nobody belongs to two."""

    __tablename__ = "members"

    account_id: Mapped[str] = mapped_column(ForeignKey("accounts.id", ondelete="CASCADE"), primary_key=True)
    company_id: Mapped[str] = mapped_column(ForeignKey("companies.id", ondelete="CASCADE"), index=True)
    role: Mapped[str] = mapped_column(String(16), default="member")  # administrator, read_only, member
    break_glass: Mapped[bool] = mapped_column(Boolean, default=False)  # may use the password although SSO is required
    # Made by the company for somebody who has never been here: the first company sign-in with its address takes it.
    prepared: Mapped[bool] = mapped_column(Boolean, default=False)
    created_at: Mapped[int] = mapped_column(BigInteger)


class Staff(Table):
    """That a person has a role at the provider itself: in the admin center they see more than one company."""

    __tablename__ = "staff"

    account_id: Mapped[str] = mapped_column(ForeignKey("accounts.id", ondelete="CASCADE"), primary_key=True)
    role: Mapped[str] = mapped_column(String(24))  # support, operator, operator_read_only
    created_at: Mapped[int] = mapped_column(BigInteger)


class Connection(Table):
    """A company's own identity provider, as we speak SAML 2.0 with it. Read by way of ``connections.py``."""

    __tablename__ = "connections"
    __table_args__ = (Index("ix_connections_due", "metadata_due_at"),)

    id: Mapped[str] = mapped_column(String(16), primary_key=True)  # small letters and digits, in addresses of ours
    company_id: Mapped[str] = mapped_column(ForeignKey("companies.id", ondelete="CASCADE"), index=True)
    name: Mapped[str] = mapped_column(String(120))
    vendor: Mapped[str] = mapped_column(String(24))  # a preset of doors/saml_presets.py
    state: Mapped[str] = mapped_column(String(16), default="draft")  # draft, tested, live; later shadow, canary
    idp_entity_id: Mapped[str] = mapped_column(String(1024))
    sso_url: Mapped[str] = mapped_column(String(2048))
    sso_binding: Mapped[str] = mapped_column(String(8))  # redirect, post
    slo_url: Mapped[str | None] = mapped_column(String(2048))
    slo_binding: Mapped[str | None] = mapped_column(String(8))
    slo_response_url: Mapped[str | None] = mapped_column(String(2048))  # where answers go, if it is another address
    name_id_format: Mapped[str] = mapped_column(String(80))  # the whole URN
    # Exact attribute names by what we need: email, name, given_name, family_name. No email: the NameID is the address.
    attributes: Mapped[dict[str, Any]] = mapped_column(default=dict)
    # AuthnContextClassRef → {"acr": "2", "amr": ["mfa"]}: what we say of a sign-in that the company proved so.
    contexts: Mapped[dict[str, Any]] = mapped_column(default=dict)
    hint: Mapped[str] = mapped_column(String(24))  # how the address is passed on: subject, login_hint, username, none
    metadata_url: Mapped[str | None] = mapped_column(String(2048))
    metadata_read_at: Mapped[int | None] = mapped_column(BigInteger)
    metadata_due_at: Mapped[int | None] = mapped_column(BigInteger)
    metadata_problem: Mapped[str | None] = mapped_column(String(64))  # a code of the reasons table
    metadata_warned_at: Mapped[int | None] = mapped_column(BigInteger)  # when the contacts were told of the problem
    metadata_certificate: Mapped[str | None] = mapped_column(Text)  # PEM; set: only metadata that it has signed counts
    tested_at: Mapped[int | None] = mapped_column(BigInteger)
    administrator_signed_in_at: Mapped[int | None] = mapped_column(BigInteger)
    created_at: Mapped[int] = mapped_column(BigInteger)
    updated_at: Mapped[int] = mapped_column(BigInteger)


class ConnectionCertificate(Table):
    """A certificate with which a company's identity provider may sign. Several count at once."""

    __tablename__ = "connection_certificates"
    __table_args__ = (
        UniqueConstraint("connection_id", "fingerprint"),
        Index("ix_connection_certificates_end", "not_after"),
    )

    id: Mapped[int] = mapped_column(Id, primary_key=True)
    connection_id: Mapped[str] = mapped_column(ForeignKey("connections.id", ondelete="CASCADE"), index=True)
    pem: Mapped[str] = mapped_column(Text)
    fingerprint: Mapped[str] = mapped_column(String(64))  # SHA-256 of the DER form, hex
    not_before: Mapped[int] = mapped_column(BigInteger)
    not_after: Mapped[int] = mapped_column(BigInteger)
    source: Mapped[str] = mapped_column(String(8))  # person, metadata
    added_at: Mapped[int] = mapped_column(BigInteger)
    warned_days: Mapped[int | None] = mapped_column(Integer)  # the last warning said that it ends in so many days


class ConnectionKey(Table):
    """Our key pair towards one identity provider: it signs our requests, and what is encrypted for us it opens."""

    __tablename__ = "connection_keys"

    id: Mapped[int] = mapped_column(Id, primary_key=True)
    connection_id: Mapped[str] = mapped_column(ForeignKey("connections.id", ondelete="CASCADE"), index=True)
    state: Mapped[str] = mapped_column(String(16))  # next (published), signing, retired (published, still opens)
    certificate: Mapped[str] = mapped_column(Text)  # PEM
    sealed_key: Mapped[str] = mapped_column(Text)
    created_at: Mapped[int] = mapped_column(BigInteger)


class ConnectionMetadata(Table):
    """A metadata document that was read for a connection: taken, or kept aside until a person decides."""

    __tablename__ = "connection_metadata"

    id: Mapped[int] = mapped_column(Id, primary_key=True)
    connection_id: Mapped[str] = mapped_column(ForeignKey("connections.id", ondelete="CASCADE"), index=True)
    read_at: Mapped[int] = mapped_column(BigInteger)
    source: Mapped[str] = mapped_column(String(8))  # url, file, form
    state: Mapped[str] = mapped_column(String(16))  # taken, kept_aside, dismissed, outdated (nobody had decided)
    told_at: Mapped[int | None] = mapped_column(BigInteger)  # when the contacts were told that it waits for a person
    document: Mapped[str] = mapped_column(Text)  # empty for a form
    changes: Mapped[dict[str, Any]] = mapped_column(default=dict)  # member → {"was": …, "is": …}


class Device(Table):
    """A browser in which a person has signed in before. The cookie's secret stands here as a hash."""

    __tablename__ = "devices"
    __table_args__ = (UniqueConstraint("account_id", "secret_hash"),)

    id: Mapped[int] = mapped_column(Id, primary_key=True)
    account_id: Mapped[str] = mapped_column(ForeignKey("accounts.id", ondelete="CASCADE"), index=True)
    secret_hash: Mapped[str] = mapped_column(String(64))
    label: Mapped[str] = mapped_column(String(128))  # "Firefox on Linux"
    # Until then it is not asked for the second factor: the person has said that it is theirs.
    remembered_until: Mapped[int | None] = mapped_column(BigInteger)
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


class Seat(Table):
    """What a person is in a product. Whoever signed in before ``granted_at`` signs in anew before the product hears of it."""

    __tablename__ = "seats"

    account_id: Mapped[str] = mapped_column(ForeignKey("accounts.id", ondelete="CASCADE"), primary_key=True)
    client_id: Mapped[str] = mapped_column(String(128), primary_key=True)
    role: Mapped[str] = mapped_column(String(16))  # attendee, organizer
    granted_at: Mapped[int] = mapped_column(BigInteger)


class MailedLink(Table):
    """A link in a mail that lives an hour or longer. Bound to one person and one purpose, used once."""

    __tablename__ = "mailed_links"

    id: Mapped[int] = mapped_column(Id, primary_key=True)
    secret_hash: Mapped[str] = mapped_column(String(64), unique=True)
    purpose: Mapped[str] = mapped_column(String(32))  # not_me, link, …
    # None: it proves an address that may not be anybody's yet.
    account_id: Mapped[str | None] = mapped_column(ForeignKey("accounts.id", ondelete="CASCADE"), index=True)
    facts: Mapped[dict[str, Any]] = mapped_column(default=dict)
    created_at: Mapped[int] = mapped_column(BigInteger)
    expires_at: Mapped[int] = mapped_column(BigInteger)
    used_at: Mapped[int | None] = mapped_column(BigInteger)


class Revocation(Table):
    """Something that must end in Redis too: written with the act itself, replayed until ``done_at`` is set."""

    __tablename__ = "revocations"
    __table_args__ = (Index("ix_revocations_open", "done_at", "id"),)

    id: Mapped[int] = mapped_column(Id, primary_key=True)
    # account (sessions and grants end), others (the same but for one session, whose id is in ``client_id``), consent (those of one
    # client), door (sessions that came by it, and all grants; ``client_id`` names the door, see ``Identity.way``), person (claims have changed)
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
    connection_id: Mapped[str | None] = mapped_column(String(16))
    account_id: Mapped[str | None] = mapped_column(String(32), index=True)
    outcome: Mapped[str] = mapped_column(String(16))  # open, done, failed
    reason: Mapped[str | None] = mapped_column(String(64))


class AttemptStep(Table):
    """One step of an attempt. ``entry`` is the step's own id, so that a repeated drain writes nothing twice."""

    __tablename__ = "attempt_steps"
    # Of most steps it is empty, and those are not in the index.
    __table_args__ = (
        Index(
            "ix_attempt_steps_connection",
            "connection_id",
            "at",
            sqlite_where=text("connection_id IS NOT NULL"),
            postgresql_where=text("connection_id IS NOT NULL"),
        ),
    )

    entry: Mapped[str] = mapped_column(String(40), primary_key=True)
    code: Mapped[str] = mapped_column(String(9), index=True)
    at: Mapped[int] = mapped_column(BigInteger)  # milliseconds, because steps follow fast
    name: Mapped[str] = mapped_column(String(48))
    reason: Mapped[str | None] = mapped_column(String(64))
    connection_id: Mapped[str | None] = mapped_column(String(16))  # the company's connection that it is about
    facts: Mapped[dict[str, Any]] = mapped_column(default=dict)


class ReasonDay(Table):
    """How many attempts that began on one day have failed for a reason, at one product and (``client_id`` "") in all."""

    __tablename__ = "reason_days"

    client_id: Mapped[str] = mapped_column(String(128), primary_key=True)
    day: Mapped[int] = mapped_column(Integer, primary_key=True, index=True)  # days since 1970 (UTC)
    reason: Mapped[str] = mapped_column(String(64), primary_key=True)  # "": none was noted
    count: Mapped[int] = mapped_column(BigInteger)


class AuditEvent(Table):
    """What was done, by whom, to what: in the same transaction as the act. Rows are never changed but to be sealed.

    Each index ends in (at, id), the order of pages, so that a page costs the same among many rows as among few.
    """

    __tablename__ = "audit_events"
    __table_args__ = (
        Index("ix_audit_events_at", "at", "id"),
        Index("ix_audit_events_event", "event", "at", "id"),
        Index("ix_audit_events_actor", "actor", "at", "id"),
        Index("ix_audit_events_account", "account_id", "at", "id"),
        Index("ix_audit_events_company", "company_id", "at", "id"),
        Index("ix_audit_events_company_event", "company_id", "event", "at", "id"),
        Index("ix_audit_events_sequence", "sequence", unique=True),
        Index(
            "ix_audit_events_unsealed",
            "id",
            sqlite_where=text("sequence IS NULL"),
            postgresql_where=text("sequence IS NULL"),
        ),
    )

    id: Mapped[int] = mapped_column(Id, primary_key=True)
    at: Mapped[int] = mapped_column(BigInteger)
    event: Mapped[str] = mapped_column(String(64))  # audit.Event
    actor: Mapped[str] = mapped_column(String(160))  # "person:<id>", "operator:<unix user>", "system"
    account_id: Mapped[str | None] = mapped_column(String(32))
    # The company that it is about, or that the person belonged to then; it outlives the company.
    company_id: Mapped[str | None] = mapped_column(String(32))
    facts: Mapped[dict[str, Any]] = mapped_column(default=dict)
    # Its place in the chain and the digest up to there (audit_chain.py); None: not sealed yet.
    sequence: Mapped[int | None] = mapped_column(BigInteger)
    digest: Mapped[str | None] = mapped_column(String(64))


class AuditHead(Table):
    """How far the chain of audit events goes: one row. Whoever seals holds it."""

    __tablename__ = "audit_head"

    id: Mapped[int] = mapped_column(Integer, primary_key=True)
    sequence: Mapped[int] = mapped_column(BigInteger)
    digest: Mapped[str] = mapped_column(String(64))


class AuditReceiver(Table):
    """Up to where the chain was given to somebody outside (audit_delivery.py)."""

    __tablename__ = "audit_receivers"

    name: Mapped[str] = mapped_column(String(16), primary_key=True)  # webhook, syslog
    sequence: Mapped[int] = mapped_column(BigInteger)
    leased_until: Mapped[int] = mapped_column(BigInteger)


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
