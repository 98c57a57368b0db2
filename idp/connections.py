"""Connections: how we speak SAML 2.0 with the identity provider of a company. A company may have several.

A connection is one identity provider and one service provider of ours: with its own entityID, its own addresses and its own
key pair, so that what one company's identity provider says can never count at another's (attacks SA-08, SA-12).

``draft`` → ``tested`` → ``live``, and back. Only people of a company with a ``live`` connection are sent to it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import rsa
from sqlalchemy.orm import Session

from idp.errors import IdpError
from idp.models import Connection
from idp.sealing import Sealer

NAME_ID_EMAIL = "urn:oasis:names:tc:SAML:1.1:nameid-format:emailAddress"
NAME_ID_PERSISTENT = "urn:oasis:names:tc:SAML:2.0:nameid-format:persistent"
NAME_ID_UNSPECIFIED = "urn:oasis:names:tc:SAML:1.1:nameid-format:unspecified"


class ConnectionRefused(IdpError):
    """What somebody wanted of a connection cannot be. Nothing was changed.

    ``reason`` is a code of the reasons table (``connection_…``), ``detail`` says in English what exactly was found.
    """

    status = 409


@dataclass(frozen=True, slots=True)
class SpKey:
    """A key pair of ours. ``state``: ``next`` (published), ``signing``, ``retired`` (opens what is still encrypted for it)."""

    certificate: x509.Certificate
    private: rsa.RSAPrivateKey = field(repr=False)
    state: str


@dataclass(frozen=True, slots=True)
class SamlConnection:
    """Everything that a door needs to know of a connection, as plain values.

    :ivar attributes: the exact attribute name by what we need: ``email``, ``name``, ``given_name``, ``family_name``. Without
        ``email`` the NameID is the address.
    :ivar contexts: AuthnContextClassRef → ``{"acr": "2", "amr": ["mfa"]}``.
    :ivar hint: how the address is passed on: ``subject``, ``login_hint``, ``username``, ``none``.
    :ivar certificates: those of the identity provider, pinned; each of them counts.
    :ivar keys: ours, the signing one first.
    :ivar entity_id: ours towards this identity provider; likewise ``acs`` and ``slo``, our addresses.
    """

    id: str
    company_id: str
    name: str
    vendor: str
    state: str
    idp_entity_id: str
    sso_url: str
    sso_binding: str
    slo_url: str | None
    slo_binding: str | None
    slo_response_url: str | None
    name_id_format: str
    attributes: Mapping[str, str]
    contexts: Mapping[str, Any]
    hint: str
    certificates: tuple[x509.Certificate, ...]
    keys: tuple[SpKey, ...]
    entity_id: str
    acs: str
    slo: str


@dataclass(frozen=True, slots=True)
class Description:
    """An identity provider as its metadata or a form describes it.

    :ivar sso_binding: ``redirect`` or ``post``, like ``slo_binding``.
    :ivar slo_response_url: where answers to its logout requests go, if that is another address.
    :ivar name_id_formats: what it says it can send; likewise ``attribute_names``.
    """

    entity_id: str
    sso_url: str
    sso_binding: str
    slo_url: str | None
    slo_binding: str | None
    slo_response_url: str | None
    certificates: tuple[x509.Certificate, ...]
    name_id_formats: tuple[str, ...] = ()
    attribute_names: tuple[str, ...] = ()


class Connections:
    """The connections in SQL. ``issuer``: ours, the base of all addresses; ``sealer`` closes our private keys."""

    def __init__(self, issuer: str, sealer: Sealer) -> None:
        self._issuer = issuer
        self._sealer = sealer

    def load(self, db: Session, connection_id: str) -> SamlConnection | None:
        """A connection, whatever its state; None when there is none."""
        raise NotImplementedError

    def of_company(self, db: Session, company_id: str) -> Sequence[Connection]:
        """The rows of a company's connections, by name."""
        raise NotImplementedError

    def add(
        self,
        db: Session,
        company_id: str,
        description: Description,
        *,
        name: str,
        vendor: str,
        name_id_format: str | None = None,
        attributes: Mapping[str, str] | None = None,
        contexts: Mapping[str, Any] | None = None,
        hint: str = "none",
        metadata_url: str | None = None,
        document: str = "",
        source: str = "form",
        actor: str,
        now: float,
        random: Callable[[int], bytes],
    ) -> SamlConnection:
        """Add a connection in the state ``draft``, with a key pair of its own."""
        raise NotImplementedError
