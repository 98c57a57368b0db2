"""attacks.md section 11: work that does not grow, input that costs nothing, state that is bounded, parts that fail."""

from __future__ import annotations

import dataclasses
import re
import shutil
import string
import tracemalloc
from collections.abc import Iterator
from io import BytesIO
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import pytest
from flask import Flask
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import insert, text
from werkzeug.test import Client as Browser
from werkzeug.test import EnvironBuilder

from idp.accounts.devices import describe_agent
from idp.accounts.identity import read_address
from idp.accounts.passwords import PasswordHasher
from idp.accounts.standard_claims import WrongClaim, check_claim
from idp.app import create_app
from idp.client_record import Client
from idp.config import Config
from idp.embedded_server import EmbeddedServer
from idp.errors import IdpError
from idp.jws import BadSignature, read_jws
from idp.logs import printable
from idp.machine import client_address, form_fields
from idp.masking import mask_address, mask_email, mask_uri
from idp.models import Account, Email, Password
from idp.oidc.request_checks import check_request
from idp.parts import Parts, build
from idp.throttle import networks
from tests import canaries
from tests.attacks.counted_work import CountingHasher, counted
from tests.journey import Walker, add_carol, challenge_of
from tests.oidc.product import encode
from tests.registrations import CLIENTS, REFERENCES

OFFLINE = "openid profile email offline_access"


# --- DS-01: the work of one person ----------------------------------------------------------------------------------------


def add_many(parts: Parts, start: int, stop: int) -> None:
    """Accounts that only stand there, each with an address and a password."""
    hashed = parts.hasher.hash("another password")
    people = [f"{number:032x}" for number in range(start, stop)]
    at = int(parts.clock())
    with parts.database.transaction() as db:
        db.execute(
            insert(Account),
            [
                {"id": who, "sub": f"sub-{who}", "state": "active", "profile": {}, "created_at": at, "updated_at": at}
                for who in people
            ],
        )
        db.execute(
            insert(Email),
            [
                {"account_id": who, "address": f"{who}@many.example", "canonical": f"{who}@many.example"}
                | {"domain": "many.example", "primary": True, "verified_at": at}
                for who in people
            ],
        )
        db.execute(insert(Password), [{"account_id": who, "hash": hashed, "changed_at": at} for who in people])


def sign_in_and_use(app: Flask, parts: Parts) -> None:
    """The whole road: request, sign-in, code, tokens, userinfo, refresh, introspection, revocation."""
    walker = Walker(app, parts)
    tokens = walker.tokens(scope=OFFLINE)
    assert walker.userinfo(tokens["access_token"]).status_code == 200
    renewed = walker.refresh(tokens["refresh_token"]).get_json()
    assert walker.post("/introspect", {"token": renewed["access_token"]}, walker.basic()).get_json()["active"]
    assert walker.post("/revoke", {"token": renewed["refresh_token"]}, walker.basic()).status_code == 200


def test_ds_01_the_whole_road_costs_the_same_with_ten_and_with_ten_thousand_accounts(parts: Parts) -> None:
    hasher = CountingHasher()
    counting = dataclasses.replace(parts, hasher=hasher)
    counting.attempts.close()
    app = create_app(counting)
    add_carol(counting)
    add_many(counting, 1, 10)
    sign_in_and_use(app, counting)  # what is done once per process

    def work() -> tuple[int, int, int]:
        hashed = hasher.hashed
        with counted(counting) as done:
            sign_in_and_use(app, counting)
        return done.statements, done.trips, hasher.hashed - hashed

    few = work()
    add_many(counting, 10, 10_000)
    # And Redis is full of other people's things as well.
    with counting.store.batch() as batch:
        for number in range(10_000):
            for kind in ("session", "grant", "pending", "account-sessions", "throttle"):
                batch.command("HSET", f"{kind}:{{{number:064x}}}", "expires", 1)
    many = work()
    # The list of this person's devices is one longer each time; it is read by the same statement.
    assert many == few
    statements, trips, hashed = many
    assert statements <= 27
    assert trips <= 26
    assert hashed == 1


# --- DS-03: JSON ----------------------------------------------------------------------------------------------------------

