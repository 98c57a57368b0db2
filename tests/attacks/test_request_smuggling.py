"""HD-03 and the rest of what only a socket can send: raw bytes against a running ``idp serve``.

The proxy refuses these before they come here (tests/test_deploy.py); without it nothing of them may work either.
"""

from __future__ import annotations

import socket
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from tests.running import Provider, running_provider

HOST = "Host: localhost"
FORM = "Content-Type: application/x-www-form-urlencoded"
INSIDE = "GET /jwks HTTP/1.1\r\nHost: localhost\r\n\r\n"  # the request that somebody tries to hide


@pytest.fixture(scope="module")
def provider(tmp_path_factory: pytest.TempPathFactory, made_once: Path) -> Iterator[Provider]:
    with running_provider(tmp_path_factory.mktemp("sockets") / "provider", keys=made_once / "keys") as running:
        yield running


def send(provider: Provider, raw: bytes) -> bytes:
    """Send bytes, and return all that is answered until the provider closes the connection."""
    with socket.create_connection(("127.0.0.1", provider.port), timeout=20) as connection:
        with suppress(BrokenPipeError, ConnectionResetError):  # it need not listen to the end
            connection.sendall(raw)
        answer = b""
        with suppress(ConnectionResetError):
            while more := connection.recv(65536):
                answer += more
        return answer


def request(method: str, path: str, *headers: str, body: str = "", host: str = HOST) -> bytes:
    lines = [f"{method} {path} HTTP/1.1", *filter(None, [host]), *headers, "Connection: close", "", body]
    return "\r\n".join(lines).encode("latin-1")


def statuses(answer: bytes) -> list[int]:
    return [int(line.split(b" ")[1]) for line in answer.split(b"\r\n") if line.startswith(b"HTTP/1.")]


@pytest.mark.parametrize(
    ("headers", "body"),
    [
        (["Content-Length: 4", "Transfer-Encoding: chunked"], "0\r\n\r\n" + INSIDE),
        (["Transfer-Encoding: chunked", "Content-Length: 4"], "0\r\n\r\n" + INSIDE),
        (["Content-Length: 4", "Content-Length: 5"], "abcd" + INSIDE),
        (["Content-Length: 4, 5"], "abcd" + INSIDE),
        (["Content-Length: +4"], "abcd" + INSIDE),
        (["Content-Length: 0x4"], "abcd" + INSIDE),
        (["Content-Length: -4"], INSIDE),
        (["Content-Length : 4"], "abcd" + INSIDE),
        (["Transfer-Encoding: xchunked"], "0\r\n\r\n" + INSIDE),
        (["Transfer-Encoding: chunked", "Transfer-Encoding: identity"], "0\r\n\r\n" + INSIDE),
        (["Transfer-Encoding : chunked"], "0\r\n\r\n" + INSIDE),
        (["Transfer-Encoding:\x0bchunked"], "0\r\n\r\n" + INSIDE),
        (["Transfer-Encoding: chunked"], "0\nx\r\n\r\n" + INSIDE),
        (["Transfer-Encoding: chunked"], "-1\r\n\r\n" + INSIDE),
        (["Transfer-Encoding: chunked"], "fffffffffffffffff\r\n" + INSIDE),
        (["X: a", " Content-Length: 4"], INSIDE),  # a folded line
        (["X: a\0b"], INSIDE),
        (["X: a\rContent-Length: 4"], INSIDE),
    ],
)
def test_hd_03_a_request_that_could_be_read_in_two_ways_hides_no_other(
    provider: Provider, headers: list[str], body: str
) -> None:
    answer = send(provider, request("POST", "/token", FORM, *headers, body=body))
    assert len(statuses(answer)) <= 1
    assert all(400 <= status < 500 for status in statuses(answer))
    assert b'"keys"' not in answer


@pytest.mark.parametrize("path", ["/jwks", "/login", "/authorize?client_id=C1", "/me", "/health/live", "/nothing"])
def test_hd_03_a_doubled_host_is_refused_everywhere(provider: Provider, path: str) -> None:
    answer = send(provider, request("GET", path, "Host: evil.example"))
    assert statuses(answer) == [400]
    assert b"evil" not in answer
    assert b"\r\nlocation:" not in answer.lower()


