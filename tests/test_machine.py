"""How machine requests are read from WSGI, and the one policy for their headers, methods, CORS and errors."""

from __future__ import annotations

import ipaddress
import json
import shutil
from collections.abc import Iterator
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from idp.attempts import Attempts, drain
from idp.config import Config
from idp.database import Database
from idp.embedded_server import EmbeddedServer
from idp.errors import OAuthError, PageError, Unavailable
from idp.machine import (
    MAX_BODY,
    Answer,
    Endpoints,
    Request,
    Route,
    client_address,
    form_fields,
    json_answer,
    wsgi_request,
)
from idp.receipts import find_attempt
from idp.redis_store import RedisStore
from tests import canaries

if TYPE_CHECKING:
    from tests.conftest import Clock

PROXY = (ipaddress.ip_network("10.0.0.0/8"),)
SECRET = canaries.register("a-secret-inside-an-accident-0001", "text of an exception")


@pytest.fixture
def attempts(embedded: EmbeddedServer, clock: Clock) -> Iterator[Attempts]:
    with RedisStore(embedded.url) as store:
        store.command("FLUSHDB")
        made = Attempts(store, canaries.random, clock)
        yield made
        made.close()


@pytest.fixture
def endpoints(attempts: Attempts) -> Endpoints:
    def fail(error: Exception) -> Any:
        def handle(_: Request) -> Answer:
            raise error

        return handle

    def authorize(request: Request) -> Answer | None:
        if request.query == "broken":
            raise PageError("session_expired")
        return json_answer({"quick": True}) if request.query == "quick" else None

    return Endpoints(
        {
            "/document": Route(lambda _: json_answer({"a": 1}), ("GET", "HEAD"), cors="any"),
            "/form": Route(
                lambda request: json_answer(request.form()), ("POST",), cors="registered", challenge="Basic"
            ),
            "/private": Route(lambda _: json_answer({}), ("GET",)),
            "/down": Route(fail(Unavailable("redis_down", detail="x", retry_after=7)), ("GET",)),
            "/broken": Route(fail(ValueError(SECRET)), ("GET",)),
            "/refused": Route(fail(OAuthError("invalid_grant", "No.", reason="code_unknown")), ("GET",)),
        },
        authorize=authorize,
        origin_is_registered=lambda origin: origin == "https://rp1.example",
        attempts=attempts,
        issuer="https://login.example",
    )


def _ask(endpoints: Endpoints, method: str, path: str, **more: Any) -> tuple[int, dict[str, str], bytes]:
    answer = endpoints.answer(Request(method, path, **more))
    assert answer is not None
    assert len({name for name, _ in answer.headers}) == len(answer.headers)
    return answer.status, dict(answer.headers), answer.body


# --- reading ------------------------------------------------------------------------------------------------------------


def _environ(body: bytes = b"", **more: str) -> dict[str, Any]:
    return {
        "REQUEST_METHOD": "POST",
        "PATH_INFO": "/form",
        "QUERY_STRING": "",
        "REMOTE_ADDR": "192.0.2.1",
        "CONTENT_TYPE": "application/x-www-form-urlencoded",
        "CONTENT_LENGTH": str(len(body)),
        "wsgi.input": BytesIO(body),
        "wsgi.input_terminated": True,
        **more,
    }


def test_a_request_is_read_and_its_body_put_back() -> None:
    environ = _environ(
        b"a=1", HTTP_AUTHORIZATION="Basic x", HTTP_ORIGIN="https://a", HTTP_X_EVIL="1", QUERY_STRING="q=1"
    )
    request = wsgi_request(environ)

    assert (request.method, request.path, request.query, request.body) == ("POST", "/form", "q=1", b"a=1")
    assert request.headers == {
        "authorization": "Basic x",
        "content-length": "3",
        "content-type": "application/x-www-form-urlencoded",
        "origin": "https://a",
    }
    assert request.form() == {"a": "1"}
    assert environ["wsgi.input"].read() == b"a=1"


def test_a_body_without_a_length_is_read_up_to_the_limit() -> None:
    assert wsgi_request(_environ(b"a=1", CONTENT_LENGTH="")).form() == {"a": "1"}
    too_large = wsgi_request(_environ(b"a" * (MAX_BODY + 1), CONTENT_LENGTH="")).refused
    assert too_large is not None
    assert too_large.status == 413


