"""An administrator at one browser without a screen, in which the provider and the admin center are open. Follows redirects between both."""

from __future__ import annotations

import re
import secrets
from html import unescape
from typing import Any
from urllib.parse import urlsplit

from flask import Flask
from werkzeug.test import Client, TestResponse

from idp.admin.own_client import CLIENT_ID, OwnClient
from idp.admin.staff import set_staff
from idp.app import create_admin_app
from idp.client_record import hash_secret
from idp.companies import create_company
from idp.members import add_member
from idp.parts import Parts
from tests import canaries
from tests.journey import PASSWORD, add_carol

ORIGIN = "https://admin.example"
ISSUER = "https://login.example"
SECRET = canaries.register("admin-center-secret-not-to-be-found-in-a-log", "client secret")

# What stands in clients.yaml for it.
REGISTRATION = f"""
  {CLIENT_ID}:
    name: Admin Center
    type: web
    redirect_uris: [{ORIGIN}/callback]
    post_logout_redirect_uris: [{ORIGIN}/signed-out]
    backchannel_logout_uri: {ORIGIN}/backchannel-logout
    initiate_login_uri: {ORIGIN}/sign-in
    default_max_age: 3600
    secrets:
      - hash: {hash_secret(SECRET)}
"""


def admin_center(parts: Parts) -> Flask:
    """The admin center of a provider."""
    return create_admin_app(parts, OwnClient(parts.endpoints, ISSUER, ORIGIN, SECRET))


def add_company(parts: Parts, name: str = "Acme") -> str:
    """A company without anybody; its id."""
    with parts.database.transaction() as db:
        return create_company(db, name, actor="operator:test", now=parts.clock(), random=parts.random).id


def add_person(parts: Parts, email: str, *, company: str | None = None, role: str = "member", staff: str = "") -> str:
    """Somebody with a password and these roles; the account's id."""
    account_id = add_carol(parts, email)
    with parts.database.transaction() as db:
        if company is not None:
            add_member(db, company, account_id, role, actor="operator:test", now=parts.clock(), vouched=True)
        if staff:
            set_staff(db, account_id, staff, actor="operator:test", now=parts.clock())
    return account_id


class Administrator:
    """One browser of one person."""

    def __init__(self, provider: Flask, center: Flask, parts: Parts, email: str = "ada@acme.example") -> None:
        self.parts = parts
        self.email = email
        self._browsers = {ISSUER: Client(provider), ORIGIN: Client(center)}

    def open(self, method: str, url: str, **options: Any) -> TestResponse:
        """Send one request; an address without a host is the admin center's. Redirects are not followed."""
        split = urlsplit(url)
        base = f"{split.scheme}://{split.netloc}" if split.netloc else ORIGIN
        path = url.removeprefix(base) or "/"
        agent = {"User-Agent": "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0"}
        headers = {**agent, **options.pop("headers", {})}
        response = self._browsers[base].open(path, method=method, base_url=base, headers=headers, **options)
        for cookie in response.headers.getlist("Set-Cookie"):
            canaries.register_answer({"Set-Cookie": cookie}, "")
        html = response.get_data().decode("utf-8", "replace")  # a logo is no text
        canaries.register_answer(dict(response.headers), html)
        if 'id="error-page"' in html:
            canaries.show(html, "error page")
        return response

    def get(self, url: str, **options: Any) -> TestResponse:
        """Open a page and follow all redirects."""
        return self.follow(self.open("GET", url, **options))

    def follow(self, response: TestResponse) -> TestResponse:
        """Follow redirects of either site, to whichever it leads."""
        for _ in range(20):
            if response.status_code != 303:
                return response
            where = response.location
            if where.startswith("/"):
                where = response.request.root_url.rstrip("/") + where
            response = self.open("GET", where)
        raise AssertionError(f"redirected for ever: {response.location}")

    def submit(self, page: TestResponse, action: str | None = None, **changes: Any) -> TestResponse:
        """Send the page's form that posts to ``action`` (its path; None: the first), and follow redirects."""
        html = page.get_data(as_text=True)
        for form in re.findall(r"<form\b.*?</form>", html, re.S):
            target = unescape(re.search(r'action="([^"]*)"', form)[1])  # type: ignore[index]
            if 'method="post"' in form.lower() and action in (None, urlsplit(target).path):
                hidden = re.findall(r'<input type="hidden" name="([^"]*)" value="([^"]*)"', form)
                fields: dict[str, Any] = {}
                for name, value in hidden:
                    fields.setdefault(unescape(name), []).append(unescape(value))
                fields |= changes
                base = page.request.root_url.rstrip("/")
                return self.follow(self.open("POST", base + target, data=fields))
        raise AssertionError(f"no form to {action} in:\n{html}")

    def sign_in(self, path: str = "/") -> TestResponse:
        """Open a page of the admin center, prove who one is at the provider, and come back to it."""
        page = self.get(path)
        if 'id="username"' in page.get_data(as_text=True) and 'id="password"' not in page.get_data(as_text=True):
            page = self.submit(page, "/login", username=self.email)
        if 'id="password"' in page.get_data(as_text=True):
            page = self.submit(page, "/login/password", username=self.email, password=PASSWORD)
        return page

    def token(self, page: TestResponse) -> str:
        """The token that a form of a page carries, for a request that no form of it makes."""
        found = re.search(r'name="csrf" value="([^"]+)"', page.get_data(as_text=True))
        return found[1] if found else secrets.token_urlsafe(48)
