"""A company's settings: its name and whom to write to, whole or not at all."""

from __future__ import annotations

import io
import re
import zlib
from collections.abc import Callable

import pytest
from PIL import Image, ImageSequence
from werkzeug.test import TestResponse

from idp.accounts.identity import read_address
from idp.accounts.invitations import Guest, Host, invite
from idp.company_settings import draw, set_logo
from idp.models import Account, AuditEvent, Company, Email, OutboxMail
from idp.parts import Parts
from tests.administrator import Administrator, add_company, add_person

At = Callable[[str], Administrator]


@pytest.fixture
def company(parts: Parts) -> str:
    made = add_company(parts)
    add_person(parts, "ada@acme.example", company=made, role="administrator")
    return made


@pytest.fixture
def ada(administrator: At, company: str) -> Administrator:
    browser = administrator("ada@acme.example")
    browser.sign_in()
    return browser


def text(page: TestResponse) -> str:
    return page.get_data(as_text=True)


def write(browser: Administrator, company: str, **fields: str) -> TestResponse:
    at = f"/companies/{company}/settings"
    return browser.submit(browser.get(at), at, **{"name": "Acme"} | fields)


def of(parts: Parts, company: str) -> tuple[str, list[str]]:
    with parts.database.reading() as db:
        row = db.get_one(Company, company)
        return row.name, row.contacts


def test_name_and_contacts_are_written(ada: Administrator, parts: Parts, company: str) -> None:
    page = write(ada, company, name="Acme  International", contacts="it@acme.example\r\nops@acme.example\r\n")
    assert 'role="status"' in text(page)
    assert of(parts, company) == ("Acme International", ["it@acme.example", "ops@acme.example"])


@pytest.mark.parametrize(
    ("name", "contacts"),
    [
        ("", "it@acme.example"),
        ("x" * 500, ""),
        ("New\u202e", ""),
        ("New", "nonsense"),
        ("New", "a@x.example a@x.example"),
        ("New", "a@x.example,b@x.example"),
    ],
)
def test_what_cannot_be_is_said_and_nothing_is_written(
    ada: Administrator, parts: Parts, company: str, name: str, contacts: str
) -> None:
    page = write(ada, company, name=name, contacts=contacts)
    assert page.status_code == 409 and 'role="alert"' in text(page)
    assert of(parts, company) == ("Acme", [])


def test_who_may_only_look_changes_nothing(administrator: At, parts: Parts, company: str) -> None:
    add_person(parts, "rosa@acme.example", company=company, role="read_only")
    rosa = administrator("rosa@acme.example")
    page = rosa.sign_in(f"/companies/{company}/settings")
    assert "disabled" in text(page)
    answer = rosa.open("POST", f"/companies/{company}/settings", data={"csrf": rosa.token(page), "name": "Evil"})
    assert answer.status_code == 403 and of(parts, company)[0] == "Acme"


# --- language, time zone, colour, logo -------------------------------------------------------------------------------


def image(kind: str = "PNG", size: tuple[int, int] = (400, 100), **more: object) -> bytes:
    written = io.BytesIO()
    Image.new("RGB", size, "#8a1538").save(written, kind, **more)
    return written.getvalue()


def send(browser: Administrator, company: str, content: bytes, file: str = "logo.png", **fields: str) -> TestResponse:
    at = f"/companies/{company}/settings"
    return browser.submit(browser.get(at), at, logo=(io.BytesIO(content), file), **{"name": "Acme"} | fields)


def logo_of(page: TestResponse) -> str:
    found = re.search(r'src="(/logos/[0-9a-f]{32})"', text(page))
    return found[1] if found else ""


def test_language_time_zone_and_colour_are_written(ada: Administrator, parts: Parts, company: str) -> None:
    page = write(ada, company, language="fr", time_zone="Europe/Paris", colour="8A1538")
    assert 'role="status"' in text(page) and 'fill="#8a1538"' in text(page)
    with parts.database.reading() as db:
        row = db.get_one(Company, company)
        assert (row.language, row.time_zone, row.colour) == ("fr", "Europe/Paris", "#8a1538")
        event = db.query(AuditEvent).filter_by(event="company.settings_changed").one()
        assert (event.facts["colour"], event.facts["was_colour"]) == ("#8a1538", "")
    write(ada, company, language="", time_zone="", colour="")
    with parts.database.reading() as db:
        row = db.get_one(Company, company)
        assert (row.language, row.time_zone, row.colour) == (None, None, None)


@pytest.mark.parametrize(
    "wrong",
    [
        {"colour": "green"},
        {"colour": "#12345"},
        {"colour": "#fffff0"},
        {"colour": "url(https://evil.example)"},
        {"colour": '"/><script>alert(1)</script>'},
        {"language": "xx"},
        {"language": "../en"},
        {"time_zone": "Mars/Olympus"},
    ],
    ids=str,
)
def test_ij_03_what_is_no_colour_language_or_zone_is_refused_whole(
    ada: Administrator, parts: Parts, company: str, wrong: dict[str, str]
) -> None:
    page = write(ada, company, name="New", **wrong)
    assert page.status_code == 409 and 'role="alert"' in text(page)
    assert "<script>alert" not in text(page)
    assert of(parts, company) == ("Acme", [])