NASTY_JSON = {
    "deep list": "[" * 100_000,
    "deep object": '{"a":' * 100_000,
    "not a number": '{"id_token":{"a":NaN}}',
    "infinity": '{"id_token":{"a":-Infinity}}',
    "twice": '{"sub":"C1","sub":"J1"}',
    "too large a float": '{"exp":1e400}',
    "too large a number": '{"exp":' + "9" * 5000 + "}",
    "half a character": '{"sub":"\\ud800","iss":"\\ud800"}',
    "half a name": '{"\\udfff":1}',
    "NUL": '{"sub":"\\u0000"}',
    "a megabyte": '{"a":"' + "x" * 1_000_000 + '"}',
    "trailing": "{}{}",
    "byte order mark": "\ufeff{}",
    "list": "[]",
    "text": '"x"',
    "nothing": "",
}


@pytest.mark.parametrize("what", NASTY_JSON)
def test_ds_03_nasty_json_is_refused_wherever_json_is_read(walker: Walker, what: str) -> None:
    nasty = NASTY_JSON[what]
    half = encode(nasty.encode("utf-8", "surrogatepass"))
    head = encode(b'{"alg":"ES256","kid":"k"}')
    answers = [walker.az(claims=nasty, prompt="none")]
    answers += [walker.az(id_token_hint=jwt, prompt="none") for jwt in (f"{head}.{half}.AAAA", f"{half}.{half}.AAAA")]
    answers += [walker.get("/logout?" + urlencode({"id_token_hint": f"{head}.{half}.AAAA"}))]
    for jwt in (f"{head}.{half}.AAAA", f"{half}.{half}.AAAA"):
        form: dict[str, str | None] = {"grant_type": "refresh_token", "refresh_token": "x", "client_assertion": jwt}
        form["client_assertion_type"] = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
        answers.append(walker.post("/token", form))
        answers.append(walker.post("/introspect", {"token": jwt, **form}))
    for path in ("/token", "/introspect", "/revoke", "/userinfo"):
        answers.append(Browser(walker.app).post(path, data=nasty.encode(), content_type="application/json"))
    for answer in answers:
        assert 300 <= answer.status_code < 500
        assert answer.status_code != 303 or "error=" in answer.location
        assert "Error" not in answer.get_data(as_text=True).replace("error", "")


def test_ds_03_half_a_character_that_a_client_signed_is_refused_too() -> None:
    """Also inside values that are compared, stored or hashed only later."""
    head = encode(b'{"alg":"ES256"}')
    for value in ('"\\ud800"', '["\\udc00"]', '{"a":"x\\ud83d"}', '{"\\ud800":1}'):
        payload = encode(f'{{"jti":{value}}}'.encode())
        with pytest.raises(BadSignature):
            read_jws(f"{head}.{payload}.AAAA").claims()
    whole = encode(b'{"jti":"\\ud83d\\ude42"}')
    assert read_jws(f"{head}.{whole}.AAAA").claims() == {"jti": "🙂"}


# --- DS-05: what is stored --------------------------------------------------------------------------------------------------


def test_ds_05_requests_with_all_that_they_can_carry_stay_small(walker: Walker, parts: Parts) -> None:
    before = used(parts)
    for _ in range(3):
        walker.az(state="s" * 1_000_000)
        walker.az(nonce="n" * 1_000_000)
    for _ in range(300):
        walker.az(state="s" * 1025, nonce="n" * 1025)
    assert sorted(set(parts.store.command("KEYS", "*")) - {"attempts"}) == []
    assert used(parts) - before < 2_000_000  # receipts; they are capped by themselves
    for number in range(100):
        walker.az(state="s" * 1024, nonce="n" * 1024, login_hint=f"{number}@example.org", ui_locales="x" * 4000)
    keys = set(parts.store.command("KEYS", "*")) - {"attempts"}
    assert len(keys) == 100
    for key in keys:
        assert parts.store.command("MEMORY", "USAGE", key, "SAMPLES", "0") < 12_000


def used(parts: Parts) -> int:
    return int(re.search(r"used_memory:(\d+)", parts.store.command("INFO", "memory"))[1])  # type: ignore[index]


