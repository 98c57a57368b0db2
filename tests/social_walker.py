"""A person on foot at the social doors: the same browser at our pages and at the providers' own, which are played here.

Three providers that a single small server answers for: Alpha, which can be asked silently, Beta, which names its issuer in
each answer (RFC 9207), and Poster, which posts its answers from its own site. Whom they name is in ``Sites.people`` by code.
"""

from __future__ import annotations

import dataclasses
import json
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from html import unescape
from typing import Any
from urllib.parse import parse_qsl, urlencode, urlsplit

from werkzeug.test import Client, TestResponse

from idp.app import Application, create_app
from idp.attempts import drain
from idp.config import read_config
from idp.cookies import POSTER, cookie_name
from idp.doors.provider_documents import ProviderDocuments
from idp.doors.providers import Provider, Registered, read_oauth2
from idp.fetch import Fetcher
from idp.models import Attempt, Link
from idp.parts import Parts
from idp.receipts import steps_of
from tests import canaries
from tests.fakes.product_server import Asked, ProductServer, product_server, reply
from tests.journey import Walker, add_carol, challenge_of

SECRET = canaries.register("our-secret-at-the-social-providers", "client secret at a provider")
CODE = canaries.register("code-that-names-carol-0001", "a provider's code")
STRANGER = canaries.register("code-that-names-nobody-we-know-01", "a provider's code")
ACCESS_TOKEN = canaries.register("access-token-of-a-social-provider", "a provider's access token")
CAROL = {"id": "c1", "email": "carol@example.org", "name": "Carol Example"}


@dataclass
class Sites:
    """The providers' server. ``token``: what the token endpoint answers instead, and ``people``: whom a code names."""

    server: ProductServer
    people: dict[str, dict[str, Any]] = field(default_factory=lambda: {CODE: CAROL, STRANGER: {"id": "x9"}})
    token: Callable[[Asked, Callable[[bytes], None]], None] | None = None
    redeemed: list[dict[str, str]] = field(default_factory=list)

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.server.port}"

    def answer(self, asked: Asked, write: Callable[[bytes], None]) -> None:
        path = urlsplit(asked.line.split(" ")[1]).path
        if path.endswith("/token"):
            form = dict(parse_qsl(asked.body.decode()))
            self.redeemed.append(form | {"at": path})
            if self.token is not None:
                self.token(asked, write)
                return
            known = form["code"] in self.people
            told = {"access_token": f"{ACCESS_TOKEN}.{form['code']}", "token_type": "bearer"}
            said: dict[str, Any] = told if known else {"error": "invalid_grant"}
            reply(200 if known else 400, json.dumps(said).encode(), Content_Type="application/json")(asked, write)
            return
        code = asked.headers["authorization"].partition(f"{ACCESS_TOKEN}.")[2]
        reply(200, json.dumps(self.people[code]).encode(), Content_Type="application/json")(asked, write)


def _provider(address: str, key: str, **more: Any) -> Provider:
    return Provider(
        key=key,
        name=key.capitalize(),
        protocol="oauth2",
        issuer=f"https://{key}.example",
        read=read_oauth2("id", "email", "name"),
        scopes=("me",),
        authorization_endpoint=f"{address}/{key}/authorize",
        token_endpoint=f"{address}/{key}/token",
        userinfo_endpoint=f"{address}/{key}/me",
        **more,
    )


@contextmanager
def social_sites() -> Iterator[Sites]:
    """The providers, running."""
    with product_server(None) as server:
        sites = Sites(server)
        server.answer = sites.answer
        yield sites


def with_providers(parts: Parts, sites: Sites) -> Parts:
    """The same parts, registered at the three."""
    made = (
        _provider(sites.address, "alpha", silent={"prompt": "none"}, fresh={"prompt": "login"}, hints=True),
        _provider(sites.address, "beta", iss_parameter=True),
        _provider(sites.address, "poster", response_mode="form_post"),
    )
    here = read_config({"IDP_ISSUER": "http://localhost:8000"})  # whence servers on loopback may be called
    return dataclasses.replace(
        parts,
        providers={one.key: Registered(one, f"we-at-{one.key}", SECRET) for one in made},
        provider_documents=ProviderDocuments(Fetcher(here)),
    )


def application(parts: Parts, sites: Sites) -> Application:
    return create_app(with_providers(parts, sites))


