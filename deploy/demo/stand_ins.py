"""Stand-ins for the social providers: each speaks its provider's own protocol, and none of them is the provider.

Below one address each has a prefix (``/google/o/oauth2/v2/auth``); under a name of its own it has none.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

from flask import Flask, Response, render_template, request
from serving import serve
from stand_in_apple import Apple
from stand_in_facebook import Facebook
from stand_in_github import GitHub
from stand_in_google import Google
from stand_in_linkedin import LinkedIn
from stand_in_microsoft import Microsoft
from stand_in_pages import make_site_app
from stand_in_site import Registration, Site
from words import speak

SITES: tuple[type[Site], ...] = (Google, Facebook, LinkedIn, Microsoft, Apple, GitHub)
RETURN = "{issuer}/login/social/{key}/return"


def secret_name(key: str) -> str:
    """The environment variable in which the secret for a provider is."""
    return f"STAND_IN_{key.upper()}_SECRET"


def make_sites(
    addresses: Mapping[str, str], issuer: str, secrets: Mapping[str, str], back: Mapping[str, str] | None = None
) -> dict[str, Site]:
    """Every stand-in, by its key.

    :param addresses: where each stands, and ``back`` where programs reach it, if elsewhere.
    :param issuer: ours, which is registered there.
    :param secrets: ours, by :func:`secret_name`.
    """
    return {
        kind.key: kind(
            addresses[kind.key],
            Registration(
                f"demo-at-{kind.key}",
                secrets[secret_name(kind.key)],
                (RETURN.format(issuer=issuer, key=kind.key),),
                *(("DEMO123456", "KEY1234567") if kind.key == "apple" else ()),
            ),
            (back or {}).get(kind.key, ""),
        )
        for kind in SITES
    }


def providers_yaml(sites: Mapping[str, Site]) -> str:
    """The providers.yaml that leads to the stand-ins."""
    lines = ["# Written by make run: the stand-ins for the social providers.", "providers:"]
    for key, site in sites.items():
        lines.append(f"  {key}:")
        secret = "private_key" if site.registration.team_id else "client_secret"
        entry = {**site.entry(), secret: f"${{{secret_name(key)}}}"}
        lines += [f"    {name}: {json.dumps(value) if '$' not in value else value}" for name, value in entry.items()]
    return "\n".join(lines) + "\n"


def make_stand_ins(sites: Iterable[Site], hosts: Mapping[str, str] | None = None) -> Callable[..., Any]:
    """All of them as one WSGI application.

    :param hosts: names of their own (with port), and the key of the stand-in that has it.
    """
    apps = {site.key: make_site_app(site) for site in sites}
    front = make_front(list(sites))

    def answer(environ: dict[str, Any], start_response: Any) -> Any:
        key = (hosts or {}).get(environ.get("HTTP_HOST", ""))
        if key is not None:
            return apps[key](environ, start_response)
        prefix, _, rest = environ["PATH_INFO"].removeprefix("/").partition("/")
        if prefix not in apps:
            return front(environ, start_response)
        below = {**environ, "SCRIPT_NAME": f"{environ.get('SCRIPT_NAME', '')}/{prefix}", "PATH_INFO": f"/{rest}"}
        return apps[prefix](below, start_response)

    return answer


def make_front(sites: list[Site]) -> Flask:
    """The page that lists them."""
    app = Flask(__name__)
    speak(app, "stand_in_language")

    @app.get("/")
    def front() -> str:
        return render_template("stand_in.html", page="front", sites=sites, site=None, person=None)

    @app.after_request
    def protect(response: Response) -> Response:
        response.headers["Content-Security-Policy"] = "default-src 'none'; style-src 'self'; base-uri 'none'"
        response.headers["X-Content-Type-Options"] = "nosniff"
        response.headers.setdefault("Cache-Control", "no-store" if request.endpoint == "front" else "max-age=60")
        return response

    return app


if __name__ == "__main__":
    address, issuer, file = sys.argv[1:]
    made = make_sites({kind.key: f"{address}/{kind.key}" for kind in SITES}, issuer, os.environ)
    Path(file).write_text(providers_yaml(made), encoding="utf-8")
    serve(make_stand_ins(made.values()), int(address.rpartition(":")[2]))
