"""How a message is read: base64, one parser, names and order of elements."""

from __future__ import annotations

import base64

import pytest
from lxml import etree

from idp.doors.saml_document import (
    DEEPEST,
    MOST_ELEMENTS,
    SamlRefused,
    canonical,
    children,
    decode,
    octets_of,
    only,
    parse,
    shown,
    text_of,
)


def reason_of(document: bytes) -> str:
    with pytest.raises(SamlRefused) as caught:
        parse(document)
    return caught.value.reason


@pytest.mark.parametrize(
    "declaration",
    [
        "",
        '<?xml version="1.0"?>',
        "<?xml version='1.0' encoding='utf-8'?>\n",
        '<?xml version = "1.0" encoding="UTF-8" standalone="yes" ?>',
    ],
)
def test_ordinary_declarations_are_read(declaration: str) -> None:
    assert parse(f"{declaration}<x a='é'>ü</x>".encode()).text == "ü"


def test_as_many_and_as_deep_as_is_allowed_and_no_more() -> None:
    assert len(parse(b"<x>" + b"<a/>" * (MOST_ELEMENTS - 1) + b"</x>")) == MOST_ELEMENTS - 1
    assert reason_of(b"<x>" + b"<a/>" * MOST_ELEMENTS + b"</x>") == "saml_too_large"
    assert parse(b"<a>" * DEEPEST + b"</a>" * DEEPEST).tag == "a"
    assert reason_of(b"<a>" * (DEEPEST + 1) + b"</a>" * (DEEPEST + 1)) == "saml_too_large"
    assert reason_of(b"<x" + b"".join(b' a%d=""' % n for n in range(65)) + b"/>") == "saml_too_large"
    many = b"".join(b' xmlns:a%d="urn:%d"' % (n, n) for n in range(65))
    assert reason_of(b"<x" + many + b"/>") == "saml_too_large"


def test_many_declarations_with_few_in_scope_are_ordinary() -> None:
    """As OpenSAML writes the values of attributes."""
    value = b'<v xmlns:xs="http://www.w3.org/2001/XMLSchema" xmlns:xsi="urn:i" xsi:type="xs:string">a</v>'
    assert len(parse(b"<x>" + value * 500 + b"</x>")) == 500


@pytest.mark.parametrize(
    "ids", ['ID="a"', 'Id="a"', 'id="a"', 'p:ID="a" xmlns:p="urn:p"'], ids=["ID", "Id", "id", "in a namespace"]
)
def test_an_id_is_there_once_however_it_is_written(ids: str) -> None:
    assert reason_of(f'<x ID="a"><y {ids}/></x>'.encode()) == "saml_structure_wrong"
    assert parse(f'<x ID="b"><y {ids}/></x>'.encode()) is not None


def test_nothing_that_was_sent_stands_in_an_error() -> None:
    for document in (b"<alice@acme.example/>", b"<x>&alice;</x>", b"<x alice='1' alice='2'/>"):
        with pytest.raises(SamlRefused) as caught:
            parse(document)
        assert "alice" not in str(caught.value) and caught.value.__cause__ is None


def test_children_come_in_their_order_and_number() -> None:
    root = etree.fromstring("<r> <a/>\n<b/><b/> </r>")
    assert len(children(root, ("a", 1, 1), ("b", 0, 2))["b"]) == 2
    for allowed in (
        [("b", 0, 2), ("a", 1, 1)],
        [("a", 1, 1), ("b", 0, 1)],
        [("a", 1, 1)],
        [("a", 1, 1), ("b", 0, 2), ("c", 1, 1)],
    ):
        with pytest.raises(SamlRefused):
            children(root, *allowed)
    for mixed in ("<r>x<a/></r>", "<r><a/>x</r>"):
        with pytest.raises(SamlRefused):
            children(etree.fromstring(mixed), ("a", 1, 1))


def test_texts_and_octets() -> None:
    assert text_of(etree.fromstring("<a> x </a>")) == " x "
    assert octets_of(etree.fromstring("<a>\n QUJD \n</a>")) == b"ABC"
    for wrong in ("<a>x<b/></a>", "<a>!</a>", "<a>QQ</a>"):
        with pytest.raises(SamlRefused):
            octets_of(etree.fromstring(wrong))
    with pytest.raises(SamlRefused):
        only(etree.fromstring("<r><a/><a/></r>"), "a")


def test_what_has_no_canonical_form_is_refused_and_not_empty() -> None:
    """lxml raises; programs that take an error for nothing verify nothing ("void canonicalisation")."""
    with pytest.raises(SamlRefused):
        canonical(etree.fromstring('<a xmlns="relative"/>'))


def test_base64_is_exact() -> None:
    assert decode(base64.encodebytes(b"x" * 100)) == b"x" * 100
    for wrong in ("A", "A===", "QQ==QQ==", "QQ-_", "\u212a"):
        with pytest.raises(SamlRefused):
            decode(wrong)


def test_what_is_shown_is_short_printable_and_masked() -> None:
    assert shown("a" * 300) == "a" * 199 + "…"
    assert shown("line\nline\u202e").isprintable()
    assert "alice" not in shown("to alice@acme.example, please")