def test_a_logo_is_drawn_anew_and_served_here_alone(ada: Administrator, parts: Parts, company: str) -> None:
    page = send(ada, company, image(size=(1600, 400)))
    address = logo_of(page)
    answer = ada.open("GET", address)
    assert answer.status_code == 200 and answer.content_type == "image/png"
    assert answer.headers["X-Content-Type-Options"] == "nosniff"
    assert "immutable" in answer.headers["Cache-Control"]
    with Image.open(io.BytesIO(answer.get_data())) as drawn:
        assert drawn.size == (320, 80)
    assert 'width="160" height="40"' in text(page)
    assert ada.open("GET", f"{parts.config.issuer}{address}").status_code == 404


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "GIF", "WEBP"])
def test_every_format_becomes_a_png(ada: Administrator, company: str, kind: str) -> None:
    address = logo_of(send(ada, company, image(kind)))
    assert ada.open("GET", address).get_data().startswith(b"\x89PNG")


def test_ij_03_nothing_but_pixels_is_kept_of_an_image(ada: Administrator, company: str) -> None:
    hidden = b"<script>alert(document.domain)</script>"
    exif = Image.Exif()
    exif[0x010E] = hidden.decode()
    sent = image("JPEG", exif=exif, comment=hidden) + hidden
    assert sent.count(hidden) == 3
    served = ada.open("GET", logo_of(send(ada, company, sent, "logo.html"))).get_data()
    assert hidden not in served and b"tEXt" not in served and b"eXIf" not in served


def test_ij_03_of_what_moves_one_picture_stays(ada: Administrator, company: str) -> None:
    frames = [Image.new("RGB", (64, 64), colour) for colour in ("red", "green", "blue")]
    written = io.BytesIO()
    frames[0].save(written, "GIF", save_all=True, append_images=frames[1:])
    served = ada.open("GET", logo_of(send(ada, company, written.getvalue()))).get_data()
    with Image.open(io.BytesIO(served)) as drawn:
        assert len(list(ImageSequence.Iterator(drawn))) == 1


def bomb(width: int, height: int) -> bytes:
    """A PNG that says it has so many pixels, in a few bytes."""

    def chunk(name: bytes, content: bytes) -> bytes:
        return len(content).to_bytes(4, "big") + name + content + zlib.crc32(name + content).to_bytes(4, "big")

    header = width.to_bytes(4, "big") + height.to_bytes(4, "big") + bytes([8, 2, 0, 0, 0])
    return (
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(bytes(1000))) + chunk(b"IEND", b"")
    )


@pytest.mark.parametrize(
    "sent",
    [
        b'<svg xmlns="http://www.w3.org/2000/svg"><script>alert(1)</script></svg>',
        b"<html><script>alert(1)</script></html>",
        b"%!PS-Adobe-3.0 EPSF-3.0\n",
        b"GIF89a",
        image()[:200],
        bomb(2001, 2001),
        bomb(60_000, 60_000),
        bomb(0, 0),
        bytes(257 * 1024),
        b"\x00",
    ],
    ids=["svg", "html", "eps", "short", "cut", "large", "bomb", "nothing", "bytes", "nul"],
)
def test_ij_03_what_is_no_image_of_ours_is_refused_whole(
    ada: Administrator, parts: Parts, company: str, sent: bytes
) -> None:
    kept = logo_of(send(ada, company, image()))
    page = send(ada, company, sent, name="New")
    assert page.status_code == 409 and 'role="alert"' in text(page)
    assert of(parts, company)[0] == "Acme"
    assert logo_of(ada.get(f"/companies/{company}/settings")) == kept


def test_a_logo_is_replaced_and_removed(ada: Administrator, company: str) -> None:
    first = logo_of(send(ada, company, image()))
    second = logo_of(send(ada, company, image(size=(64, 64))))
    assert first != second
    assert [ada.open("GET", one).status_code for one in (first, second)] == [404, 200]
    page = write(ada, company, no_logo="yes")
    assert logo_of(page) == "" and ada.open("GET", second).status_code == 404


def test_two_companies_with_one_logo_have_one_each(ada: Administrator, parts: Parts, company: str) -> None:
    address = logo_of(send(ada, company, image()))
    other = add_company(parts, "Other")
    with parts.database.transaction() as db:
        set_logo(db, other, draw(image()), actor="operator:test", now=parts.clock())
        set_logo(db, other, None, actor="operator:test", now=parts.clock())
    assert ada.open("GET", address).status_code == 200


def test_an_invitation_shows_who_invites(ada: Administrator, parts: Parts, company: str) -> None:
    """And who is invited begins with the company's language and time zone."""
    address = logo_of(send(ada, company, image(), language="fr", time_zone="Europe/Paris", colour="#8a1538"))
    with parts.database.transaction() as db:
        host = Host("operator:test", parts.sealer, parts.clock(), parts.random)
        invite(db, Guest(read_address("gus@acme.example"), {}, company, vouched=True), host)
        gus = db.query(Email).filter_by(canonical="gus@acme.example").one().account_id
        account = db.get_one(Account, gus)
        assert (account.locale, account.profile["zoneinfo"]) == ("fr", "Europe/Paris")
        mail = db.query(OutboxMail).filter_by(name="invitation").one()
        assert mail.language == "fr"
        link = parts.sealer.open(mail.values["sealed"], f"invitation {mail.recipient}")["link"]
    page = ada.follow(ada.open("GET", f"{parts.config.issuer}{link}"))
    origin = parts.config.admin_center
    assert f'src="{origin}{address}"' in text(page) and 'fill="#8a1538"' in text(page)
    assert f"img-src 'self' {origin};" in page.headers["Content-Security-Policy"]


def test_the_sign_in_page_knows_no_company(ada: Administrator, parts: Parts, company: str) -> None:
    send(ada, company, image(), colour="#8a1538")
    page = ada.follow(ada.open("GET", f"{parts.config.issuer}/login"))
    assert "/logos/" not in text(page) and "#8a1538" not in text(page)
