"""Mallory's workshop: variants of genuine messages, made with an eye for their structure, and mixes of several.

``bases`` are genuine; ``forge`` changes one. Whatever comes out, a provider may believe only what a genuine message for it says.
"""

from __future__ import annotations

import base64
import copy
import random
import re
import time
from collections.abc import Callable
from dataclasses import dataclass

from lxml import etree

from idp.connections import SamlConnection
from idp.doors.saml_assertion import Assertion
from idp.doors.saml_response import Examination, examine
from tests.fakes.company_idp import DS, EMAIL, SAML, SAMLP, XENC, CompanyIdp, new_id
from tests.fakes.product_shapes import SHAPES, shaped
from tests.saml_parties import answer_for, connection_to, only_request, sent_request, sp_key

ASSERTION, RESPONSE, SIGNATURE = f"{{{SAML}}}Assertion", f"{{{SAMLP}}}Response", f"{{{DS}}}Signature"
NAME_ID, VALUE = f"{{{SAML}}}NameID", f"{{{SAML}}}AttributeValue"
VICTIM = "admin@acme.example"
PARSER = etree.XMLParser(resolve_entities=False, remove_comments=False, huge_tree=True)

# Where somebody may want to hide an element.
WRAPPERS = (
    f"{{{DS}}}Object",
    f"{{{DS}}}KeyInfo",
    f"{{{DS}}}Manifest",
    f"{{{SAMLP}}}Extensions",
    f"{{{SAMLP}}}StatusDetail",
    f"{{{SAML}}}Advice",
    f"{{{SAML}}}AttributeValue",
    f"{{{SAML}}}SubjectConfirmationData",
    f"{{{SAML}}}EncryptedAssertion",
    f"{{{XENC}}}EncryptedData",
    RESPONSE,
    ASSERTION,
    f"{{{SAMLP}}}LogoutResponse",
    "{urn:mallory}x",
    "x",
)
ALGORITHMS = (
    DS + "rsa-sha1",
    DS + "hmac-sha1",
    DS + "sha1",
    DS + "enveloped-signature",
    "http://www.w3.org/2001/04/xmldsig-more#rsa-sha256",
    "http://www.w3.org/2001/04/xmldsig-more#ecdsa-sha256",
    "http://www.w3.org/2001/10/xml-exc-c14n#",
    "http://www.w3.org/2001/10/xml-exc-c14n#WithComments",
    "http://www.w3.org/TR/2001/REC-xml-c14n-20010315",
    "http://www.w3.org/TR/1999/REC-xpath-19991116",
    "http://www.w3.org/TR/1999/REC-xslt-19991116",
    "",
)
BYTES = (
    b"<!---->",
    b"<!--x-->",
    b"<?x y?>",
    b"<![CDATA[x]]>",
    b"&#x0;",
    b"&amp;",
    b"&#13;",
    b"&e;",
    b"\x00",
    b"\xff",
    b"\xef\xbb\xbf",
    b"<",
    b">",
    b"'",
    b'"',
    b" ",
    b"\n",
    b"</saml:NameID>",
    b"<x/>",
    b"xmlns:saml='urn:mallory' ",
    b"xml:id='x' ",
    b"ID='x' ",
)


@dataclass(frozen=True)
class Base:
    """A genuine answer, the connection that takes it, and what it says there."""

    name: str
    document: bytes
    connection: SamlConnection
    says: Assertion


def bases(now: float) -> list[Base]:
    """Genuine answers to alice's request in every way of signing, encrypting and writing that is accepted."""
    found = []
    for kind in ("rsa", "ec"):
        idp = CompanyIdp(kind=kind)
        connection = connection_to(idp)
        ours = connection.keys[0].certificate
        for sign, encrypt_for in (
            ("response", None),
            ("assertion", None),
            ("both", None),
            ("response", ours),
            ("both", ours),
        ):
            document = idp.document(
                **answer_for(
                    connection,
                    now=now,
                    sign=sign,
                    encrypt_for=encrypt_for,
                    attributes={"mail": ["alice@acme.example"], "groups": ["staff", "chess"]},
                )
            )
            found.append(_base(f"{kind} {sign}{' encrypted' if encrypt_for else ''}", document, connection, now))
    idp = CompanyIdp()
    for product, shape in SHAPES.items():
        connection = connection_to(idp, name_id_format=shape.name_id_format, vendor=product)
        for encrypt_for in (None, sp_key().certificate) if shape.encrypts else (None,):
            document = shaped(product, idp, encrypt_for=encrypt_for, **answer_for(connection, now=now))
            found.append(_base(f"{product}{' encrypted' if encrypt_for else ''}", document, connection, now))
    return found


