"""What every stand-in for a social provider has: people, who is signed in, codes used once, tokens, and a key to sign with.

Nothing here is any one provider's: what each really does differently is in the file that bears its name.
"""

from __future__ import annotations

import base64
import hashlib
import secrets
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, ClassVar

from flask import Flask, Response, jsonify, request
from joserfc import jwt
from joserfc.jwk import ECKey, RSAKey

CODE_LIVES, TOKEN_LIVES = 60.0, 600.0  # seconds; the real ones give codes up to ten minutes


@dataclass
class Registration:
    """Who we are at a provider. Apple's ``client_secret`` is the private key in PEM of which it knows the public half."""

    client_id: str
    client_secret: str = field(repr=False)
    redirect_uris: tuple[str, ...]
    team_id: str = ""
    key_id: str = ""


@dataclass(frozen=True)
class Person:
    """Somebody with an account at the provider.

    :ivar subject: for ever.
    :ivar verified: whether the provider says that the address was proved.
    :ivar hosted: whether the account is of the organization whose domain the address has (Google's ``hd``).
    :ivar hidden: whether a relay's address is told instead (Apple's).
    """

    subject: str
    name: str
    email: str = ""  # empty: the account has none
    verified: bool = True
    hosted: bool = True
    hidden: bool = False

    @property
    def domain(self) -> str:
        return self.email.rpartition("@")[2]


@dataclass
class Lies:
    """What a hostile provider says instead of the truth; tests alone set this.

    :ivar claims: over those of the ID token, None leaves one out. ``answer``: over the parameters of the answer, such as
        ``iss``. ``userinfo``: over what userinfo says. ``alg``: ``none`` leaves the signature out, ``other key`` signs with one
        that nobody publishes.
    """

    claims: dict[str, Any] = field(default_factory=dict)
    answer: dict[str, Any] = field(default_factory=dict)
    userinfo: dict[str, Any] = field(default_factory=dict)
    alg: str = ""


@dataclass(frozen=True)
class Asked:
    """An authorization request that was understood."""

    values: Mapping[str, str]

    def __getattr__(self, name: str) -> str:
        return self.values.get(name, "")

    @property
    def prompts(self) -> list[str]:
        return self.values.get("prompt", "").split()

    @property
    def scopes(self) -> list[str]:
        return self.values.get("scope", "").replace(",", " ").split()


@dataclass(frozen=True)
class Grant:
    """What a code or an access token stands for."""

    asked: Asked
    subject: str
    auth_time: int
    ends: float
    first: bool = False  # whether the person has just agreed for the first time
    scopes: tuple[str, ...] = ()


class Refused(Exception):
    """A request that the provider's own page refuses, because it cannot know where to answer."""


class Failed(Exception):
    """An error that an endpoint answers, in the provider's own form."""

    def __init__(self, status: int, body: Mapping[str, Any]) -> None:
        super().__init__(str(body))
        self.status, self.body = status, body