def test_ds_05_every_key_of_the_whole_road_has_a_lifetime(walker: Walker, parts: Parts) -> None:
    add_carol(parts)
    tokens = walker.tokens(scope=OFFLINE)
    walker.refresh(tokens["refresh_token"])
    walker.az(prompt="login")
    walker.post("/authorize", {"client_id": "C1"})
    walker.sign_in(walker.az(prompt="login"), password="not the password")
    walker.post("/token", {"grant_type": "refresh_token"}, walker.basic(secret="wrong"))
    walker.get("/logout?client_id=C1")
    keys = parts.store.command("KEYS", "*")
    families = {key.partition(":")[0] for key in keys}
    assert {"session", "grant", "pending", "throttle", "account-sessions", "account-grants"} <= families
    for key in set(keys) - {"attempts"}:  # the stream of receipts is capped instead
        assert 0 < parts.store.command("PTTL", key) < 91 * 86400 * 1000, key


def test_ds_05_many_long_user_agents_do_not_fill_the_memory() -> None:
    """Names of browsers are kept in memory: a kilobyte of each at most, however much was sent."""
    describe_agent("x")
    tracemalloc.start()
    try:
        for number in range(200):
            describe_agent(f"{number} " + "x" * 60_000)
        kept, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert kept < 2_000_000


# --- DS-07: validators --------------------------------------------------------------------------------------------------------

LONG = [
    *(
        letter * 100_000
        for letter in ("a", "0", "@", ".", "-", " ", "%", "/", ":", ",", ";", "+", "(", "\\", "é", "\0")
    ),
    "a@" * 50_000,
    "a." * 50_000,
    "a@" + "a." * 50_000 + "!",
    "a@" + "a-" * 50_000,
    "http://" + "a:" * 50_000,
    "http://[" + ":" * 100_000,
    "https://a/" + "../" * 30_000,
    "openid " * 14_000 + "\t",
    "a=b&" * 25_000 + "=",
    "1,2;q=0." * 12_000,
    "Mozilla/5.0 (" + "; Windows NT 10.0" * 6_000,
    "xn--" + "a" * 100_000 + "@x.example",
    "10." * 33_000,
    "a b=c; " * 14_000,
]


@pytest.mark.timeout(60)
def test_ds_07_no_validator_looks_at_a_long_text_more_than_once(walker: Walker, parts: Parts) -> None:
    """What looks at each letter again for each other one would take hours: 100 000 squared, for each of thirty texts."""
    redirects = parts.clients.find("C1")
    assert redirects is not None
    for long in LONG:
        for refuse in (
            read_address,
            lambda long: check_claim("website", long),
            lambda long: check_claim("zoneinfo", long),
            lambda long: check_claim("birthdate", long),
            lambda long: check_claim("phone_number", long),
            lambda long: check_request(urlencode({"client_id": long, "scope": long}), parts.clients),
            lambda long: Client.model_validate({**redirects.model_dump(), "redirect_uris": (long,)}),
            lambda long: form_fields(long.encode()),
            read_jws,
            redirects.accepts_redirect,
            describe_agent,
            printable,
            mask_email,
            mask_uri,
            mask_address,
            networks,
            lambda long: client_address("10.0.0.1", long, parts.config.trusted_proxies),
            lambda long: parts.languages.choose(ui_locales=long, cookie=long, accept_language=long),
        ):
            try:
                refuse(long)
            except (ValueError, WrongClaim, BadSignature, IdpError):
                continue


# --- DS-15: parts that are down -----------------------------------------------------------------------------------------------


