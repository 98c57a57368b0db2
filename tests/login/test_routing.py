"""The table of doors, and that no account can be asked for where it is decided."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

from idp.company_policy import Policy
from idp.login import routing
from idp.login.routing import Choose, ClientFacts, OwnEmail, Route, ToConnection, route

HEAD_OFFICE, SUBSIDIARY = ("headoffice", "Head office"), ("subsidiary", "Subsidiary")


def policy(*live: tuple[str, str], sso: str = "optional") -> Policy:
    return Policy(
        company_id="c" * 32,
        name="Acme",
        sso=sso,
        jit=False,
        doors=("password", "social"),
        session_idle=None,
        session_lifetime=None,
        shortest_password=None,
        second_factor_from=None,
        live=live,
    )


@pytest.mark.parametrize(
    ("hint", "company", "expected"),
    [
        ("", None, OwnEmail()),
        ("headoffice", None, OwnEmail()),
        # a company without a live connection, even if it requires SSO: there is nowhere to go
        ("", policy(), OwnEmail()),
        ("", policy(sso="required"), OwnEmail()),
        ("headoffice", policy(), OwnEmail()),
        ("", policy(HEAD_OFFICE), ToConnection("headoffice")),
        ("", policy(HEAD_OFFICE, sso="required"), ToConnection("headoffice")),
        ("", policy(HEAD_OFFICE, SUBSIDIARY), Choose((HEAD_OFFICE, SUBSIDIARY))),
        ("subsidiary", policy(HEAD_OFFICE, SUBSIDIARY), ToConnection("subsidiary")),
        # a connection of somebody else, or one that is not live, is no connection
        ("elsewhere", policy(HEAD_OFFICE, SUBSIDIARY), Choose((HEAD_OFFICE, SUBSIDIARY))),
        ("elsewhere", policy(HEAD_OFFICE), ToConnection("headoffice")),
    ],
)
def test_the_table(hint: str, company: Policy | None, expected: Route) -> None:
    assert route(ClientFacts(hint), company) == expected


def test_nothing_that_could_find_an_account_is_within_reach() -> None:
    tree = ast.parse(Path(routing.__file__).read_text(encoding="utf-8"))
    imported = {node.module for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}
    assert imported == {"__future__", "dataclasses", "idp.company_policy"}
    assert not [node for node in ast.walk(tree) if isinstance(node, ast.Import)]
    names = {node.id for node in ast.walk(tree) if isinstance(node, ast.Name)}
    assert not names & {"db", "Session", "Transaction", "Account", "Email", "email", "address"}
