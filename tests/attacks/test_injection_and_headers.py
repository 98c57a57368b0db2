"""attacks.md section 12 (injection, headers, caching), and invariant I7 on every way in which a page can fail."""

from __future__ import annotations

import dataclasses
import os
import re
import subprocess
import sys
from collections.abc import Callable
from importlib.metadata import requires
from itertools import product
from pathlib import Path

import pytest
from flask import Flask
from packaging.requirements import Requirement
from werkzeug.test import TestResponse

from idp.accounts.passwords import PasswordHasher, Verdict
from idp.app import create_app
from idp.config import Config, read_config
from idp.embedded_server import EmbeddedServer
from idp.errors import OperatorError, Unavailable
from idp.key_ring import KeyRing
from idp.keys import create_keys
from idp.parts import Parts
from idp.redis_store import RedisStore
from tests.attacks.test_password_sign_in import visitor_cookies
from tests.conftest import Clock
from tests.journey import PASSWORD, Walker, add_carol

MACHINE = (
    *("/.well-known/openid-configuration", "/.well-known/oauth-authorization-server", "/jwks"),
    *("/token", "/userinfo", "/introspect", "/revoke"),
)


def protected(answer: TestResponse) -> None:
    """Invariant I7."""
    headers = answer.headers
    assert headers["Cache-Control"] == "no-store"
    assert headers["X-Content-Type-Options"] == "nosniff"
    assert headers["Referrer-Policy"] == "no-referrer"
    assert headers["X-Frame-Options"] == "DENY"
    assert "frame-ancestors 'none'" in headers["Content-Security-Policy"]
    assert "default-src 'none'" in headers["Content-Security-Policy"]
    assert len(headers.getlist("Cache-Control")) == 1
    assert not [name for name in headers.keys() if name.lower().startswith(("server", "x-powered", "x-aspnet"))]  # noqa: SIM118 werkzeug's headers iterate over pairs


# --- I7 -----------------------------------------------------------------------------------------------------------------


class Broken(PasswordHasher):
    """A hasher that meets an accident of ours."""

    def verify(self, stored: str | None, password: str) -> Verdict:
        raise RuntimeError("the accident told: not-to-be-told")


class Busy(PasswordHasher):
    """A hasher before which too many wait."""

    def verify(self, stored: str | None, password: str) -> Verdict:
        raise Unavailable("hashing_busy", retry_after=2)


def test_i7_every_error_page_is_protected_and_has_its_receipt(parts: Parts, tmp_path: Path, walker: Walker) -> None:
    add_carol(parts)
    failing: dict[int, Callable[[], TestResponse]] = {
        400: lambda: walker.az(client_id="nope"),
        404: lambda: walker.get("/nothing"),
        405: lambda: walker.open("DELETE", "/me"),
        413: lambda: walker.submit(walker.follow(walker.az()), "/login", username="x" * 100_000),
        415: lambda: walker.open("POST", "/authorize", data=b"{}", headers={"Content-Type": "application/json"}),
        500: lambda: sign_in_with(parts, Broken(1, 1)),
        503: lambda: sign_in_with(parts, Busy(1, 1)),
    }
    for status, fail in failing.items():
        answer = fail()
        html = answer.get_data(as_text=True)
        assert answer.status_code == status
        protected(answer)
        assert answer.content_type == "text/html; charset=utf-8"
        receipt = re.search(r'id="receipt-code"[^>]*>[0-9A-Z]{4}-[0-9A-Z]{4}<', html)
        assert receipt or status in (404, 405)  # no attempt stands behind an address that does not exist
        assert "not-to-be-told" not in html
        assert "RuntimeError" not in html
        assert "Location" not in answer.headers
        assert ("Retry-After" in answer.headers) == (status == 503)
        assert ("Allow" in answer.headers) == (status == 405)
    down = dataclasses.replace(parts, store=RedisStore(f"unix://{tmp_path}/nobody.sock"))
    for path in (
        "/login",
        "/authorize?client_id=C1&redirect_uri=https://rp1.example/cb&response_type=code&scope=openid",
    ):
        answer = Walker(create_app(down), down).get(path)
        assert answer.status_code in (400, 503)
        protected(answer)
    # Somebody else signs in as ever (I8).
    assert "code" in walker.answer_of(walker.sign_in(walker.follow(walker.az())))


