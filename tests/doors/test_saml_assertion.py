"""Times, and the parts of an assertion, each where it belongs. How whole answers are read: test_saml_response.py."""

from __future__ import annotations

import base64
import time
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import pytest
from lxml import etree

from idp.doors.saml_assertion import ASSERTION, read_assertion, read_instant
from idp.doors.saml_document import SamlRefused
from idp.doors.saml_signature import verify_enveloped
from tests.fakes.company_idp import SAML, CompanyIdp, saml
from tests.saml_parties import answer_for, connection_to

NOW = float(int(time.time()))
ACME = CompanyIdp()
HERE = connection_to(ACME)


def read(edit: Callable[[etree._Element], Any] | None = None, **changes: Any) -> Any:
    document = ACME.document(**answer_for(HERE, now=NOW, sign="response", edit=edit, **changes))
    return read_assertion(verify_enveloped(base64.b64encode(document), HERE.certificates).child(ASSERTION))


@pytest.mark.parametrize(
    ("text", "at"),
    [
        ("2026-11-22T22:00:00Z", datetime(2026, 11, 22, 22, tzinfo=UTC)),
        ("2026-11-22T22:00:00.9999999Z", datetime(2026, 11, 22, 22, tzinfo=UTC)),
        ("2026-11-22T23:30:00+01:30", datetime(2026, 11, 22, 22, tzinfo=UTC)),
        ("2026-11-22T20:30:00.1-01:30", datetime(2026, 11, 22, 22, tzinfo=UTC)),
    ],
)
def test_an_instant_is_read_in_seconds(text: str, at: datetime) -> None:
    assert read_instant(text, "x") == at.timestamp()


@pytest.mark.parametrize(
    "text",
    [
        *("", "soon", "2026-11-22", "2026-11-22T22:00:00", "2026-11-22 22:00:00Z", "2026-13-01T00:00:00Z", " 2026-11-22T22:00:00Z"),
        *("2026-11-22T24:00:00Z", "2026-11-22T22:00:60Z", "2026-02-30T00:00:00Z", "٢٠٢٦-11-22T22:00:00Z", "2026-11-22T22:00:00Z\n"),
        *("0001-01-01T00:00:00+23:59", "9999-12-31T23:59:59-23:59", "0000-01-01T00:00:00Z", "-2026-11-22T22:00:00Z"),
    ],
)  # fmt: skip
def test_what_is_no_instant_is_refused(text: str) -> None:
    with pytest.raises(SamlRefused):
        read_instant(text, "x")


def test_statements_stand_in_any_order() -> None:
    def swap(response: etree._Element) -> None:
        assertion = response[-1]
        assertion.append(assertion.find(f"{{{SAML}}}AuthnStatement"))  # type: ignore[arg-type] # it is there

    attributes = {"a": ["1"], "b": ["2", "3"], "c": []}
    for edit in (None, swap):
        assert read(edit, attributes=attributes).assertion.attributes == {"a": ("1",), "b": ("2", "3"), "c": ()}


def test_attributes_cannot_be_changed_afterwards() -> None:
    with pytest.raises(TypeError):
        read(attributes={"a": ["1"]}).assertion.attributes["a"] = ("2",)


def test_a_value_with_elements_is_not_read() -> None:
    def nest(response: etree._Element) -> None:
        next(response.iter(f"{{{SAML}}}AttributeValue")).append(saml.NameID("x"))

    assert read(nest, attributes={"a": ["1"]}).assertion.attributes == {"a": ()}


@pytest.mark.parametrize("name", ["AuthnStatement", "Issuer", "Subject", "AuthnContext"])
@pytest.mark.parametrize("how", ["missing", "twice"])
def test_what_must_be_there_once_is_there_once(name: str, how: str) -> None:
    def edit(response: etree._Element) -> None:
        found = next(response[-1].iter(f"{{{SAML}}}{name}"))
        parent = found.getparent()
        assert parent is not None
        if how == "missing":
            parent.remove(found)
        else:
            found.addnext(etree.fromstring(etree.tostring(found, with_tail=False)))

    with pytest.raises(SamlRefused):
        read(edit)


def test_conditions_are_told_by_name_when_nobody_knows_them() -> None:
    def edit(response: etree._Element) -> None:
        conditions = next(response.iter(f"{{{SAML}}}Conditions"))
        conditions.append(saml.OneTimeUse())
        conditions.append(etree.Element("{urn:x}Moon"))

    assert read(edit).unknown_conditions == ("Moon",)


def test_a_repr_tells_nothing_of_the_person() -> None:
    told = repr(read(attributes={"mail": ["alice@acme.example"]}))
    assert "alice" not in told
