"""Acme's side of SAML 2.0: pysaml2's identity provider, without its xmlsec1 program."""

from __future__ import annotations

import base64
import logging
import secrets
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.hashes import SHA256
from saml2 import BINDING_HTTP_POST, BINDING_HTTP_REDIRECT, samlp
from saml2.authn_context import PASSWORDPROTECTEDTRANSPORT
from saml2.config import IdPConfig
from saml2.metadata import entity_descriptor
from saml2.s_utils import error_status_factory
from saml2.saml import NAME_FORMAT_URI, NAMEID_FORMAT_EMAILADDRESS, NameID
from saml2.server import Server
from saml2.xmldsig import DIGEST_SHA256, SIG_RSA_SHA256
from xml_crypto import use_here

# It would write whole messages at DEBUG and ERROR.
logging.getLogger("saml2").setLevel(logging.CRITICAL + 1)

ROOT_OF_STATUS = "urn:oasis:names:tc:SAML:2.0:status:"


@dataclass(frozen=True)
class Asked:
    """A sign-in that a service provider asks for, or that nobody asked for (``id`` is None)."""

    id: str | None
    service: str  # entityID
    acs: str
    relay_state: str
    force: bool = False
    passive: bool = False
    address: str = ""  # who is expected, if the request says so


@dataclass(frozen=True)
class Form:
    """A message by the POST binding: what the browser is to send, and where."""

    url: str
    fields: Mapping[str, str]


@dataclass(frozen=True)
class SignedInThere:
    """What a service provider was told of a person, by which it knows them at logout."""

    name_id: str
    session_index: str


class Refused(Exception):
    """A message that Acme does not believe, or that comes from nobody it knows."""


