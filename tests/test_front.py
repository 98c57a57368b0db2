"""The way from the HTTP server into the provider: what is answered on the loop, what in a thread, and what a body may be."""

from __future__ import annotations

import asyncio
import os
import threading
from collections.abc import Callable, Coroutine, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any

import pytest
from flask import request as asked_page

from idp.app import Application
from idp.cookies import PROVIDER
from idp.front import LARGEST_BODY, SLOW, Front
from idp.machine import MAX_BODY, Answer, Endpoints, Request, Route, json_answer

FORM = ("content-type", "application/x-www-form-urlencoded")


@dataclass
class Protocol:
    """granian's side of one request, with a body that comes as ``chunks``."""

    chunks: list[bytes] = field(default_factory=list)
    never: bool = False
    taken: int = 0
    answer: tuple[int, list[tuple[str, str]], bytes] | None = None

    async def __call__(self) -> bytes:
        if self.never:
            await asyncio.Event().wait()
        self.taken += sum(map(len, self.chunks))
        return b"".join(self.chunks)

    async def __aiter__(self) -> Any:
        for chunk in self.chunks:
            self.taken += len(chunk)
            yield chunk

    def response_bytes(self, status: int, headers: list[tuple[str, str]], body: bytes) -> None:
        self.answer = status, headers, body

    def response_empty(self, status: int, headers: list[tuple[str, str]]) -> None:
        self.answer = status, headers, b""


def scope(method: str, path: str, *headers: tuple[str, str], version: str = "1.1", authority: str | None = None) -> Any:
    return SimpleNamespace(
        method=method,
        path=path,
        query_string="",
        http_version=version,
        scheme="http",
        client="192.0.2.1:4000",
        server="127.0.0.1:8000",
        authority=authority,
        headers=SimpleNamespace(items=lambda: list(headers)),
    )


def on_a_loop(work: Coroutine[Any, Any, None]) -> None:
    """Run on a loop of its own, in a thread of its own: a browser of other tests may hold this one's."""
    with ThreadPoolExecutor(1, "loop") as thread:
        thread.submit(asyncio.run, work).result()


@dataclass
class Site:
    """A front whose endpoint and page say which thread answered, and what they were given."""

    front: Front
    requests: list[Request]
    environs: list[dict[str, Any]]
    threads: list[str]
    takes: list[Callable[[], None]]

    def ask(self, asked: Any, protocol: Protocol | None = None) -> Protocol:
        protocol = protocol or Protocol()
        on_a_loop(self.front(asked, protocol))  # type: ignore[arg-type]  # no more of it is used
        return protocol


@pytest.fixture
def site() -> Iterator[Site]:
    requests: list[Request] = []
    environs: list[dict[str, Any]] = []
    threads: list[str] = []
    takes: list[Callable[[], None]] = []

    def answer(request: Request) -> Answer:
        requests.append(request)
        threads.append(threading.current_thread().name.partition("_")[0])
        for work in takes:
            work()
        return json_answer({"body": request.body.decode()})

    endpoints = Endpoints(
        {"/token": Route(answer, ("POST",), slow_field=b"client_assertion")},
        authorize=lambda request: None,
        origin_is_registered=lambda origin: False,
        attempts=SimpleNamespace(),  # type: ignore[arg-type]  # nothing here breaks
        issuer="http://localhost",
    )
    app = Application("front")
    config = SimpleNamespace(trusted_proxies=(), metrics_token="")
    app.extensions["idp"] = SimpleNamespace(endpoints=endpoints, config=config, close=lambda: None)

    def page(path: str) -> str:
        environs.append(dict(asked_page.environ))
        threads.append(threading.current_thread().name.partition("_")[0])
        return "page"

    app.config["PROGRAM"] = PROVIDER
    app.config["MAX_CONTENT_LENGTH"] = 64 * 1024
    app.add_url_rule("/<path:path>", "page", page, methods=["GET", "POST"])
    front = Front(app, 2, patience=0.05)
    yield Site(front, requests, environs, threads, takes)

    async def ended() -> None:
        front.__rsgi_del__(asyncio.get_running_loop())

    on_a_loop(ended())


def post(*more: tuple[str, str], path: str = "/token", length: int | None = None) -> Any:
    sent = [("host", "localhost"), FORM, *more]
    return scope("POST", path, *sent, *([("content-length", str(length))] if length is not None else []))