def _base(name: str, document: bytes, connection: SamlConnection, now: float) -> Base:
    looked = examine(base64.b64encode(document), connection, only_request(sent_request(connection, now)), now)
    assert looked.assertion is not None, (name, [check for check in looked.checks if not check.ok])
    return Base(name, document, connection, looked.assertion)


def others(now: float) -> list[bytes]:
    """What Mallory has besides: genuine messages that answer nothing here, and public documents that are signed."""
    idp = CompanyIdp()
    connection = connection_to(idp)
    mine = answer_for(connection, now=now, name_id="mallory@acme.example", request_id="_" + "9" * 40)
    return [
        idp.metadata(sign=True),
        idp.logout_request(destination=connection.slo, name_id="mallory@acme.example"),
        idp.logout_response(destination=connection.slo, in_response_to="_" + "9" * 40),
        *(idp.document(**mine, sign=sign) for sign in ("response", "assertion", "both")),
        idp.document(**mine, sign="response", assertion=False, status=["urn:oasis:names:tc:SAML:2.0:status:Responder"]),
        CompanyIdp("https://idp.evil.example", name="Evil").document(**answer_for(connection, now=now)),
    ]


def forge(document: bytes, material: list[bytes], random: random.Random) -> bytes:
    """One variant: one to five changes of structure, content or bytes."""
    root = etree.fromstring(document, PARSER)
    for _ in range(random.choice((1, 1, 1, 2, 2, 3, 5))):
        change = random.choice(CHANGES)
        root = change(root, material, random)
    made = etree.tostring(root)
    for _ in range(random.choice((0, 0, 0, 1, 2))):
        made = random.choice(BYTE_CHANGES)(made, random)
    return made


# --- changes of the tree ---------------------------------------------------------------------------------------------

Change = Callable[[etree._Element, list[bytes], random.Random], etree._Element]


def _any(root: etree._Element, random: random.Random, tag: str | None = None) -> etree._Element:
    found = [one for one in root.iter(tag) if isinstance(one.tag, str)] if tag else []
    return random.choice(found or [one for one in root.iter() if isinstance(one.tag, str)])


def _put(parent: etree._Element, child: etree._Element, random: random.Random) -> None:
    if parent is not child and child not in parent.iterancestors():
        parent.insert(random.randint(0, len(parent)), child)


def _lie(element: etree._Element, random: random.Random) -> etree._Element:
    """A copy that says something else of somebody else, with or without its signature and its ID."""
    forged = copy.deepcopy(element)
    for name_id in forged.iter(NAME_ID):
        name_id.text = VICTIM
    for value in forged.iter(VALUE):
        value.text = VICTIM
    if random.random() < 0.6:
        for signature in list(forged.iter(SIGNATURE)):
            parent = signature.getparent()
            if parent is not None:
                parent.remove(signature)
    how = random.choice(("keep", "new", "none", "Id", "id", "xml"))
    old = forged.attrib.pop("ID", None) if how != "keep" else None
    if how == "new":
        forged.set("ID", new_id())
    elif how in ("Id", "id"):
        forged.set(how, old or "_x")
    elif how == "xml":
        forged.set("{http://www.w3.org/XML/1998/namespace}id", old or "_x")
    return forged


def wrap(root: etree._Element, material: list[bytes], random: random.Random) -> etree._Element:
    """Signature wrapping: the genuine element goes somewhere else, a lie comes where it was (XSW 1 to 8 and beyond)."""
    tag = random.choice((ASSERTION, RESPONSE, SIGNATURE, ASSERTION))
    genuine = _any(root, random, tag)
    forged = _lie(genuine, random)
    parent = genuine.getparent()
    if parent is None:  # the root itself: it moves into its lie
        place = _any(forged, random)
        if random.random() < 0.6:
            wrapper = etree.SubElement(place, random.choice(WRAPPERS))
            wrapper.append(genuine)
        else:
            _put(place, genuine, random)
        return forged
    parent.replace(genuine, forged)
    if random.random() < 0.5:  # its signature stays with the lie
        for signature in genuine.findall(SIGNATURE):
            forged.insert(min(1, len(forged)), copy.deepcopy(signature))
            if random.random() < 0.5:
                genuine.remove(signature)
    place = _any(root, random)
    if random.random() < 0.6:
        wrapper = etree.Element(random.choice(WRAPPERS))
        wrapper.append(genuine)
        _put(place, wrapper, random)
    else:
        _put(place, genuine, random)
    return root