def test_hd_03_a_doubled_authorization_is_refused(provider: Provider) -> None:
    bearer = ["Authorization: Bearer aaaa", "Authorization: Bearer bbbb"]
    assert statuses(send(provider, request("GET", "/userinfo", *bearer))) == [400]
    basic = ["Authorization: Basic QzE6eA==", "Authorization: Basic QzE6eA==", FORM]
    body = "grant_type=authorization_code"
    answer = send(provider, request("POST", "/token", *basic, f"Content-Length: {len(body)}", body=body))
    assert statuses(answer) == [401]


def test_hd_03_a_line_that_goes_on_in_the_next_is_refused(provider: Provider) -> None:
    for folded in ("Authorization: Bearer\r\n aaaa", "Host: localhost\r\n .evil.example", "X: a\r\n\tb"):
        assert statuses(send(provider, request("GET", "/userinfo", folded))) == [400]


def test_hd_02_the_host_that_a_visitor_claims_appears_nowhere(provider: Provider) -> None:
    """Every address that we print comes from IDP_ISSUER."""
    claims = ("X-Forwarded-Host: evil.example", "Forwarded: host=evil.example", "X-Original-URL: /evil.example")
    for path in ("/login", "/me", "/.well-known/openid-configuration", "/authorize?client_id=x", "/logout", "/x"):
        for target in (path, f"http://evil.example{path}"):
            raw = request("GET", target, *claims, host="Host: evil.example")
            answer = send(provider, raw)
            assert statuses(answer)[0] < 500
            assert b"evil" not in answer
    found = send(provider, request("GET", "/.well-known/openid-configuration", host=""))
    assert f'"issuer":"{provider.issuer}"'.encode() in found


@pytest.mark.parametrize(
    "path", ["/token", "/introspect", "/userinfo", "/login", "/login/password", "/authorize", "/logout"]
)
def test_tk_12_ten_megabytes_are_not_listened_to(provider: Provider, path: str) -> None:
    megabytes = "x" * 10_000_000
    for headers, body in (
        (["Content-Length: 10000000"], megabytes),
        (
            ["Transfer-Encoding: chunked"],
            "10000\r\n" + megabytes[:65536] + "\r\n" + "989680\r\n" + megabytes + "\r\n0\r\n\r\n",
        ),
    ):
        answer = send(provider, request("POST", path, FORM, *headers, body=body))
        assert all(400 <= status < 500 for status in statuses(answer))
    assert provider.get("/health/live").status_code == 200


def test_tk_12_a_request_line_and_headers_are_bounded(provider: Provider) -> None:
    for raw in (
        request("GET", "/authorize?state=" + "x" * 200_000),
        request("GET", "/login", "Cookie: " + "x" * 200_000),
        request("GET", "/login", *[f"X-{number}: x" for number in range(5000)]),
    ):
        answer = send(provider, raw)
        assert all(status in (400, 414, 431) for status in statuses(answer))


def test_pw_15_a_cookie_of_eight_kilobytes_is_nobodys(provider: Provider) -> None:
    for value in ("x" * 8000, "\xe9" * 43, "a=b;" * 2000):
        answer = send(provider, request("GET", "/me", f"Cookie: idp_session={value}"))
        assert statuses(answer) == [303]
        assert b"\r\nlocation: /login\r\n" in answer.lower()


def test_ds_14_http_1_0_is_answered_alike(provider: Provider) -> None:
    answer = send(provider, b"GET /me HTTP/1.0\r\n\r\n")
    assert statuses(answer) == [303]


def test_hd_05_a_path_is_taken_as_it_was_sent(provider: Provider) -> None:
    """Nothing is put right on the way: no doubled slash, no dot, no absolute address leads past a rule of the proxy."""
    for path in (
        "//login",
        "///me",
        "//evil.example/login",
        "//authorize",
        "//metrics",
        "//health/live",
        "/./login",
        "/x/../me",
        "/%2e%2e/me",
        "/%2Fme",
        "//token",
    ):
        answer = send(provider, request("GET", path))
        assert statuses(answer) == [404], path
        assert b"\r\nlocation:" not in answer.lower()
    for target in ("http://evil.example", "http://evil.example/", "*"):
        answer = send(provider, request("GET", target, host="Host: evil.example"))
        assert b"evil" not in answer
        assert statuses(answer)[0] < 500
