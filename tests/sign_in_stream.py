"""People who sign in one after the other, without a break, while something is taken away from the provider.

Every answer that they see is kept. One of them does not know the password.
"""

from __future__ import annotations

import re
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import requests

from tests.backends import wait_until
from tests.journey import PASSWORD
from tests.party import Party, add_people, answer_of
from tests.running import Provider
from tests.visitor import Visitor


@dataclass
class Person:
    """Signs in with a new browser each time, from a network of their own."""

    email: str
    account_id: str
    number: int
    party: Party
    password: str | None = None  # a wrong one
    done: int = 0  # sign-ins from the first page to the claims
    began: int = 0
    forgiven: tuple[int, ...] = ()  # statuses that this trouble may also cause
    cut: int = 0  # connections that ended without an answer
    answers: Counter[str] = field(default_factory=Counter)
    wrong: list[str] = field(default_factory=list)

    def run(self, stop: threading.Event) -> None:
        while not stop.is_set():
            self.began += 1
            try:
                self.once()
            except _TryAgain:
                continue
            except requests.RequestException:
                self.cut += 1
                wait_until(lambda: stop.is_set() or self.party.provider.listens(), "somebody listens again")
            except Exception as error:  # noqa: BLE001 what ends this thread must reach the test
                self.wrong.append(f"{type(error).__name__}: {error}")
                return

    def once(self) -> None:
        browser = Visitor(self.party.provider)
        browser.http.headers["X-Forwarded-For"] = f"198.51.{self.number}.{1 + self.began % 250}"
        browser.http.hooks["response"].append(self.look_at)
        page = browser.submit(self.on(browser.open(self.party.url())), username=self.email)
        if self.password is not None:
            answer = self.on(browser.submit(self.on(page), username=self.email, password=self.password))
            if answer.status_code == 303:
                self.wrong.append(f"signed in with a wrong password: {answer.headers['Location']}")
            return
        answer = self.on(browser.submit(self.on(page), password=PASSWORD, username=self.email))
        tokens = self.on(self.look_at(self.party.redeem(answer_of(answer.headers["Location"])["code"])))
        claims = self.on(self.look_at(self.party.userinfo(tokens.json()["access_token"])))
        assert claims.json()["email"] == self.email
        self.done += 1

    def on(self, answer: requests.Response) -> requests.Response:
        """Go on, unless we were told to try again shortly: then begin anew, as a person does."""
        if answer.status_code == 503 or answer.status_code in self.forgiven:
            raise _TryAgain
        return answer

    def look_at(self, answer: requests.Response, **_: Any) -> requests.Response:
        """Whatever is missing behind the provider: a page, a redirect, or a clear word that it will be back."""
        path = re.sub(r"^https?://[^/]+", "", answer.url).partition("?")[0]
        said = f"{answer.status_code} {path}"
        self.answers[said] += 1
        if answer.status_code == 503:
            if not answer.headers.get("Retry-After", "").isdigit():
                self.wrong.append(f"{said}: no Retry-After")
            words = "temporarily_unavailable" if path in MACHINES else 'id="error-page"'
            if words not in answer.text:
                self.wrong.append(f"{said}: {answer.text[:1500]}")
        elif answer.status_code not in (200, 303, *self.forgiven):
            self.wrong.append(f"{said}: {answer.text[:1500]}")
        return answer


class _TryAgain(Exception):
    pass


MACHINES = ("/token", "/userinfo", "/jwks", "/introspect")


@dataclass
class Stream:
    """All of them. ``trouble`` is what they were told or suffered so far."""

    provider: Provider
    people: list[Person]
    intruder: Person

    @property
    def everybody(self) -> list[Person]:
        return [*self.people, self.intruder]

    @property
    def unavailable(self) -> int:
        """Answers that said: not now."""
        return sum(n for one in self.everybody for said, n in one.answers.items() if said.startswith("503"))

    def is_seen_unavailable(self) -> None:
        before = self.unavailable
        wait_until(lambda: self.unavailable > before or self.has_failed(), "somebody is told to come back shortly")
        self.must_be_well()

    def goes_on(self) -> None:
        """Everybody signs in completely, and the intruder is answered, at least once from now on."""
        before = [one.done for one in self.people]
        tried = self.intruder.began
        wait_until(
            lambda: (
                self.has_failed()
                or (
                    all(one.done > so_far + 1 for one, so_far in zip(self.people, before, strict=True))
                    and self.intruder.began > tried
                )
            ),
            "everybody signs in again",
            patience=60,
        )
        self.must_be_well()

    def has_failed(self) -> bool:
        return any(one.wrong for one in self.everybody)

    def must_be_well(self) -> None:
        assert [wrong for one in self.everybody for wrong in one.wrong] == []


@contextmanager
def sign_in_stream(provider: Provider, domain: str, *, cuts: bool = False, forgets: bool = False) -> Iterator[Stream]:
    """Let three people and an intruder sign in until the block ends.

    ``domain`` of their addresses: one per stream. ``cuts``: whether connections may end without an answer; ``forgets``:
    whether what was begun may be unknown later.
    """
    emails = [f"{name}@{domain}" for name in ("ann", "bob", "eve")]
    ids = add_people(provider, *emails)
    people = [
        Person(email, account_id, 10 + number, Party(provider), forgiven=(400, 401) if forgets else ())
        for number, (email, account_id) in enumerate(zip(emails, ids, strict=True))
    ]
    intruder = Person(emails[0], ids[0], 99, Party(provider), password="not her password", forgiven=(400, 429))
    stream = Stream(provider, people, intruder)
    stop = threading.Event()
    threads = [threading.Thread(target=one.run, args=(stop,)) for one in stream.everybody]
    for thread in threads:
        thread.start()
    try:
        stream.goes_on()
        yield stream
    finally:
        stop.set()
        for thread in threads:
            thread.join()
    stream.must_be_well()
    assert cuts or sum(one.cut for one in stream.everybody) == 0, "connections ended without an answer"