@pytest.mark.parametrize(
    ("more", "status"),
    [
        ({"CONTENT_LENGTH": str(MAX_BODY + 1)}, 413),
        ({"CONTENT_LENGTH": "9" * 400}, 413),
        ({"CONTENT_LENGTH": "-1"}, 400),
        ({"CONTENT_LENGTH": "1e3"}, 400),
        ({"CONTENT_LENGTH": "٣"}, 400),
        ({"CONTENT_LENGTH": "3,3"}, 400),
        ({"HTTP_HOST": "login.example,evil.example"}, 400),
    ],
)
def test_what_cannot_be_read_is_refused_without_an_accident(
    endpoints: Endpoints, more: dict[str, str], status: int
) -> None:
    answer = endpoints.answer(wsgi_request(_environ(b"a=1", **more)))

    assert answer is not None
    assert (answer.status, json.loads(answer.body)["error"]) == (status, "invalid_request")


@pytest.mark.parametrize(
    ("body", "fields"),
    [
        (b"", {}),
        (b"a=1&b=2", {"a": "1", "b": "2"}),
        (b"&&a=1&", {"a": "1"}),
        (b"a=%C3%A9+%2B&b", {"a": "é +"}),
        (b"a==&b=%3D", {"a": "=", "b": "="}),
        (b"a=1;b=2", {"a": "1;b=2"}),
    ],
)
def test_forms_are_read_as_the_standard_says(body: bytes, fields: dict[str, str]) -> None:
    assert form_fields(body) == fields


@pytest.mark.parametrize(
    "body", [b"a=1&a=1", b"a=&a=1", b"a&a", b"%61=1&a=2", b"a=%00", b"\xc3\xa9=1", b"a=%C3", b"a=%ed%a0%80"]
)
def test_forms_that_say_two_things_or_nothing_readable_are_refused(body: bytes) -> None:
    with pytest.raises(OAuthError) as refused:
        form_fields(body)
    assert refused.value.error == "invalid_request"


def test_sixty_fields_are_the_most() -> None:
    assert len(form_fields(b"&".join(b"%d=x" % n for n in range(60)))) == 60
    with pytest.raises(OAuthError):
        form_fields(b"&".join(b"%d=x" % n for n in range(61)))
    with pytest.raises(OAuthError):
        form_fields(b"&" * 1_000_000)


@pytest.mark.parametrize(
    ("remote", "forwarded", "address"),
    [
        ("192.0.2.1", "", "192.0.2.1"),
        ("192.0.2.1", "203.0.113.9", "192.0.2.1"),  # no proxy of ours says so
        ("10.0.0.1", "203.0.113.9", "203.0.113.9"),
        ("10.0.0.1", "1.2.3.4, 203.0.113.9", "203.0.113.9"),  # what the visitor wrote before counts for nothing
        ("10.0.0.1", "203.0.113.9, 10.0.0.2", "203.0.113.9"),
        ("10.0.0.1", "10.0.0.3, 10.0.0.2", "10.0.0.3"),
        ("10.0.0.1", "nonsense", "10.0.0.1"),
        ("10.0.0.1", "2001:DB8::1", "2001:db8::1"),
        ("", "203.0.113.9", ""),
    ],
)
def test_ds_14_the_clients_address_is_what_our_own_proxies_saw(remote: str, forwarded: str, address: str) -> None:
    assert client_address(remote, forwarded, PROXY) == address
    assert client_address(remote, forwarded, ()) == remote


# --- answering ----------------------------------------------------------------------------------------------------------


def test_only_exact_paths_are_known(endpoints: Endpoints) -> None:
    for path in ("/document", "/authorize"):
        assert endpoints.serves(path)
    for path in ("/document/", "//document", "/Document", "/document;x", "/document/x.css", "/authorize/resume", ""):
        assert not endpoints.serves(path)
        assert endpoints.answer(Request("GET", path)) is None


def test_every_answer_carries_the_policy(endpoints: Endpoints) -> None:
    for path in ("/document", "/private", "/down", "/broken", "/refused"):
        sent = _ask(endpoints, "GET", path)[1]
        assert sent["X-Content-Type-Options"] == "nosniff"
        assert sent["Content-Security-Policy"] == "default-src 'none'; frame-ancestors 'none'"
        assert sent["X-Frame-Options"] == "DENY"
        assert sent["Referrer-Policy"] == "no-referrer"
        assert sent["Strict-Transport-Security"] == "max-age=31536000"
        assert sent["Cache-Control"] == "no-store"
        assert sent["Content-Type"] == "application/json"