def add_lie(root: etree._Element, material: list[bytes], random: random.Random) -> etree._Element:
    """A lie beside the genuine one, anywhere."""
    forged = _lie(_any(root, random, random.choice((ASSERTION, RESPONSE, f"{{{SAML}}}Subject", NAME_ID))), random)
    if random.random() < 0.3:
        wrapper = etree.Element(random.choice(WRAPPERS))
        wrapper.append(forged)
        forged = wrapper
    _put(_any(root, random), forged, random)
    return root


def new_envelope(root: etree._Element, material: list[bytes], random: random.Random) -> etree._Element:
    """The genuine message, or a part of it, within an envelope of Mallory's."""
    envelope = copy.deepcopy(root)
    for child in list(envelope):
        if child.tag in (SIGNATURE, ASSERTION) and random.random() < 0.8:
            envelope.remove(child)
    if random.random() < 0.5:
        envelope.set("ID", new_id())
    inside = root if random.random() < 0.4 else _any(root, random, random.choice((ASSERTION, SIGNATURE)))
    _put(_any(envelope, random), inside, random)
    return envelope


def graft(root: etree._Element, material: list[bytes], random: random.Random) -> etree._Element:
    """A part of another genuine message, in the place of a part or beside it."""
    other = etree.fromstring(random.choice(material), PARSER)
    tag = random.choice((ASSERTION, SIGNATURE, f"{{{SAML}}}Subject", f"{{{DS}}}SignedInfo", f"{{{DS}}}KeyInfo", None))
    part = _any(other, random, tag)
    target = _any(root, random, str(part.tag))
    parent = target.getparent()
    if parent is not None and random.random() < 0.5:
        parent.replace(target, part)
    else:
        _put(_any(root, random), part, random)
    return root


def move(root: etree._Element, material: list[bytes], random: random.Random) -> etree._Element:
    part = _any(root, random, random.choice((SIGNATURE, None, None)))
    if part is not root:
        if random.random() < 0.5:
            part = copy.deepcopy(part)
        place = _any(root, random)
        if part not in place.iterancestors():
            _put(place, part, random)
    return root


def remove(root: etree._Element, material: list[bytes], random: random.Random) -> etree._Element:
    part = _any(root, random, random.choice((SIGNATURE, None)))
    parent = part.getparent()
    if parent is not None:
        parent.remove(part)
    return root


def rename(root: etree._Element, material: list[bytes], random: random.Random) -> etree._Element:
    part = _any(root, random)
    if random.random() < 0.5:
        part.tag = random.choice((*WRAPPERS, str(_any(root, random).tag)))
    else:
        name = etree.QName(part.tag).localname
        part.tag = random.choice((name, f"{{urn:mallory}}{name}", f"{{{SAML}}}{name}", f"{{{SAMLP}}}{name.lower()}"))
    return root


def set_text(root: etree._Element, material: list[bytes], random: random.Random) -> etree._Element:
    part = _any(root, random, random.choice((NAME_ID, VALUE, f"{{{SAML}}}Audience", f"{{{SAML}}}Issuer", None)))
    text = part.text or ""
    where = random.choice(("text", "tail", "comment"))
    new = random.choice((VICTIM, text + " ", " " + text, text.upper(), text[:-1], "", text + ".evil.example", "AAAA"))
    if where == "text":
        part.text = new
    elif where == "tail":
        part.tail = new
    else:
        cut = random.randint(0, len(text))
        part.text = text[:cut]
        comment = etree.Comment("x") if random.random() < 0.7 else etree.ProcessingInstruction("x", "y")
        comment.tail = text[cut:]
        part.insert(0, comment)
    return root


def set_attribute(root: etree._Element, material: list[bytes], random: random.Random) -> etree._Element:
    part = _any(root, random)
    names = list(part.attrib) or ["ID"]
    name = random.choice((*names, *names, "ID", "Id", "URI", "Algorithm", "Format", "{urn:mallory}ID"))
    ids = [str(one.get("ID")) for one in root.iter() if one.get("ID")]
    value = random.choice(
        (
            *ids,
            *("#" + one for one in ids),
            *ALGORITHMS,
            "#",
            "#xpointer(/)",
            "https://evil.example/",
            "2099-01-01T00:00:00Z",
            EMAIL,
            new_id(),
        )
    )
    if random.random() < 0.2:
        part.attrib.pop(name, None)
    else:
        part.set(name, value)
    return root


def repeat_reference(root: etree._Element, material: list[bytes], random: random.Random) -> etree._Element:
    """Two References, two SignedInfo, two transforms, two values."""
    tags = ("Reference", "SignedInfo", "Transform", "DigestValue", "SignatureValue", "Signature", "X509Data")
    part = _any(root, random, f"{{{DS}}}{random.choice(tags)}")
    parent = part.getparent()
    if parent is not None:
        again = copy.deepcopy(part)
        if random.random() < 0.5:
            again.set("URI", random.choice(("", "#", "#" + str(root.get("ID")), "https://evil.example/x")))
        _put(parent, again, random)
    return root