def sign_in_with(parts: Parts, hasher: PasswordHasher) -> TestResponse:
    there = dataclasses.replace(parts, hasher=hasher)
    visitor = Walker(create_app(there), there)
    return visitor.sign_in(visitor.follow(visitor.az()))


def test_i7_every_machine_error_is_protected(walker: Walker) -> None:
    for path, method in product(MACHINE, ("GET", "POST", "PUT", "DELETE", "TRACE")):
        answer = walker.open(method, path, data=b"x=%ff")
        if answer.status_code >= 400:
            protected(answer)
            assert answer.content_type == "application/json"
            assert set(answer.get_json()) == {"error", "error_description"}


# --- IJ: injection ------------------------------------------------------------------------------------------------------


ODD = (
    "'",
    '"',
    "*",
    "?",
    ":",
    "{",
    "}",
    "[a-z]*",
    "\n",
    "\r\n",
    "\\",
    "C1' OR '1'='1",
    "C*",
    "%",
    "_",
    "{C1}",
    "C1\0",
    "..",
)


def test_ij_04_odd_characters_reach_nothing_of_anybody_else(walker: Walker, parts: Parts, app: Flask) -> None:
    """Through every parameter that becomes part of a key, a query or a look-up."""
    add_carol(parts)
    tokens = walker.tokens(scope="openid offline_access")
    kept = {key for key in parts.store.command("KEYS", "*") if key.startswith(("session:", "grant:"))}
    stranger = Walker(app, parts)
    page = stranger.follow(stranger.az())
    for odd in ODD:
        assert stranger.az(client_id=odd).status_code == 400
        assert stranger.get("/login", query_string={"p": odd}).status_code == 400
        assert stranger.get("/authorize/resume", query_string={"p": odd}).status_code == 400
        assert stranger.get("/authorize", query_string={"posted": odd}).status_code == 400
        assert stranger.get("/logout/confirm", query_string={"l": odd}).status_code == 400
        assert stranger.get("/me/not-me", query_string={"t": odd}).status_code == 400
        for address in (odd, f"carol@example.org{odd}", f"{odd}@example.org"):
            answer = stranger.follow(stranger.submit(page, "/login", username=address))
            assert answer.status_code in (200, 400)
        for token in (odd, tokens["access_token"] + odd, tokens["access_token"].partition(".")[0] + "." + odd):
            assert walker.userinfo(token.encode().decode("latin-1").translate({10: 32, 13: 32, 0: 32})).status_code in (
                400,
                401,
            )
            seen = walker.post("/introspect", {"token": token}, walker.basic())
            assert seen.get_json() == {"active": False} or seen.status_code == 400
            assert walker.post("/revoke", {"token": token}, walker.basic()).status_code in (200, 400)
            for form in (
                {"grant_type": "refresh_token", "refresh_token": token},
                {"grant_type": "authorization_code", "code": token},
            ):
                assert walker.post("/token", dict(form), walker.basic()).status_code in (400, 401)
        assert walker.post("/token", {"grant_type": "refresh_token", "client_id": odd}).status_code in (400, 401, 429)
    assert kept <= set(parts.store.command("KEYS", "*"))
    assert walker.userinfo(tokens["access_token"]).status_code == 200
    assert walker.get("/me").status_code == 200


def test_ij_02_what_people_are_called_is_text_on_every_page_that_shows_it(parts: Parts, app: Flask) -> None:
    hostile = "{{7*7}}{%import os%}${7*7}<script>alert(1)</script>\"'><img src=x onerror=alert(1)>"
    add_carol(parts, name=hostile)
    walker = Walker(app, parts, user_agent='<script>{{7*7}}</script>/1.0 ("><b>)')
    walker.code()
    html = walker.get("/me").get_data(as_text=True)
    assert "{{7*7}}{%import os%}${7*7}&lt;script&gt;" in html
    assert "<script>alert" not in html
    assert "<img src=x" not in html
    assert "49" not in re.sub(r"[\w-]{20,}", "", html.partition("<main")[2])