class Site:
    """One provider. Tests read and write its attributes while it runs.

    :ivar address: where it stands, without a slash at its end; ``back``: where programs reach it, if elsewhere.
    :ivar everybody: the subject of a person as whom each browser without a choice of its own is signed in.
    :ivar consent: ``ask``, or what each person decides: ``allow``, ``deny``.
    :ivar mood: ``well``, or of what programs get there: ``slow``, ``down``, ``broken``.
    """

    key: ClassVar[str]
    name: ClassVar[str]
    kind: ClassVar[str] = "RSA"
    requires: ClassVar[tuple[str, ...]] = ()
    cancelled: ClassVar[Mapping[str, str]] = {"error": "access_denied"}

    def __init__(
        self, address: str, registration: Registration, back: str = "", clock: Callable[[], float] = time.time
    ) -> None:
        self.address, self.back, self.registration, self.clock = address, back or address, registration, clock
        self.people: dict[str, Person] = {}
        self.everybody: str | None = None
        self.consent, self.mood, self.slow_seconds = "ask", "well", 15.0
        self.lies, self.woken = Lies(), threading.Event()
        self.agreed: set[str] = set()
        self.seen: list[tuple[str, dict[str, str]]] = []  # what programs asked: path and parameters
        self._codes: dict[str, Grant] = {}
        self._tokens: dict[str, Grant] = {}
        self._lock = threading.Lock()
        self.signing_key = self._make_key()
        for name, email, hosted in (
            ("Bob Berger", "bob@example.net", True),
            ("Carol Example", "carol@example.org", True),
            ("Erin Ecker", "erin@example.com", False),
        ):
            self.add_person(name, email, hosted=hosted)

    # --- its people ---

    def add_person(self, name: str, email: str = "", **facts: Any) -> Person:
        """A new account; the same address gets the same subject at each start."""
        person = Person(self.make_subject(email or secrets.token_hex(8)), name, email, **facts)
        self.people[person.subject] = person
        return person

    def change(self, subject: str, **facts: Any) -> Person:
        """Other facts about a person: ``email``, ``verified``, ``name`` …"""
        self.people[subject] = replace(self.people[subject], **facts)
        return self.people[subject]

    def find(self, email: str) -> Person:
        return next(person for person in self.people.values() if person.email == email)

    def make_subject(self, text: str) -> str:
        return str(int.from_bytes(hashlib.sha256(f"{self.key} {text}".encode()).digest()[:8], "big")).rjust(21, "1")

    # --- the request ---

    def read_request(self, values: Mapping[str, str]) -> Asked:
        """The request, when the answer may go where it asks.

        :raises Refused: with the code that the provider's page shows.
        """
        if values.get("client_id") != self.registration.client_id:
            raise Refused("invalid_client")
        if values.get("redirect_uri") not in self.registration.redirect_uris:
            raise Refused("redirect_uri_mismatch")
        if values.get("response_type", "code" if "response_type" not in self.requires else "") != "code":
            raise Refused("unsupported_response_type")
        return Asked(dict(values))

    def request_error(self, asked: Asked) -> Mapping[str, str] | None:
        """An error that is sent back rather than shown, if there is one."""
        return None

    def wants_choice(self, asked: Asked) -> bool:
        """Whether even who is signed in must choose or prove who they are."""
        return bool({"select_account", "login"} & set(asked.prompts))

    def answer_more(self, asked: Asked, grant: Grant) -> dict[str, str]:
        """What the answer says beside code and state."""
        return {}

    def issue_code(self, asked: Asked, subject: str, auth_time: float) -> dict[str, str]:
        """The parameters of the answer: the person has agreed."""
        code = secrets.token_urlsafe(24)
        first = subject not in self.agreed
        self.agreed.add(subject)
        grant = Grant(asked, subject, int(auth_time), self.clock() + CODE_LIVES, first, tuple(asked.scopes))
        with self._lock:
            self._codes[code] = grant
        return self.answered({"code": code, **self.answer_more(asked, grant)}, asked)

    def answered(self, parameters: Mapping[str, str], asked: Asked) -> dict[str, str]:
        state = {"state": asked.state} if asked.state else {}
        return {name: value for name, value in {**parameters, **state, **self.lies.answer}.items() if value is not None}

    # --- the token endpoint ---

    def is_our_client(self, values: Mapping[str, str]) -> bool:
        """Whether the secret is right, in the form or in the header."""
        given_id, given = values.get("client_id", ""), values.get("client_secret", "")
        if request.authorization and request.authorization.type == "basic":
            given_id, given = request.authorization.username or "", request.authorization.password or ""
        known = self.registration
        return given_id == known.client_id and secrets.compare_digest(given.encode(), known.client_secret.encode())

    def take_code(self, values: Mapping[str, str]) -> Grant | None:
        """What a code stands for: once, in time, at the same redirect_uri and with the verifier (RFC 7636)."""
        with self._lock:
            grant = self._codes.pop(values.get("code", ""), None)
        if grant is None or grant.ends < self.clock() or values.get("redirect_uri") != grant.asked.redirect_uri:
            return None
        if grant.asked.code_challenge and self.challenge(values.get("code_verifier", "")) != grant.asked.code_challenge:
            return None
        return grant

    @staticmethod
    def challenge(verifier: str) -> str:
        return base64.urlsafe_b64encode(hashlib.sha256(verifier.encode()).digest()).rstrip(b"=").decode()

    def issue_token(self, grant: Grant) -> str:
        token = secrets.token_urlsafe(32)
        self._tokens[token] = replace(grant, ends=self.clock() + TOKEN_LIVES)
        return token

    def by_token(self) -> Grant | None:
        """Whose access token the request bears."""
        kind, _, token = request.headers.get("Authorization", "").partition(" ")
        token = token if kind.lower() in ("bearer", "token") else request.values.get("access_token", "")
        grant = self._tokens.get(token)
        return grant if grant and grant.ends > self.clock() and grant.subject in self.people else None

    # --- the ID token ---

    def _make_key(self) -> RSAKey | ECKey:
        options = {"use": "sig", "kid": secrets.token_hex(8)}
        if self.kind == "EC":
            return ECKey.generate_key("P-256", {**options, "alg": "ES256"})
        return RSAKey.generate_key(2048, {**options, "alg": "RS256"})

    def jwks(self) -> dict[str, Any]:
        return {"keys": [self.signing_key.as_dict(private=False)]}

    def sign(self, claims: Mapping[str, Any], access_token: str) -> str:
        """An ID token: these claims, for us, good for ten minutes, unless the provider lies."""
        now = int(self.clock())
        half = hashlib.sha256(access_token.encode()).digest()[:16]
        usual = {"aud": self.registration.client_id, "iat": now, "exp": now + int(TOKEN_LIVES)}
        usual |= {"at_hash": base64.urlsafe_b64encode(half).rstrip(b"=").decode()}
        said = {name: value for name, value in {**usual, **claims, **self.lies.claims}.items() if value is not None}
        if self.lies.alg == "none":
            header, body = (base64.urlsafe_b64encode(part.encode()).rstrip(b"=").decode() for part in (
                '{"alg":"none","typ":"JWT"}', jsonify(said).get_data(as_text=True)
            ))  # fmt: skip
            return f"{header}.{body}."
        key = self._make_key() if self.lies.alg == "other key" else self.signing_key
        header = {"alg": str(key.as_dict()["alg"]), "kid": str(self.signing_key.kid), "typ": "JWT"}
        return jwt.encode(header, said, key, algorithms=[header["alg"]])

    # --- what a provider's file adds ---

    def routes(self, app: Flask) -> None:
        """The endpoints for programs; that for people is :attr:`authorize_paths`."""
        raise NotImplementedError

    authorize_paths: ClassVar[tuple[str, ...]]

    def entry(self) -> dict[str, str]:
        """Its entry of providers.yaml, without the secret."""
        raise NotImplementedError

    def forget(self) -> None:
        """As it was in the beginning, but for its people."""
        self.everybody, self.consent, self.mood, self.lies = None, "ask", "well", Lies()
        self.agreed.clear()
        self.seen.clear()

    def spoil(self) -> Response | None:
        """What programs get instead of an answer, in the mood that the provider is in."""
        self.seen.append((request.path, request.values.to_dict()))
        if self.mood == "slow":
            self.woken.wait(self.slow_seconds)
        elif self.mood == "down":
            return Response("upstream connect error", 503, mimetype="text/plain")
        elif self.mood == "broken":
            return Response("<!doctype html><title>Sorry</title>{", 200, mimetype="application/json")
        return None
