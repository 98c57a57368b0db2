"""Acme becomes a company of the provider, by the steps that every company goes: the operator's commands, and a try in a browser.

What is done already is left as it is, so that an interrupted first start is finished by the next one.
"""

from __future__ import annotations

import json
import sys
import urllib.parse
import urllib.request
from contextlib import redirect_stdout
from html.parser import HTMLParser
from http.cookiejar import CookieJar
from io import StringIO
from pathlib import Path

from idp.cli.companies_command import companies_command
from idp.errors import IdpError

DOMAIN = "acme.example"
ADMINISTRATOR = "admin@acme.example"


def make_company(acme: str, names: Path, service_providers: Path, password: str) -> None:
    """Make what is missing of Acme, until its people are sent to it.

    :param acme: Acme's address. ``names``: the file of the name server. ``service_providers``: Acme's list of whom it knows.
    :param password: the administrator's at Acme, who tries the connection.
    """
    if not any(company["name"] == "Acme" for company in json.loads(idp("list", "--json"))):
        idp("add", "Acme")
        idp("set", "Acme", "jit=true")
    company = json.loads(idp("show", "Acme", "--json"))
    if not any(one["status"] == "verified" for one in company["domains"]):
        claim = json.loads(idp("domains", "add", "Acme", DOMAIN, "--json"))
        names.write_text(json.dumps({DOMAIN: claim["record"]}))
        idp("domains", "check", "Acme", DOMAIN)
    if not company["members"]:
        idp("members", "add", "Acme", ADMINISTRATOR, "--role", "administrator", "--name", "Ada Minster")
    if not company["connections"]:
        # Keycloak gives attributes the same names.
        source = ("--vendor", "keycloak", "--metadata-url", f"{acme}/metadata")
        company["connections"] = [json.loads(idp("connections", "add", "Acme", "--name", "Acme", *source, "--json"))]
    (connection,) = company["connections"]
    if connection["state"] != "live":
        shown = json.loads(idp("connections", "show", connection["id"], "--json"))
        service_providers.write_text(shown["ours"]["entity_id"] + "\n")
        go(json.loads(idp("try", connection["id"], "--json"))["address"], username=ADMINISTRATOR, password=password)
        idp("connections", "go-live", connection["id"])


def idp(*words: str) -> str:
    """What ``idp companies …`` prints. All commands run in this process, which spares a second of imports for each.

    :raises IdpError: the command refused.
    """
    with redirect_stdout(StringIO()) as printed:
        companies_command.main(words, prog_name="idp companies", standalone_mode=False)
    return printed.getvalue()


def go(address: str, **typed: str) -> str:
    """What a person does in a browser: press the page's button, sign in, and let the messages travel. Returns the last page."""
    browser = urllib.request.build_opener(urllib.request.HTTPCookieProcessor(CookieJar()))
    page = browser.open(address, timeout=20)
    pressed = False
    while True:
        text = page.read().decode()
        reader = Forms()
        reader.feed(text)
        action, fields = reader.forms[0] if reader.forms else ("", {})
        if reader.leads_to:
            page = browser.open(urllib.parse.urljoin(page.url, reader.leads_to), timeout=20)
        elif fields.keys() >= typed.keys() or "SAMLResponse" in fields or not pressed:
            pressed = True
            sent = urllib.parse.urlencode({name: typed.get(name, value) for name, value in fields.items()})
            page = browser.open(urllib.parse.urljoin(page.url, action), sent.encode(), timeout=20)
        else:
            return text


class Forms(HTMLParser):
    """The forms of a page (where each goes, and its fields), and where it goes by itself."""

    def __init__(self) -> None:
        super().__init__()
        self.forms: list[tuple[str, dict[str, str]]] = []
        self.leads_to = ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        values = {name: value or "" for name, value in attrs}
        if tag == "meta" and values.get("http-equiv") == "refresh":
            self.leads_to = values["content"].partition("url=")[2]
        elif tag == "form":
            self.forms.append((values.get("action", ""), {}))
        elif tag in ("input", "button") and self.forms and (name := values.get("name")):
            self.forms[-1][1][name] = values.get("value", "")


if __name__ == "__main__":
    kept, address = Path(sys.argv[1]), sys.argv[2]
    passwords = json.loads((kept / "passwords.json").read_text())
    try:
        make_company(address, kept / "names.json", kept / "acme/service_providers", passwords[ADMINISTRATOR])
    except IdpError as refused:
        sys.exit(str(refused))
