"""A person at a browser without a screen, over the network: for providers that run in a process of their own."""

from __future__ import annotations

import re
from html import unescape
from urllib.parse import urljoin

import requests

from tests import canaries
from tests.journey import PASSWORD
from tests.running import Provider


class Visitor:
    """One browser at a running provider. Follows redirects as long as they stay there."""

    def __init__(self, provider: Provider) -> None:
        self.provider = provider
        self.http = requests.Session()
        self.http.trust_env = False  # the machine may name a bundle of its own
        self.http.verify = str(provider.ca) if provider.ca else True
        self.http.headers["Host"] = provider.issuer.partition("://")[2]

    def open(self, url: str, **data: str) -> requests.Response:
        """One request, a POST if there is ``data``; redirects within the provider are followed."""
        method = "POST" if data else "GET"
        while True:
            here = urljoin(self.provider.issuer + "/", url).replace(self.provider.issuer, self.provider.address, 1)
            response = self.http.request(method, here, data=data or None, allow_redirects=False, timeout=30)
            for name, value in self.http.cookies.items():
                if name.endswith(("_session", "_browser", "_device")):
                    canaries.register(value, "cookie")
            url = response.headers.get("Location", "")
            if response.status_code != 303 or not url.startswith(("/", self.provider.issuer)):
                return response
            method, data = "GET", {}

    def submit(self, page: requests.Response, **fields: str) -> requests.Response:
        """Send the page's first form with ``fields`` filled in."""
        target, hidden = form_of(page)
        return self.open(target, **hidden, **fields)

    def sign_in(self, url: str, email: str = "carol@example.org", password: str = PASSWORD) -> str:
        """From an authorization request to the relying party's address with the answer."""
        page = self.open(url)
        if 'id="username"' in page.text and 'id="password"' not in page.text:
            page = self.submit(page, username=email)
        if 'id="password"' in page.text:
            page = self.submit(page, username=email, password=password)
        if 'id="consent-allow"' in page.text:
            page = self.submit(page, decision="allow")
        assert page.status_code == 303, page.text
        return page.headers["Location"]


def form_of(page: requests.Response, path: str = "") -> tuple[str, dict[str, str]]:
    """Where the page's form goes (its first, or the one to ``path``), and its hidden fields."""
    for form in re.findall(r"<form\b.*?</form>", page.text, re.S):
        target = re.search(r'action="([^"]*)"', form)
        if target and path in ("", unescape(target[1]).partition("?")[0]):
            hidden = re.findall(r'<input type="hidden" name="([^"]*)" value="([^"]*)"', form)
            return unescape(target[1]), {unescape(name): unescape(value) for name, value in hidden}
    raise AssertionError(f"no form to {path} in:\n{page.text}")