class IdentityProvider:
    """Acme. ``service_providers`` gives the metadata documents of those it knows, each time it must know."""

    def __init__(self, address: str, folder: Path, service_providers: Callable[[], list[str]]) -> None:
        self.address = address
        self.key_file, self.certificate_file = make_key_pair(folder)
        self._service_providers = service_providers
        self._built: tuple[list[str], Server] | None = None
        self._lock = threading.Lock()

    @property
    def entity_id(self) -> str:
        return f"{self.address}/metadata"

    def metadata(self) -> str:
        return str(entity_descriptor(self._configuration([])))

    def services(self) -> list[str]:
        """The entityIDs of the service providers."""
        return list(self._server.metadata.keys())

    # --- sign-in ---------------------------------------------------------------------------------------------------------

    def read_request(self, method: str, values: Mapping[str, str]) -> Asked:
        """An AuthnRequest by either binding; its signature was checked."""
        server = self._server
        try:
            parsed = server.parse_authn_request(values["SAMLRequest"], _binding(method), **_signature(method, values))
            request: samlp.AuthnRequest = parsed.message
            answer_to = server.response_args(request)
        except Exception as error:  # pysaml2 raises a dozen unrelated types
            raise Refused(type(error).__name__) from error
        name_id = request.subject.name_id if request.subject else None
        return Asked(
            request.id,
            request.issuer.text,
            answer_to["destination"],
            values.get("RelayState", ""),
            force=request.force_authn in ("true", "1"),
            passive=request.is_passive in ("true", "1"),
            address=(name_id.text or "") if name_id else "",
        )

    def unasked(self, service: str, relay_state: str) -> Asked:
        """A sign-in that begins here."""
        (first, *_) = self._server.metadata.assertion_consumer_service(service, BINDING_HTTP_POST)
        return Asked(None, service, first["location"], relay_state)

    def answer(
        self, asked: Asked, person: Mapping[str, str], at: float, *, encrypted: bool
    ) -> tuple[Form, SignedInThere]:
        """A signed Response about a person (``email``, ``given_name``, ``family_name``) who signed in here at ``at``."""
        name_id = NameID(format=NAMEID_FORMAT_EMAILADDRESS, text=person["email"])
        server = self._server
        with self._lock:  # pysaml2 tells the session index only by its store
            response = server.create_authn_response(
                {"mail": [person["email"]], "givenName": [person["given_name"]], "sn": [person["family_name"]]},
                asked.id,
                asked.acs,
                asked.service,
                name_id=name_id,
                authn={"class_ref": PASSWORDPROTECTEDTRANSPORT, "authn_instant": int(at)},
                sign_response=True,
                sign_assertion=True,
                encrypt_assertion=encrypted,
            )
            ((statement,),) = server.session_db.get_authn_statements(name_id)
            server.session_db.remove_authn_statements(name_id)
        return _form(str(response), asked), SignedInThere(person["email"], statement.session_index)

    def not_signed_in(self, asked: Asked) -> Form:
        """The answer to a passive request when nobody is signed in (SAML 2.0 core 3.4.1)."""
        status = error_status_factory((f"{ROOT_OF_STATUS}NoPassive", "nobody is signed in"))
        response = self._server._response(asked.id, asked.acs, status, sign=True)
        return _form(str(response), asked)

    # --- logout ----------------------------------------------------------------------------------------------------------

    def logout_request(self, service: str, there: SignedInThere) -> tuple[str, str]:
        """The id of a LogoutRequest, and the address by which it travels."""
        server = self._server
        (first, *_) = server.metadata.single_logout_service(service, BINDING_HTTP_REDIRECT, "spsso")
        id, message = server.create_logout_request(
            first["location"],
            service,
            name_id=NameID(format=NAMEID_FORMAT_EMAILADDRESS, text=there.name_id),
            session_indexes=[there.session_index],
            message_id="_" + secrets.token_hex(20),
            expire=(datetime.now(UTC) + timedelta(minutes=5)).strftime("%Y-%m-%dT%H:%M:%SZ"),
            sign=False,  # the address is signed
        )
        return id, self._redirect(str(message), first["location"], "")

    def read_logout(self, method: str, values: Mapping[str, str]) -> samlp.LogoutRequest:
        """A LogoutRequest by either binding; its signature was checked."""
        try:
            parsed = self._server.parse_logout_request(
                values["SAMLRequest"], _binding(method), **_signature(method, values)
            )
        except Exception as error:  # see read_request
            raise Refused(type(error).__name__) from error
        return parsed.message

    def logout_response(self, request: samlp.LogoutRequest, relay_state: str) -> str:
        """The address by which the answer to a LogoutRequest travels."""
        server = self._server
        message = server.create_logout_response(request, [BINDING_HTTP_REDIRECT], sign=False)
        return self._redirect(str(message), message.destination, relay_state, response=True)

    def read_logout_response(self, values: Mapping[str, str]) -> str:
        """Which LogoutRequest was answered. Nothing depends on the answer but the page that comes next."""
        try:
            parsed = self._server.parse_logout_request_response(values["SAMLResponse"], BINDING_HTTP_REDIRECT)
        except Exception as error:  # see read_request
            raise Refused(type(error).__name__) from error
        return str(parsed.in_response_to)

    def _redirect(self, message: str, to: str, relay_state: str, *, response: bool = False) -> str:
        packed = self._server.apply_binding(
            BINDING_HTTP_REDIRECT, message, to, relay_state, response=response, sign=True, sigalg=SIG_RSA_SHA256
        )
        return str(dict(packed["headers"])["Location"])

    # --- pysaml2 ---------------------------------------------------------------------------------------------------------

    @property
    def _server(self) -> Server:
        """Built anew when somebody's metadata has changed: their keys and addresses may."""
        documents = self._service_providers()
        if self._built is None or self._built[0] != documents:
            server = Server(config=self._configuration(documents))
            use_here(server, self.key_file)
            self._built = (documents, server)
        return self._built[1]

    def _configuration(self, service_providers: list[str]) -> IdPConfig:
        configuration: dict[str, Any] = {
            "entityid": self.entity_id,
            "crypto_backend": "XMLSecurity",  # asks for no program; use_here replaces it
            "key_file": str(self.key_file),
            "cert_file": str(self.certificate_file),
            "accepted_time_diff": 60,
            "name_form": NAME_FORMAT_URI,
            "metadata": {"inline": service_providers},
            "service": {
                "idp": {
                    "name": "Acme",
                    "endpoints": {
                        "single_sign_on_service": [
                            (f"{self.address}/sso", BINDING_HTTP_REDIRECT),
                            (f"{self.address}/sso", BINDING_HTTP_POST),
                        ],
                        "single_logout_service": [(f"{self.address}/slo", BINDING_HTTP_REDIRECT)],
                    },
                    "name_id_format": [NAMEID_FORMAT_EMAILADDRESS],
                    "want_authn_requests_signed": True,
                    "signing_algorithm": SIG_RSA_SHA256,
                    "digest_algorithm": DIGEST_SHA256,
                    "policy": {"default": {"lifetime": {"minutes": 5}, "name_form": NAME_FORMAT_URI}},
                }
            },
        }
        return IdPConfig().load(configuration)


def _form(message: str, asked: Asked) -> Form:
    state = {"RelayState": asked.relay_state} if asked.relay_state else {}
    return Form(asked.acs, {"SAMLResponse": base64.b64encode(message.encode()).decode(), **state})


def _binding(method: str) -> str:
    return BINDING_HTTP_POST if method == "POST" else BINDING_HTTP_REDIRECT


def _signature(method: str, values: Mapping[str, str]) -> dict[str, str | None]:
    """What signs a redirect; a posted message carries its signature in itself."""
    if method == "POST":
        return {}
    return {
        "relay_state": values.get("RelayState"),
        "sigalg": values.get("SigAlg"),
        "signature": values.get("Signature"),
    }


def make_key_pair(folder: Path) -> tuple[Path, Path]:
    """The files of Acme's key and certificate, made at the first start."""
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    key_file, certificate_file = folder / "key.pem", folder / "certificate.pem"
    if not certificate_file.exists():
        key = rsa.generate_private_key(65537, 2048)
        name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "Acme")])
        now = datetime.now(UTC)
        certificate = (
            x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
            .not_valid_before(now - timedelta(days=1))
            .not_valid_after(now + timedelta(days=3650))
            .sign(key, SHA256())
        )
        pem = key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.TraditionalOpenSSL, serialization.NoEncryption()
        )
        key_file.touch(0o600)
        key_file.write_bytes(pem)
        certificate_file.write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    return key_file, certificate_file