def test_ds_15_without_the_audit_nobody_signs_in_and_what_is_open_goes_on(
    walker: Walker, parts: Parts, app: Flask
) -> None:
    """A sign-in that cannot be audited does not happen, and leaves nothing; products keep what they have."""
    add_carol(parts)
    tokens = walker.tokens(scope=OFFLINE)
    stranger = Walker(app, parts, user_agent="Another/1.0")
    page = stranger.follow(stranger.az())
    with parts.database.transaction() as db:
        db.execute(text("ALTER TABLE audit_events RENAME TO audit_away"))
        devices = db.scalar(text("SELECT count(*) FROM devices"))
        mails = db.scalar(text("SELECT count(*) FROM outbox_mails"))
    sessions = set(parts.store.command("KEYS", "session:*"))

    refused = stranger.sign_in(page)
    assert refused.status_code == 500
    assert 'id="error-page"' in refused.get_data(as_text=True)
    assert "idp_session" not in str(refused.headers)
    assert set(parts.store.command("KEYS", "session:*")) == sessions
    with parts.database.reading() as db:
        assert db.scalar(text("SELECT count(*) FROM devices")) == devices
        assert db.scalar(text("SELECT count(*) FROM outbox_mails")) == mails

    assert walker.userinfo(tokens["access_token"]).status_code == 200
    assert walker.refresh(tokens["refresh_token"]).status_code == 200
    assert "code" in walker.answer_of(walker.az(prompt="none"))
    assert walker.get("/jwks").status_code == 200
    assert walker.get("/me").status_code == 200

    with parts.database.transaction() as db:
        db.execute(text("ALTER TABLE audit_away RENAME TO audit_events"))
    assert "code" in stranger.answer_of(stranger.sign_in(page))


# --- I1: no input to any endpoint yields 5xx ------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def shared(
    tmp_path_factory: pytest.TempPathFactory, made_once: Path, embedded: EmbeddedServer
) -> Iterator[tuple[Flask, dict[str, str]]]:
    """One application for all examples, and what a signed-in browser and its product hold."""
    folder = tmp_path_factory.mktemp("any-input")
    shutil.copy(made_once / "idp.sqlite", folder)
    (folder / "clients.yaml").write_text(CLIENTS, encoding="utf-8")
    config = Config(
        issuer="https://login.example", data=folder, keys=made_once / "keys", clients=folder / "clients.yaml"
    )
    parts = build(config, REFERENCES, redis_url=embedded.url, random=canaries.random)
    parts.store.command("FLUSHDB")
    parts = dataclasses.replace(parts, hasher=PasswordHasher(2, 60, memory_kib=64, passes=1))
    app = create_app(parts)
    add_carol(parts)
    walker = Walker(app, parts)
    tokens = walker.tokens(scope=OFFLINE)
    page = walker.az(prompt="login")
    own = walker.get("/login")
    logout = walker.get("/logout?client_id=C1")
    jar = {cookie.key: cookie.value for cookie in (walker.browser._cookies or {}).values()}
    yield (
        app,
        {
            "cookies": "; ".join(f"{name}={value}" for name, value in jar.items()),
            "csrf": re.search(r'name="csrf" value="([^"]+)"', walker.follow(page).get_data(as_text=True))[1],  # type: ignore[index]
            "pending": page.location.partition("p=")[2],
            "own": own.location.partition("p=")[2],
            "logout": logout.location.partition("l=")[2],
            "access_token": tokens["access_token"],
            "id_token": tokens["id_token"],
        },
    )
    parts.close()


PARAMETERS = (
    *("p", "l", "t", "csrf", "username", "password", "keep", "decision", "to", "back", "other", "posted", "session"),
    *("locale", "notice", "client_id", "redirect_uri", "response_type", "response_mode", "scope", "state", "nonce"),
    *("prompt", "max_age", "acr_values", "claims", "login_hint", "id_token_hint", "ui_locales", "request", "display"),
    *("code_challenge", "code_challenge_method", "post_logout_redirect_uri", "grant_type", "code", "code_verifier"),
    *("refresh_token", "access_token", "token", "token_type_hint", "client_secret", "client_assertion", "v", ""),
)
WORDS = st.one_of(
    st.sampled_from(
        [
            *(
                "",
                " ",
                "\0",
                "\r\nx: y",
                "%s%n",
                "*",
                "'",
                "é",
                "\ud7ff",
                "\U0010ffff",
                "[" * 2000,
                "9" * 5000,
                "x" * 9000,
            ),
            *("C1", "C2", "P1", "OFF", "code", "openid", "none", "login", "consent", "yes", "allow", "fr", "form_post"),
            *("https://rp1.example/cb", "https://rp2.example/cb", "carol@example.org", "refresh_token", "S256"),
            *(
                "authorization_code",
                '{"userinfo":{"sub":{"value":"\\ud800"}}}',
                '{"id_token":{"acr":{"essential":true}}}',
            ),
            *("{pending}", "{own}", "{logout}", "{csrf}", "{access_token}", "{id_token}", challenge_of("v" * 43)),
        ]
    ),
    st.text(max_size=30),
)
HEADER = st.one_of(
    st.sampled_from(
        ["", "\xff", "fr;q=x", "Basic", "Bearer {access_token}", "Basic QzE6eA==", "null", "a, b", "x" * 9000]
    ),
    st.text(alphabet=string.printable.replace("\r", "").replace("\n", "") + "\xe9\xff", max_size=40),
)


