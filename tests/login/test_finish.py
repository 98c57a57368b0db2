"""Promises of finish.py for every door: also for one that is none of ours yet."""

from __future__ import annotations

import pytest
from flask import Response, request

from idp.accounts.identity import Identity
from idp.accounts.linking import link
from idp.app import create_app
from idp.login.finish import finish
from idp.login.journey import find_pending
from idp.parts import Parts
from tests.company_walker import reason_of
from tests.journey import Walker, add_carol
from tests.saml_parties import Customer, belong, decide_for

ALICE = "alice@acme.example"


@pytest.fixture
def social(parts: Parts, acme: Customer) -> Walker:
    """A browser at a provider with one more door, through which Alice of Acme comes."""
    identity = Identity(
        door="social", issuer="https://social.example", subject="42", email=ALICE, email_verified=True, name=None,
        methods=(), at=int(parts.clock()),
    )  # fmt: skip
    alice = add_carol(parts, ALICE)
    belong(parts.database, acme, alice, now=parts.clock())
    with parts.database.transaction() as db:
        link(db, alice, identity, proof={"by": "password"}, now=parts.clock())
    app = create_app(parts)

    def come_in() -> Response:
        return finish(find_pending(request.args["p"]), identity, kept=False)

    app.add_url_rule("/login/social", view_func=come_in)
    return Walker(app, parts)


@pytest.mark.parametrize(
    ("policy", "opens"),
    [({}, True), ({"doors": ["social"]}, True), ({"doors": ["password"]}, False), ({"sso": "required"}, False)],
)
def test_a_company_closes_each_door_by_itself(
    social: Walker, acme: Customer, parts: Parts, policy: dict[str, object], opens: bool
) -> None:
    decide_for(parts.database, acme, **policy)
    start = social.get(social.az().location)
    handle = start.request.args["p"]
    page = social.get(f"/login/social?p={handle}")
    assert page.status_code == (303 if opens else 403)
    if not opens:
        assert reason_of(page, parts) == "company_sso_required"
    assert social.get("/me").status_code == (200 if opens else 303)
