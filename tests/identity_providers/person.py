"""A person at a browser without a screen, on many sites: follows redirects, fills in forms, keeps cookies."""

from __future__ import annotations

from dataclasses import dataclass, field
from html.parser import HTMLParser
from urllib.parse import urljoin

import requests


@dataclass
class Form:
    """A form of a page: where it goes, how, and its fields with their values."""

    url: str
    method: str
    fields: dict[str, str] = field(default_factory=dict)


class Person:
    """One browser. ``page`` is what it shows, ``seen`` every address it has asked for."""

    def __init__(self) -> None:
        self.http = requests.Session()
        self.http.trust_env = False
        self.page = requests.Response()
        self.seen: list[str] = []

    def open(self, url: str, method: str = "GET", fields: dict[str, str] | None = None) -> str:
        """Go to an address and where it leads; returns the page's text, or the address when a product is reached (``.example``: nobody is there)."""
        while True:
            self.seen.append(url)
            sent = {"data": fields} if method == "POST" else {"params": fields}
            self.page = self.http.request(method, url, **sent, allow_redirects=False, timeout=30)
            onward = self.page.headers.get("Location") or self._read().leads_to
            if not onward:
                return self.page.text
            url, method, fields = urljoin(url, onward), "GET", None
            if ".example/" in url:
                return url

    def forms(self) -> list[Form]:
        return self._read().found

    def _read(self) -> _Forms:
        reader = _Forms(self.page.url)
        reader.feed(self.page.text)
        return reader

    def submit(self, **filled: str) -> str:
        """Fill in the first form that has the fields, and send it."""
        for form in self.forms():
            if filled.keys() <= form.fields.keys():
                return self.open(form.url, form.method, {**form.fields, **filled})
        raise AssertionError(f"no form with {list(filled)} at {self.page.url}:\n{self.page.text}")

    def press(self, path: str) -> str:
        """Send the form that goes to ``path`` as it stands."""
        form = next(form for form in self.forms() if form.url.endswith(path))
        return self.open(form.url, form.method, form.fields)

    def carry(self) -> str:
        """Do what the script of a SAML page does: send its message on, as often as there is one."""
        while any(form.fields.keys() & {"SAMLResponse", "SAMLRequest"} for form in self.forms()):
            field = next(
                name for form in self.forms() for name in ("SAMLResponse", "SAMLRequest") if name in form.fields
            )
            form = next(form for form in self.forms() if field in form.fields)
            landed = self.open(form.url, form.method, form.fields)
            if self.page.is_redirect:
                return landed
        return self.page.text


class _Forms(HTMLParser):
    def __init__(self, url: str) -> None:
        super().__init__()
        self.url = url
        self.found: list[Form] = []
        self.leads_to = ""
        self.pressed = False  # the first button of the form at hand was seen

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        values = {name: value or "" for name, value in attrs}
        if tag == "meta" and values.get("http-equiv", "").lower() == "refresh":
            self.leads_to = values["content"].partition("=")[2].strip("'")
        elif tag == "form":
            url = urljoin(self.url, values.get("action", ""))
            self.found.append(Form(url, values.get("method", "get").upper()))
            self.pressed = False
        elif self.found and (tag == "button" or (tag == "input" and values.get("type") == "submit")):
            if not self.pressed:  # pressing Enter presses the first button
                self._take(values)
            self.pressed = True
        elif self.found and tag == "input" and (values.get("type") != "radio" or "checked" in values):
            self._take(values)

    def _take(self, values: dict[str, str]) -> None:
        if values.get("name"):
            self.found[-1].fields[values["name"]] = values.get("value", "")