# --- HD-02: caches --------------------------------------------------------------------------------------------------------


def test_hd_02_nothing_of_a_signed_in_person_can_be_kept_by_a_cache(walker: Walker, parts: Parts) -> None:
    add_carol(parts)
    walker.code()
    for path in (
        *("/me", "/me/x.css", "/me;.js", "/me?cb=1.css", "/me%2fx.css", "/me/..%2fx.css", "/ME", "/me/"),
        *("/authorize/x.css", "/login;.js", "/login?cb=1", "/static/../me", "/static/%2e%2e/me", "/userinfo/x.js"),
        walker.authorization_url(prompt="none"),
    ):
        for more in (
            {},
            {"Range": "bytes=0-10"},
            {"X-Forwarded-Host": "evil.example"},
            {"X-HTTP-Method-Override": "POST"},
        ):
            answer = walker.get(path, headers=more)
            assert answer.headers["Cache-Control"] == "no-store", path
            assert answer.status_code != 206
            assert "evil" not in str(answer.headers) + answer.get_data(as_text=True)
            if answer.status_code == 200:
                assert path.startswith(("/me?", "/login?")) or path == "/me"


def test_hd_02_only_the_very_file_is_kept_for_a_year(walker: Walker) -> None:
    """An address that names another content, or none, must not be kept under that name (cache poisoning)."""
    page = walker.follow(walker.get("/login")).get_data(as_text=True)
    for address in re.findall(r'(?:href|src)="(/static/[^"]+)"', page):
        right = walker.get(address)
        assert right.headers["Cache-Control"] == "public, max-age=31536000, immutable"
        assert "Set-Cookie" not in right.headers
        plain = address.partition("?")[0]
        for other in (plain, f"{plain}?v=", f"{plain}?v=000000000000", f"{plain}?v=1&v=2", f"{address}0"):
            assert walker.get(other).headers["Cache-Control"] == "no-cache"
    for missing in ("/static/nothing.css?v=48ca2aff4a33", "/static/nothing?v=1", "/static/%00?v=1", "/static/?v=1"):
        answer = walker.get(missing)
        assert (answer.status_code, answer.headers["Cache-Control"]) == (404, "no-store")


def test_hd_02_shared_documents_are_the_same_for_everybody(walker: Walker, parts: Parts, app: Flask) -> None:
    add_carol(parts)
    walker.code()
    for path in ("/jwks", "/.well-known/openid-configuration"):
        plain = Walker(app, parts).get(path)
        assert "public" in plain.headers["Cache-Control"]
        for more in (
            {"X-Forwarded-Host": "evil.example"},
            {"Origin": "https://evil.example"},
            {"Accept-Language": "fr"},
        ):
            answer = walker.get(f"{path}?cb=1", headers=more)
            assert answer.get_data() == plain.get_data()
            assert "Set-Cookie" not in answer.headers
            assert answer.headers.get("Access-Control-Allow-Origin") == "*"


# --- HD-04, HD-05, HD-06, HD-07 ---------------------------------------------------------------------------------------------


def test_hd_04_the_form_that_posts_itself_goes_to_the_registered_uri_only(walker: Walker, parts: Parts) -> None:
    add_carol(parts)
    walker.code()
    state = "\"'><script>alert(1)</script>&lt;"
    answer = walker.az(response_mode="form_post", state=state)
    html = answer.get_data(as_text=True)
    protected(answer)
    assert re.findall(r'<form[^>]* action="([^"]*)"', html) == ["https://rp1.example/cb"]
    assert 'name="state" value="&#34;&#39;&gt;&lt;script&gt;alert(1)&lt;/script&gt;&amp;lt;"' in html
    assert set(re.findall(r'<input type="hidden" name="(\w+)"', html)) == {"code", "state", "iss"}
    policy = dict(part.strip().partition(" ")[::2] for part in answer.headers["Content-Security-Policy"].split(";"))
    assert policy["script-src"] == "'self'"  # its one script is a file of ours: there is nothing inline
    assert policy["form-action"] == "'self' https://rp1.example"
    assert not re.search(r"<script(?![^>]* src=\"/static/)", html)