def test_a_machine_request_is_answered_on_the_loop_and_a_page_in_a_thread(site: Site) -> None:
    here = site.ask(post(length=3), Protocol([b"a=1"])).answer
    there = site.ask(scope("GET", "/login", ("host", "localhost"))).answer
    assert here is not None
    assert there is not None
    assert (here[0], here[2]) == (200, b'{"body":"a=1"}')
    assert (there[0], there[2]) == (200, b"page")
    assert site.threads == ["loop", "answering"]


@pytest.mark.parametrize("name", [b"client_assertion", b"client%5Fassertion", b"%63lient_assertion"])
def test_what_may_have_to_ask_another_server_never_runs_on_the_loop(site: Site, name: bytes) -> None:
    body = b"a=1&" + name + b"=x"
    site.ask(post(length=len(body)), Protocol([body]))
    assert site.threads == ["answering"]


def test_after_a_slow_answer_the_loop_is_spared(site: Site) -> None:
    site.takes.append(lambda: threading.Event().wait(SLOW * 1.1))
    for _ in range(2):
        site.ask(post(length=3), Protocol([b"a=1"]))
    assert site.threads == ["loop", "answering"]


def test_a_body_that_does_not_come_holds_no_thread_and_ends(site: Site) -> None:
    for path in ("/token", "/login"):
        late = site.ask(post(path=path, length=3), Protocol(never=True))
        assert late.answer == (408, [], b"")
    assert site.threads == []


def test_a_body_is_bounded_by_who_takes_it(site: Site) -> None:
    for path, limit, status in (("/token", MAX_BODY, 413), ("/login", LARGEST_BODY, 413)):
        announced = site.ask(post(path=path, length=limit + 1), Protocol([b"x" * (limit + 1)]))
        chunk = b"x" * 1024
        chunked = site.ask(post(("transfer-encoding", "chunked"), path=path), Protocol([chunk] * 2000))
        assert announced.taken == 0
        assert chunked.taken <= limit + len(chunk)
        for refused in (announced, chunked):
            assert refused.answer is not None
            if path == "/token":
                assert refused.answer[0] == status
    assert site.requests == []


def test_a_body_in_chunks_is_put_together_and_one_that_breaks_off_is_refused(site: Site) -> None:
    whole = site.ask(post(("transfer-encoding", "chunked")), Protocol([b"a=", b"1", b""]))
    assert whole.answer is not None
    assert whole.answer[2] == b'{"body":"a=1"}'
    broken = site.ask(post(("transfer-encoding", "chunked")), Protocol([b"a=", b"", b""]))
    assert broken.answer == (400, [], b"")


def test_doubled_headers_are_seen_to_be(site: Site) -> None:
    twice = scope("POST", "/token", ("host", "localhost"), ("host", "evil.example"), FORM)
    assert site.ask(twice).answer is not None
    other = scope("POST", "/token", ("host", "evil.example"), FORM, version="2", authority="localhost")
    for asked in (twice, other):
        answer = site.ask(asked).answer
        assert answer is not None
        assert answer[0] == 400
    assert site.requests == []
    same = scope(
        "GET", "/x", ("host", "localhost"), ("cookie", "a=1"), ("cookie", "b=2"), version="2", authority="localhost"
    )
    site.ask(same)
    assert (site.environs[0]["HTTP_HOST"], site.environs[0]["HTTP_COOKIE"]) == ("localhost", "a=1; b=2")


def test_a_page_is_given_nothing_but_its_request(site: Site) -> None:
    sent = (("host", "localhost"), ("x_forwarded_for", "192.0.2.9"), ("x-forwarded-for", "192.0.2.8"), FORM)
    site.ask(scope("POST", "/é", *sent, ("content-length", "3")), Protocol([b"a=1"]))
    environ = site.environs[0]
    assert not environ.keys() & os.environ.keys()  # the server's own environment, as some servers give it
    assert environ["HTTP_X_FORWARDED_FOR"] == "192.0.2.8"
    assert environ["PATH_INFO"] == "/é".encode().decode("latin-1")
    assert (environ["CONTENT_LENGTH"], environ["REMOTE_ADDR"]) == ("3", "192.0.2.1")
