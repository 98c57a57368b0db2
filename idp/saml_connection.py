"""A company's SAML connection as plain values, and what another description of its identity provider says differently."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import rsa

from idp.certificates import fingerprint
from idp.identity_provider import Description


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


def differences(connection: SamlConnection, description: Description) -> dict[str, dict[str, Any]]:
    """What a description says differently: member → ``{"was": …, "is": …}``. Certificates by their fingerprints, sorted."""
    names = ("sso_url", "sso_binding", "slo_url", "slo_binding", "slo_response_url")
    pairs = {name: (getattr(connection, name), getattr(description, name)) for name in names}
    pairs["entity_id"] = (connection.idp_entity_id, description.entity_id)
    pairs["certificates"] = (
        sorted(map(fingerprint, connection.certificates)),
        sorted(map(fingerprint, description.certificates)),
    )
    return {name: {"was": was, "is": now} for name, (was, now) in sorted(pairs.items()) if was != now}