SPELLINGS = (
    *("/login/", "/LOGIN", "/Login", "/login;x", "/login;jsessionid=1", "/%2e%2e/login", "/./login", "/login%2f"),
    *("/me/", "/ME", "/me;x", "/x/../me", "/x/%2e%2e/me", "/me%00", "/me%20", "/me.", "/%6de%2f", "/\\me"),
    *("/me/sessions/end/", "/token/", "/TOKEN", "/userinfo/", "/jwks/", "/authorize/", "/authorize%00"),
)


def test_hd_05_another_spelling_of_a_path_is_another_page(walker: Walker) -> None:
    for path, method in product(SPELLINGS, ("GET", "POST")):
        answer = walker.open(method, path)
        assert answer.status_code in (400, 404), path
        assert "Location" not in answer.headers


ORIGINS = (
    *(
        "null",
        "https://evil.example",
        "https://sub.spa.example",
        "https://spa.example.evil.example",
        "https://evilspa.example",
    ),
    *(
        "http://spa.example",
        "https://spa.example:8443",
        "https://spa.example/",
        "https://SPA.example",
        "https://spa.example ",
    ),
    *("https://off.example", "com.example.app:", "*", "https://login.example"),
)


def test_hd_06_scripts_may_call_four_endpoints_and_never_with_cookies(walker: Walker, app: Flask) -> None:
    pages = sorted({rule.rule.replace("<name>", "pages.css") for rule in app.url_map.iter_rules()})
    for path in (*pages, *MACHINE, "/nothing"):
        for origin in (*ORIGINS, "https://spa.example", "https://rp1.example"):
            for method in ("GET", "POST", "OPTIONS"):
                headers = {"Origin": origin, "Access-Control-Request-Method": "POST"}
                answer = walker.open(method, path, headers=headers)
                allowed = answer.headers.get("Access-Control-Allow-Origin")
                person = path == "/.well-known/change-password"  # leads to a page
                public = (path.startswith("/.well-known/") and not person) or path == "/jwks"
                registered = path in ("/token", "/userinfo", "/revoke") and origin not in ORIGINS
                assert allowed == ("*" if public else origin if registered else None), (path, origin, method)
                assert "Access-Control-Allow-Credentials" not in answer.headers
                assert path not in ("/token", "/userinfo", "/revoke") or "Origin" in answer.headers["Vary"]


NO_PAGES = (
    *("/.git/config", "/.env", "/metrics", "/debug", "/console", "/openapi.json", "/docs", "/admin", "/server-status"),
    *("/clients.yaml", "/keys/ring.json", "/idp.sqlite", "/static/../clients.yaml", "/static/%2e%2e/clients.yaml"),
    *("/health", "/health/", "/robots.txt", "/.well-known/security.txt", "/wsgi.py", "/__debug__/"),
)


def test_hd_07_what_is_no_page_is_not_there(walker: Walker) -> None:
    for path in NO_PAGES:
        assert walker.get(path).status_code == 404, path


# --- HD-08, HD-09: what is installed, how it is started -----------------------------------------------------------------------


def test_hd_08_every_dependency_has_a_lowest_version_and_code_a_highest() -> None:
    data_only = {"tzdata", "ua-parser-builtins"}  # their versions are dates
    wanted = [Requirement(line) for line in requires("idp") or () if "extra ==" not in line]
    assert len(wanted) > 15
    for requirement in wanted:
        operators = {one.operator for one in requirement.specifier}
        assert ">=" in operators, requirement
        assert "<" in operators or requirement.name in data_only, requirement