def test_az_19_methods_are_exact(endpoints: Endpoints) -> None:
    for method in ("GET", "HEAD", "PUT", "DELETE", "OPTIONS", "post", "TRACE", ""):
        status, sent, body = _ask(endpoints, method, "/form")
        assert (status, sent["Allow"]) == (405, "POST")
        assert (body == b"") == (method == "HEAD")
    status, sent, body = _ask(endpoints, "HEAD", "/document")
    assert (status, body, sent["Content-Type"]) == (200, b"", "application/json")


def test_when_redis_is_down_the_answer_is_503_with_retry_after(endpoints: Endpoints) -> None:
    status, sent, body = _ask(endpoints, "GET", "/down")

    assert (status, sent["Retry-After"]) == (503, "7")
    assert json.loads(body)["error"] == "temporarily_unavailable"


def test_an_accident_is_a_500_with_a_receipt_and_nothing_else(
    endpoints: Endpoints, attempts: Attempts, embedded: EmbeddedServer, made_once: Path, tmp_path: Path
) -> None:
    status, _, body = _ask(endpoints, "GET", "/broken")

    assert status == 500
    assert json.loads(body)["error"] == "server_error"
    assert SECRET.encode() not in body  # and the canaries look into the log
    assert b"ValueError" not in body
    receipt = json.loads(body)["error_description"].split()[-1].rstrip(".")
    attempts.flush()
    shutil.copy(made_once / "idp.sqlite", tmp_path)
    database = Database(Config(issuer="https://login.example", data=tmp_path))
    with RedisStore(embedded.url) as store:
        drain(store, database)
    with database.reading() as db:
        found = find_attempt(db, receipt)
        assert found is not None
        assert (found.outcome, found.reason) == ("failed", "internal")
    database.close()


def test_authorize_is_answered_here_or_left_to_the_page(endpoints: Endpoints) -> None:
    assert endpoints.answer(Request("GET", "/authorize", query="quick")) is not None
    assert endpoints.answer(Request("GET", "/authorize", query="ask")) is None
    assert endpoints.answer(Request("GET", "/authorize", query="broken")) is None
    unreadable = Request("GET", "/authorize", query="quick", refused=OAuthError("invalid_request", "", reason="x"))
    assert endpoints.answer(unreadable) is None


# --- CORS ---------------------------------------------------------------------------------------------------------------

ORIGINS = [
    "https://rp1.example",
    "https://evil.example",
    "https://sub.rp1.example",
    "https://rp1.example.evil.example",
    "https://rp1.example:444",
    "http://rp1.example",
    "https://RP1.example",
    "null",
    "",
]


@pytest.mark.parametrize("origin", ORIGINS)
@pytest.mark.parametrize("method", ["POST", "OPTIONS"])
def test_hd_06_scripts_of_registered_origins_may_call(endpoints: Endpoints, origin: str, method: str) -> None:
    asked = {"origin": origin} | ({"access-control-request-method": "POST"} if method == "OPTIONS" else {})
    status, sent, _ = _ask(endpoints, method, "/form", headers=asked)

    assert sent.get("Access-Control-Allow-Origin") == (origin if origin == "https://rp1.example" else None)
    assert sent["Vary"] == "Origin"
    assert "Access-Control-Allow-Credentials" not in sent
    if method == "OPTIONS":
        assert status == 204
        assert ("Access-Control-Allow-Headers" in sent) == (origin == "https://rp1.example")


def test_hd_06_documents_are_for_everybody_and_the_rest_for_nobody(endpoints: Endpoints) -> None:
    for origin in ORIGINS:
        assert _ask(endpoints, "GET", "/document", headers={"origin": origin})[1]["Access-Control-Allow-Origin"] == "*"
        asked = {"origin": origin, "access-control-request-method": "GET"}
        for method in ("GET", "OPTIONS"):
            assert "Access-Control-Allow-Origin" not in _ask(endpoints, method, "/private", headers=asked)[1]


def test_errors_can_be_read_by_the_script_that_caused_them(endpoints: Endpoints) -> None:
    status, sent, _ = _ask(endpoints, "POST", "/form", headers={"origin": "https://rp1.example"})

    assert (status, sent["Access-Control-Allow-Origin"]) == (415, "https://rp1.example")


# --- whatever comes -----------------------------------------------------------------------------------------------------


@given(st.binary(max_size=300))
@settings(max_examples=300, deadline=None)
def test_no_body_is_an_accident(body: bytes) -> None:
    try:
        fields = form_fields(body)
    except OAuthError as refused:
        assert refused.error == "invalid_request"
    else:
        assert all(fields.values())