@given(data=st.data())
@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])
def test_i1_no_input_to_any_endpoint_yields_a_5xx(shared: tuple[Flask, dict[str, str]], data: st.DataObject) -> None:
    app, held = shared
    paths = sorted({rule.rule.replace("<name>", "pages.css") for rule in app.url_map.iter_rules()})
    machine = ["/token", "/userinfo", "/introspect", "/revoke", "/jwks", "/.well-known/openid-configuration"]
    path = data.draw(st.one_of(st.sampled_from([*paths, *machine]), st.text(max_size=20).map(lambda end: f"/{end}")))
    method = data.draw(
        st.sampled_from(["GET", "GET", "POST", "POST", "HEAD", "PUT", "OPTIONS", "DELETE", "TRACE", "X"])
    )
    pairs = st.lists(st.tuples(st.sampled_from(PARAMETERS), WORDS), max_size=12)

    def filled(given: list[tuple[str, str]]) -> list[tuple[str, str]]:
        return [(name, _filled(value, held)) for name, value in given]

    form: Any = data.draw(st.one_of(pairs.map(filled), st.binary(max_size=200)))
    if not isinstance(form, bytes):
        if data.draw(st.booleans()):
            form.append(("csrf", held["csrf"]))
        form = urlencode(form, errors="surrogatepass").encode()
    headers = data.draw(
        st.dictionaries(
            st.sampled_from(["Accept-Language", "User-Agent", "Authorization", "Origin", "X-Forwarded-For", "Range"]),
            HEADER,
            max_size=3,
        )
    )
    cookies = data.draw(st.sampled_from([held["cookies"], held["cookies"], "", "__Host-idp_session=\xff", "=;=;,"]))
    environ = EnvironBuilder(path="/", base_url="https://login.example", method=method).get_environ()
    environ |= {
        "PATH_INFO": path.encode("utf-8", "surrogatepass").decode("latin-1"),
        "QUERY_STRING": urlencode(filled(data.draw(pairs)), errors="surrogatepass"),
        "REMOTE_ADDR": data.draw(st.sampled_from(["192.0.2.7", "2001:db8::1", "", "x"])),
        "HTTP_COOKIE": cookies,
        "CONTENT_TYPE": data.draw(
            st.sampled_from(
                ["application/x-www-form-urlencoded"] * 3
                + [
                    "",
                    "application/json",
                    "multipart/form-data",
                    "multipart/form-data; boundary=x",
                    "text/plain; charset=x",
                ]
            )
        ),
        "CONTENT_LENGTH": str(len(form)),
        "wsgi.input": BytesIO(form),
    }
    environ |= {f"HTTP_{name.upper().replace('-', '_')}": _filled(value, held) for name, value in headers.items()}
    said: list[str] = []
    body = b"".join(app(environ, lambda line, headers, failure=None: said.append(line)))  # type: ignore[arg-type, return-value] # returns no write()
    assert said[0] < "5", (method, path)
    assert b"Traceback" not in body
    assert not re.search(rb"\b[A-Z]\w+(Error|Exception)\b", body)


def _filled(value: str, held: dict[str, str]) -> str:
    found = re.fullmatch(r"(.*)\{(\w+)\}", value)
    return found[1] + held[found[2]] if found and found[2] in held else value