UNSAFE = {
    "no issuer": {"IDP_ISSUER": ""},
    "http": {"IDP_ISSUER": "http://login.example.com"},
    "http on a look-alike of loopback": {"IDP_ISSUER": "http://localhost.evil.example"},
    "an issuer with a path": {"IDP_ISSUER": "https://login.example.com/x"},
    "an issuer with a password": {"IDP_ISSUER": "https://a:b@login.example.com"},
    "every proxy trusted by a word": {"IDP_TRUSTED_PROXIES": "all"},
    "a hop count": {"IDP_TRUSTED_PROXIES": "1"},
    "a star": {"IDP_TRUSTED_PROXIES": "*"},
    "debug": {"IDP_DEBUG": "1"},
    "a key of one's own": {"IDP_SECRET_KEY": "changeme"},
    "a misspelt setting": {"IDP_TRUSTED_PROXYS": "10.0.0.0/8"},
    "a name server's name": {"IDP_SERVER_NAME": "evil.example"},
    "a password in clear": {"IDP_SMTP": "m:25", "IDP_SMTP_USER": "u", "IDP_SMTP_STARTTLS": "false"},
    "half of TLS": {"IDP_TLS_CERTIFICATE": "/x.pem"},
    "sessions without end": {"IDP_SESSION_IDLE": "0"},
    "a log level that logs more": {"IDP_LOG_LEVEL": "TRACE"},
    "a setting given twice": {"IDP_SUPPORT": "a@x.example", "IDP_SUPPORT_FILE": "/dev/null"},
}


@pytest.mark.parametrize("what", UNSAFE)
def test_hd_09_unsafe_settings_stop_the_start(what: str) -> None:
    with pytest.raises(OperatorError) as caught:
        read_config({"IDP_ISSUER": "https://login.example.com"} | UNSAFE[what])
    assert "IDP_" in str(caught.value)
    assert "changeme" not in str(caught.value)


def test_hd_09_flasks_own_variables_change_nothing(config: Config, embedded: EmbeddedServer) -> None:
    """In a process of its own: Flask reads them from the environment when an application is made."""
    script = (
        "import flask, sys; from pathlib import Path; from idp.app import create_app; from idp.config import Config;"
        "from idp.parts import build;"
        "folders = [Path(word) for word in sys.argv[2:]];"
        "config = Config(issuer='https://login.example', data=folders[0], keys=folders[1], clients=folders[2]);"
        "app = create_app(build(config, {}, redis_url=sys.argv[1]));"
        "print(flask.Flask('x').debug, app.debug, app.testing, app.config['PROPAGATE_EXCEPTIONS'], app.secret_key)"
    )
    command = [sys.executable, "-c", script, embedded.url, str(config.data), str(config.keys), str(config.clients)]
    environ = {"PATH": os.environ["PATH"], "FLASK_DEBUG": "1", "FLASK_TESTING": "1"}
    done = subprocess.run(command, env=environ, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1] == "True False False None None"


def test_hd_09_every_provider_has_secrets_of_its_own(parts: Parts, tmp_path: Path, clock: Clock) -> None:
    """Nothing that protects is a constant of the code: two new providers share nothing."""
    create_keys(tmp_path / "other", ("ES256",), clock())
    other = KeyRing(tmp_path / "other", 3600)
    assert other.subjects_secret != parts.keys.subjects_secret
    assert other.derive("csrf") != parts.keys.derive("csrf")
    assert other.derive("csrf") != other.derive("mail")


def test_pw_15_signing_out_leaves_no_cookie_that_works(walker: Walker, parts: Parts) -> None:
    add_carol(parts)
    walker.sign_in(walker.get("/login"), password=PASSWORD)
    cookie = visitor_cookies(walker)["session"]
    walker.submit(walker.get("/me"), "/me/sign-out")
    assert "session" not in visitor_cookies(walker)
    answer = walker.get("/me", headers={"Cookie": f"__Host-idp_session={cookie}"})
    assert answer.location == "/login"
