"""Password sign-ins, many at once: ``python -m tests.bench.sign_ins HOST PEOPLE SECONDS`` prints how many went through.

Each person is a thread with a browser that knows its owner: from the product's request through both pages to the code.
"""

from __future__ import annotations

import http.client
import json
import re
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from html import unescape
from urllib.parse import urlencode

from tests.bench.ours import authorization_request
from tests.journey import PASSWORD

_FORM = re.compile(r'action="([^"]*)".*?</form>', re.S)
_HIDDEN = re.compile(r'<input type="hidden" name="([^"]*)" value="([^"]*)"')


class Busy(Exception):
    """The provider asks to come back later (503)."""


@dataclass
class Person:
    """``number`` is whose address and whose network this is."""

    host: str
    number: int
    cookies: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self._connection = http.client.HTTPConnection(self.host, timeout=60)

    def sign_in(self) -> None:
        """A whole journey, on a connection of its own: an idle one is closed after some seconds."""
        self._connection.close()
        self.cookies.pop("idp_session", None)
        page = self._open("GET", f"/authorize?{authorization_request('RS')}")
        page = self._submit(page, username=email(self.number))
        page = self._submit(page, username=email(self.number), password=PASSWORD)
        assert "code=" in page, page

    def _submit(self, page: str, **fields: str) -> str:
        form = _FORM.search(page)
        assert form, page
        hidden = {unescape(name): unescape(value) for name, value in _HIDDEN.findall(form[0])}
        return self._open("POST", unescape(form[1]), urlencode({**hidden, **fields}))

    def _open(self, method: str, url: str, form: str | None = None) -> str:
        """The page, or the address of the product with the answer."""
        while True:
            headers = {
                "User-Agent": "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0",
                "X-Forwarded-For": f"10.{self.number}.0.7",
                "Cookie": "; ".join(f"{name}={value}" for name, value in self.cookies.items()),
            }
            if form is not None:
                headers["Content-Type"] = "application/x-www-form-urlencoded"
            self._connection.request(method, url, form, headers)
            answer = self._connection.getresponse()
            body = answer.read().decode()
            for cookie in answer.headers.get_all("Set-Cookie", ()):
                name, _, value = cookie.partition(";")[0].partition("=")
                self.cookies[name] = value
            if answer.status == 503:
                raise Busy
            if answer.status != 303:
                assert answer.status == 200, body
                return body
            url = answer.headers["Location"]
            if not url.startswith("/"):
                return url
            method, form = "GET", None


def email(number: int) -> str:
    return f"person{number}@example.org"


def sign_in_until(person: Person, deadline: float) -> tuple[int, int]:
    """How often it went through before the deadline, and how often the provider was too busy."""
    done = busy = 0
    while time.monotonic() < deadline:
        try:
            person.sign_in()
        except Busy:
            busy += 1
            time.sleep(0.2)
        else:
            done += time.monotonic() <= deadline
    return done, busy


def run(host: str, people: int, seconds: float) -> dict[str, float]:
    crowd = [Person(host, number) for number in range(people)]
    with ThreadPoolExecutor(people) as threads:
        list(threads.map(lambda person: sign_in_until(person, time.monotonic() + 0.001), crowd))  # a known device each
        print("warm", flush=True)
        deadline = time.monotonic() + seconds
        counts = list(threads.map(lambda person: sign_in_until(person, deadline), crowd))
    return {"per_second": sum(done for done, _ in counts) / seconds, "busy": sum(busy for _, busy in counts)}


if __name__ == "__main__":
    print(json.dumps(run(sys.argv[1], int(sys.argv[2]), float(sys.argv[3]))))
