"""Promises of requests_transport.py: a client library calls out under our rules, whatever it would like to do."""

from __future__ import annotations

import time
from collections.abc import Iterator

import pytest
from requests import Session

from idp.config import read_config
from idp.fetch import Fetcher, FetchError
from idp.requests_transport import LARGEST, bind
from tests.fakes.product_server import ProductServer, product_server, reply

FETCHER = Fetcher(read_config({"IDP_ISSUER": "http://localhost:8000"}))


@pytest.fixture
def server() -> Iterator[ProductServer]:
    with product_server(None) as made:
        yield made


def bound(seconds: float = 10.0) -> Session:
    session = Session()
    bind(session, FETCHER, time.monotonic() + seconds)
    return session


def test_a_form_is_sent_as_the_library_has_made_it(server: ProductServer) -> None:
    server.answer = reply(201, b'{"a": "\xc3\xa9"}', Content_Type="application/json")
    answer = bound().post(
        f"http://127.0.0.1:{server.port}/token?x=1", data={"a": "b c"}, headers={"Accept": "application/json"}
    )
    assert (answer.status_code, answer.json(), answer.headers) == (
        201,
        {"a": "é"},
        {"Content-Type": "application/json"},
    )
    (asked,) = server.asked
    assert (asked.line, asked.body) == ("POST /token?x=1 HTTP/1.1", b"a=b+c")
    assert asked.headers == {
        "host": f"127.0.0.1:{server.port}",
        "accept": "application/json",
        "accept-encoding": "identity",
        "connection": "close",
        "content-length": "5",
        "content-type": "application/x-www-form-urlencoded",
        "user-agent": "idp",
    }


def test_no_redirect_is_followed_and_no_cookie_kept(server: ProductServer) -> None:
    server.answer = reply(302, b"", Location="/elsewhere", Set_Cookie="a=b")
    session = bound()
    for _ in range(2):
        assert session.get(f"http://127.0.0.1:{server.port}/").status_code == 302
    assert [asked.line for asked in server.asked] == ["GET / HTTP/1.1"] * 2
    assert all("cookie" not in asked.headers for asked in server.asked)


@pytest.mark.parametrize("url", ["http://10.0.0.1/", "https://[fd00::1]/", "https://a:b@id.example/"])
def test_what_our_rules_forbid_is_not_called(url: str) -> None:
    with pytest.raises(FetchError) as error:
        bound().get(url)
    assert error.value.refused


def test_there_is_no_other_way_out() -> None:
    assert list(bound().adapters) == [""]
    assert bound().trust_env is False


def test_an_answer_has_a_limit_and_a_deadline(server: ProductServer) -> None:
    server.answer = reply(200, b"x" * LARGEST)
    assert len(bound().get(f"http://127.0.0.1:{server.port}/").content) == LARGEST
    server.answer = reply(200, b"x" * (LARGEST + 1))
    with pytest.raises(FetchError, match="longer than"):
        bound().get(f"http://127.0.0.1:{server.port}/")
    server.answer = lambda asked, write: server.released.wait() and None
    for seconds in (0.2, -1.0):
        began = time.monotonic()
        with pytest.raises(FetchError, match="deadline"):
            bound(seconds).get(f"http://127.0.0.1:{server.port}/")
        assert time.monotonic() - began < 2