def link_carol(parts: Parts, key: str = "alpha", subject: str = "c1", **account: Any) -> str:
    """Carol's account, to which what ``key`` calls c1 leads; its id."""
    account_id = add_carol(parts, **account)
    with parts.database.transaction() as db:
        db.add(
            Link(
                account_id=account_id,
                issuer=f"https://{key}.example",
                subject=subject,
                door=key,
                email="carol@example.org",
                proof={"by": "password", "at": int(parts.clock())},
                created_at=int(parts.clock()),
            )
        )
    return account_id


# --- as a browser ------------------------------------------------------------------------------------------------------------


def text(response: TestResponse) -> str:
    return unescape(response.get_data(as_text=True))


def handle_of(response: TestResponse) -> str:
    """The handle of the pending login, from an address of ours."""
    return dict(parse_qsl(urlsplit(response.location).query))["p"]


def begin(walker: Walker, **request: str | None) -> str:
    """Come from the product; the handle of the pending login."""
    return handle_of(walker.az(**request))


def leave(walker: Walker, key: str = "alpha", **request: str | None) -> dict[str, str]:
    """From the product to the provider by its logo: what the provider is asked."""
    return asked_of(walker.get(f"/login/social/{key}?p={begin(walker, **request)}"))


def asked_of(response: TestResponse) -> dict[str, str]:
    """The authorization request with which an answer of ours sends the browser away."""
    assert response.status_code == 303, text(response)
    assert "/authorize?" in response.location and response.location.startswith("http://127.0.0.1"), response.location
    asked = dict(parse_qsl(urlsplit(response.location).query, strict_parsing=True))
    canaries.register(asked["state"], "state")
    return asked


def refresh_of(response: TestResponse) -> str:
    """Where a page leads by itself."""
    found = re.search(r'http-equiv="refresh" content="0; url=([^"]*)"', response.get_data(as_text=True))
    assert found is not None, text(response)
    return unescape(found[1])


def come_back(walker: Walker, asked: dict[str, str], key: str = "alpha", **answer: str | None) -> TestResponse:
    """The provider's answer by GET: a code that names Carol, unless ``answer`` says otherwise (None: leaves it out)."""
    iss = {"iss": "https://beta.example"} if key == "beta" else {}
    fields = {"code": CODE, "state": asked.get("state"), **iss, **answer}
    given = urlencode({name: value for name, value in fields.items() if value is not None})
    return walker.get(f"/login/social/{key}/return?{given}")


def post_back(walker: Walker, asked: dict[str, str], key: str = "poster", **answer: str | None) -> TestResponse:
    """The provider's answer by a POST from its site: of our cookies only that comes along which may."""
    fields = {"code": CODE, "state": asked.get("state"), **answer}
    return post_from_elsewhere(
        walker, key, {name: value for name, value in fields.items() if value is not None}, cookie=poster_of(walker)
    )


def poster_of(walker: Walker) -> str:
    name = cookie_name(POSTER, secure=True)
    cookie = walker.browser.get_cookie(name, domain="login.example")
    return f"{name}={cookie.value}" if cookie is not None else ""


def post_from_elsewhere(walker: Walker, key: str, fields: Any, *, cookie: str = "") -> TestResponse:
    response = Client(walker.app, use_cookies=False).post(
        f"/login/social/{key}/return",
        base_url="https://login.example",
        data=fields,
        headers={"Origin": "https://poster.example"} | ({"Cookie": cookie} if cookie else {}),
        environ_base={"REMOTE_ADDR": walker.address},
    )
    canaries.show(response.get_data(as_text=True), "page")
    return response


def challenge_holds(asked: dict[str, str], verifier: str) -> bool:
    return asked["code_challenge"] == challenge_of(verifier)


def latest(parts: Parts) -> tuple[Attempt, list[str]]:
    """The attempt of the latest step that was noted, and the names of its steps."""
    parts.attempts.flush()
    drain(parts.store, parts.database)
    with parts.database.reading() as db:
        attempt = db.query(Attempt).order_by(Attempt.last_at.desc(), Attempt.started_at.desc()).first()
        assert attempt is not None
        return attempt, [step.name for step in steps_of(db, attempt.code)]


def receipt_of(response: TestResponse) -> str:
    found = re.search(r'id="receipt-code"[^>]*>([0-9A-Z]{4}-[0-9A-Z]{4})<', response.get_data(as_text=True))
    assert found is not None, text(response)
    return found[1]


def reason_of(parts: Parts, response: TestResponse) -> str | None:
    """Why, by the receipt that the page shows."""
    code = receipt_of(response)
    parts.attempts.flush()
    drain(parts.store, parts.database)
    with parts.database.reading() as db:
        attempt = db.get(Attempt, code)
        assert attempt is not None, f"no attempt {code}"
        return attempt.reason
