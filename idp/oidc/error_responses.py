"""How a refused authorization request looks: a page, or an error at the registered redirect URI."""

from __future__ import annotations

from flask import Response

from idp.oidc.authorization import Fields, with_parameters
from idp.oidc.request_checks import RequestRefused
from idp.parts import parts
from idp.redirects import leave
from idp.rendering import error_page, render_page

# What a relying party reads when next_step refuses; plain ASCII, as RFC 6749 section 4.1.2.1 demands.
DESCRIPTIONS = {
    "login_required": "Somebody has to sign in first.",
    "consent_required": "The person has not allowed this yet.",
    "access_denied": "The person did not allow this.",
    "unmet_authentication_requirements": "The requested acr cannot be reached.",
}


def refuse(error: RequestRefused, receipt: str) -> Response:
    """Answer a request that the checks refused: to the relying party only if they say so, else on a page."""
    if not error.may_redirect:
        return error_page(error, receipt=receipt)
    fields = parts().authorization.response_fields(error.state, error=error.error, error_description=error.public)
    return send(error.redirect_uri, error.response_mode, fields)


def send(redirect_uri: str, response_mode: str, fields: Fields) -> Response:
    """Send an authorization response to a registered redirect URI, in the query or by a form that posts itself
    (OAuth 2.0 Form Post Response Mode)."""
    if response_mode == "form_post":
        return render_page("oidc/form_post.html", action=redirect_uri, fields=fields, form_targets=(redirect_uri,))
    return leave(with_parameters(redirect_uri, fields))