CHANGES: tuple[Change, ...] = (
    *(wrap, wrap, wrap, add_lie, add_lie, new_envelope, graft, graft),
    *(move, remove, rename, set_text, set_text, set_attribute, set_attribute, repeat_reference),
)


# --- changes of the bytes -----------------------------------------------------------------------------------------------


def insert_bytes(document: bytes, random: random.Random) -> bytes:
    cut = random.randint(0, len(document))
    return document[:cut] + random.choice(BYTES) + document[cut:]


def insert_in_text(document: bytes, random: random.Random) -> bytes:
    """At a place where readers differ: within the text of an element, or within a tag."""
    places = [found.end() for found in re.finditer(rb">[^<]|<\w+:\w+ |=\"", document)]
    cut = random.choice(places) if places else 0
    return document[:cut] + random.choice(BYTES) + document[cut:]


def flip(document: bytes, random: random.Random) -> bytes:
    cut = random.randrange(len(document))
    return document[:cut] + bytes([document[cut] ^ (1 << random.randrange(8))]) + document[cut + 1 :]


def drop(document: bytes, random: random.Random) -> bytes:
    start = random.randrange(len(document))
    return document[:start] + document[start + random.choice((1, 2, 8, 200)) :]


def dress(document: bytes, random: random.Random) -> bytes:
    """Declarations, document types, encodings, something before and after."""
    entity = b'<!DOCTYPE x [<!ENTITY e "' + VICTIM.encode() + b'">]>'
    form = random.choice(
        (
            b'<?xml version="1.0"?>' + document,
            b'<?xml version="1.1"?>' + document,
            b'<?xml version="1.0" encoding="UTF-16"?>' + document,
            b'<?xml version="1.0" encoding="UTF-7"?>' + document,
            entity + document.replace(b"alice@acme.example", b"&e;"),
            document + document,
            document + b"<x/>",
            document + b"<!--x-->",
            b"\xef\xbb\xbf" + document,
            document.decode("utf-8", "replace").encode("utf-16"),
            document.decode("utf-8", "replace").encode("utf-16-le"),
            b" \n" + document + b"\n",
        )
    )
    return bytes(form)


def rebind(document: bytes, random: random.Random) -> bytes:
    """Namespaces that mean something else, further down or all over."""
    old = random.choice((SAML, SAMLP, DS)).encode()
    new = random.choice((b"urn:mallory", b"relative", b"", old + b"#", old.upper(), b"1"))
    return document.replace(old, new, random.choice((1, 2, -1)))


BYTE_CHANGES = (insert_bytes, insert_in_text, insert_in_text, flip, drop, dress, rebind)


# --- and what is looked for ------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Outcome:
    """What a run found: all of ``lies`` and ``accidents`` must be empty."""

    tried: int
    refused: dict[str, int]
    harmless: int
    lies: tuple[str, ...]
    accidents: tuple[str, ...]


def attack(seed: int, number: int) -> Outcome:
    """Try ``number`` variants; the same seed tries the same, but for the bytes of signatures and encryption.

    Harmless is what was accepted and says, to the letter, what the genuine message says.
    """
    now = float(int(time.time()))
    genuine, material = bases(now), others(now)
    material += [base.document for base in genuine]
    chance = random.Random(seed)
    refused: dict[str, int] = {}
    harmless, lies, accidents = 0, [], []
    for _ in range(number):
        base = chance.choice(genuine)
        made = forge(base.document, material, chance)
        try:
            looked = look(made, base.connection, now)
        except Exception as error:  # noqa: BLE001 this is what we look for
            accidents.append(f"{base.name}: {type(error).__name__}: {base64.b64encode(made).decode()}")
            continue
        if looked.assertion is None:
            refused[looked.reason] = refused.get(looked.reason, 0) + 1
        elif looked.assertion in genuinely_said(base, genuine):
            harmless += 1
        else:
            lies.append(f"{base.name}: {base64.b64encode(made).decode()}")
    return Outcome(number, refused, harmless, tuple(lies), tuple(accidents))


def genuinely_said(base: Base, genuine: list[Base]) -> list[Assertion]:
    """What the same key has signed for the same request and connection, in whichever shape."""
    return [one.says for one in genuine if one.connection.certificates == base.connection.certificates]


def look(document: bytes, connection: SamlConnection, now: float) -> Examination:
    return examine(base64.b64encode(document), connection, only_request(sent_request(connection, now)), now)
