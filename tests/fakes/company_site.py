"""A company's own sign-in page on a host of its own, over TLS: what a person sees between leaving us and coming back.

The messages are those of ``company_idp``; whoever types a name here is that person.
"""

from __future__ import annotations

import base64
import zlib
from dataclasses import dataclass, field
from html import escape
from typing import Any

from flask import Flask, Response, request
from lxml import etree

from tests.fakes.company_idp import CompanyIdp

ISSUER = "{urn:oasis:names:tc:SAML:2.0:assertion}Issuer"


@dataclass
class CompanySite:
    """``host``: its name with port. ``changes``: what the next responses say beyond the usual (fields of ``Answer``).
    ``answers_logout``: how it answers our logout requests."""

    idp: CompanyIdp
    host: str = ""
    changes: dict[str, Any] = field(default_factory=dict)
    asked: list[etree._Element] = field(default_factory=list)
    answers_logout: str = "redirect"  # or post, unsigned, never

    @property
    def address(self) -> str:
        return f"https://{self.host}"

    def app(self) -> Flask:
        app = Flask(__name__, static_folder=None)
        app.add_url_rule("/sso", view_func=self.sign_in, methods=["GET", "POST"])
        app.add_url_rule("/sso/answer", view_func=self.let_in, methods=["POST"])
        app.add_url_rule("/portal", view_func=self.portal)
        app.add_url_rule("/slo", view_func=self.sign_out, methods=["GET", "POST"])
        app.add_url_rule("/leave", view_func=self.leave)
        return app

    def sign_in(self) -> Response:
        """Take a request by either binding; who is signed in here goes straight through."""
        raw = base64.b64decode(request.values["SAMLRequest"])
        document = raw if request.method == "POST" else zlib.decompress(raw, -15)
        asked = etree.fromstring(document)
        self.asked.append(asked)
        name_id = request.cookies.get("company", "")
        if asked.get("IsPassive") == "true" and not name_id:
            responder = "urn:oasis:names:tc:SAML:2.0:status:"
            return self._answer(
                asked, "nobody", status=[f"{responder}Responder", f"{responder}NoPassive"], assertion=False
            )
        if name_id and asked.get("ForceAuthn") != "true":
            return self._answer(asked, name_id)
        kept = base64.b64encode(document).decode()
        return _page(
            "company-page",
            f'<h1>Acme</h1><form method="post" action="/sso/answer"><input type="hidden" name="asked" value="{kept}">'
            '<label for="who">Who are you?</label> <input id="who" name="who"> <button id="let-in">OK</button></form>',
        )

    def let_in(self) -> Response:
        response = self._answer(etree.fromstring(base64.b64decode(request.form["asked"])), request.form["who"])
        response.set_cookie("company", request.form["who"], secure=True, samesite="Lax")
        return response

    def portal(self) -> Response:
        """The company's start page: a response that nobody asked for."""
        acs, audience = request.args["acs"], request.args["audience"]
        encoded = self.idp.response(request_id="", acs=acs, audience=audience, name_id=request.cookies["company"])
        return _post(acs, encoded, request.args.get("relay_state", ""))

    def sign_out(self) -> Response:
        """Take our logout request, and end the session here; or our answer to one of its own."""
        if "SAMLResponse" in request.values:
            return _page("left", "<h1>You have left</h1>")
        raw = base64.b64decode(request.values["SAMLRequest"])
        asked = etree.fromstring(raw if request.method == "POST" else zlib.decompress(raw, -15))
        self.asked.append(asked)
        slo = str(asked.findtext(ISSUER)).removesuffix("metadata") + "slo"
        relay_state = request.values.get("RelayState", "")
        signed = self.answers_logout == "post"
        document = self.idp.logout_response(destination=slo, in_response_to=str(asked.get("ID")), sign=signed)
        query = self.idp.redirect_query(document, relay_state=relay_state)
        match self.answers_logout:
            case "never":
                response = _page("left", "<h1>You have left</h1>")
            case "post":
                response = _post(slo, base64.b64encode(document).decode(), relay_state)
            case "unsigned":
                response = _go(f"{slo}?{query.partition('&SigAlg')[0]}")
            case _:
                response = _go(f"{slo}?{query}")
        response.delete_cookie("company")
        return response

    def leave(self) -> Response:
        """Whoever leaves the company leaves us too."""
        document = self.idp.logout_request(
            destination=request.args["slo"], name_id=request.cookies["company"], sign=False
        )
        response = _go(f"{request.args['slo']}?{self.idp.redirect_query(document, relay_state='theirs')}")
        response.delete_cookie("company")
        return response

    def _answer(self, asked: etree._Element, name_id: str, **changes: Any) -> Response:
        acs = str(asked.get("AssertionConsumerServiceURL"))
        encoded = self.idp.response(
            request_id=str(asked.get("ID")), acs=acs, audience=str(asked.findtext(ISSUER)), name_id=name_id,
            **self.changes | changes,
        )  # fmt: skip
        return _post(acs, encoded, request.values.get("RelayState", ""))


def _post(acs: str, encoded: str, relay_state: str) -> Response:
    return _page(
        "carrying",
        f'<form method="post" action="{escape(acs)}"><input type="hidden" name="SAMLResponse" value="{encoded}">'
        f'<input type="hidden" name="RelayState" value="{escape(relay_state)}"><button id="carry">Continue</button></form>'
        "<script>document.forms[0].submit()</script>",
    )


def _go(url: str) -> Response:
    return Response(status=302, headers={"Location": url})


def _page(name: str, html: str) -> Response:
    return Response(f'<!doctype html><html lang="en"><title>{name}</title><main id="{name}">{html}</main>')
