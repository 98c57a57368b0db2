"""What a company looks like to its people, and the language and the hours it counts in. A working.

A logo is never served as it was sent: it is drawn anew, as a PNG without anything beside its pixels, and only the admin center's own
origin serves it, which no sign-in page shares (IJ-03). A colour is six digits and stands out against paper; it is drawn, never
written into a style sheet.
"""

from __future__ import annotations

import hashlib
import io
import re
from collections.abc import Collection
from dataclasses import dataclass
from typing import Any
from zoneinfo import ZoneInfo

from sqlalchemy import select
from sqlalchemy.orm import Session

from idp import audit
from idp.companies import CompanyRefused, hold_company
from idp.models import Company, CompanyLogo

LARGEST_LOGO = 256 * 1024  # bytes of what is sent
MOST_PIXELS = 4_000_000  # of what is sent: more would take too much memory to draw
BOX = (320, 96)  # pixels that a logo is made to fit: twice as many as it is shown with
FORMATS = ("PNG", "JPEG", "GIF", "WEBP")
CONTRAST = 3.0  # of the colour against white (WCAG 2.2, 1.4.11)


@dataclass(frozen=True, slots=True)
class Brand:
    """What a company looks like.

    :ivar logo: the name in the address of its logo; "": it has none. ``width`` and ``height`` in pixels, as it is shown.
    :ivar colour: ``#rrggbb``; "": none.
    """

    logo: str
    width: int
    height: int
    colour: str


@dataclass(frozen=True, slots=True)
class Drawn:
    """An image that we have drawn: a PNG, and its size in pixels."""

    content: bytes
    width: int
    height: int


def brand_of(db: Session, company_id: str) -> Brand | None:
    """What a company looks like; None when it has said nothing about it."""
    row = db.execute(
        select(Company.colour, CompanyLogo.name, CompanyLogo.width, CompanyLogo.height)
        .outerjoin(CompanyLogo, CompanyLogo.company_id == Company.id)
        .where(Company.id == company_id)
    ).first()
    if row is None or not (row.colour or row.name):
        return None
    width, height = row.width or 1, row.height or 1
    shown = min(1.0, BOX[0] / 2 / width, BOX[1] / 2 / height)  # its pixels are drawn two by two where screens are fine
    return Brand(row.name or "", max(1, round(width * shown)), max(1, round(height * shown)), row.colour or "")


def find_logo(db: Session, name: str) -> bytes | None:
    """A logo by the name in its address: a PNG."""
    return db.scalar(select(CompanyLogo.content).where(CompanyLogo.name == name))


def defaults_of(db: Session, company_id: str) -> dict[str, Any]:
    """The claims of whom a company brings here, as far as nobody has told others: ``locale`` and ``zoneinfo``."""
    company = db.get_one(Company, company_id)
    return {
        name: value
        for name, value in (("locale", company.language), ("zoneinfo", company.time_zone))
        if value is not None
    }


def zone_of(company: Company | None) -> ZoneInfo:
    """The hours in which times are told to a company; UTC where it has said nothing, or it is about none."""
    return ZoneInfo(company.time_zone if company is not None and company.time_zone else "UTC")


def set_settings(
    db: Session,
    company_id: str,
    *,
    language: str,
    time_zone: str,
    colour: str,
    languages: Collection[str],
    zones: Collection[str],
    actor: str,
    now: float,
) -> None:
    """Write the language (one of ``languages``), the time zone (one of ``zones``) and the colour; "": none of its own.

    :raises CompanyRefused: ``company_unknown``, ``company_field_wrong``, ``company_colour_wrong``, ``company_colour_faint``.
    """
    if language not in ("", *languages):
        raise CompanyRefused("company_field_wrong", detail="language: not one of ours")
    if time_zone and time_zone not in zones:
        raise CompanyRefused("company_field_wrong", detail="time_zone: not one of the time zone database")
    company = hold_company(db, company_id)
    wanted = {"language": language or None, "time_zone": time_zone or None, "colour": read_colour(colour) or None}
    facts = audit.changed({name: getattr(company, name) for name in wanted}, wanted)
    for name, value in wanted.items():
        setattr(company, name, value)
    if facts:
        _record(db, company, actor, now, facts)


def set_logo(db: Session, company_id: str, drawn: Drawn | None, *, actor: str, now: float) -> None:
    """Give a company a logo; None takes the one it has away.

    :raises CompanyRefused: ``company_unknown``.
    """
    company = hold_company(db, company_id)
    held = db.get(CompanyLogo, company_id)
    was = held.name if held is not None else ""
    if held is not None:
        db.delete(held)
        db.flush()
    name = ""
    if drawn is not None:
        # Of the company too: two with the same logo have two, of which each can take away its own.
        name = hashlib.sha256(company_id.encode() + drawn.content).hexdigest()[:32]
        db.add(
            CompanyLogo(
                company_id=company_id,
                name=name,
                content=drawn.content,
                width=drawn.width,
                height=drawn.height,
                created_at=int(now),
            )
        )
    if name != was:
        _record(db, company, actor, now, {"logo": name, "was_logo": was})


def read_colour(text: str) -> str:
    """A colour as ``#rrggbb`` in small letters; "" for nothing.

    :raises CompanyRefused: ``company_colour_wrong``, ``company_colour_faint``: it can hardly be told from white.
    """
    told = text.strip().lower()
    if not told:
        return ""
    if re.fullmatch(r"#?[0-9a-f]{3}", told):
        told = "".join(2 * digit for digit in told.removeprefix("#"))
    if not re.fullmatch(r"#?[0-9a-f]{6}", told):
        raise CompanyRefused("company_colour_wrong")
    colour = f"#{told.removeprefix('#')}"
    if 1.05 / (_luminance(colour) + 0.05) < CONTRAST:
        raise CompanyRefused("company_colour_faint")
    return colour


def draw(sent: bytes) -> Drawn:
    """The pixels of an image that somebody has sent, as a PNG that fits BOX. It takes its time: to be called before anything is held.

    :raises CompanyRefused: ``company_logo_wrong``: none of FORMATS, or broken; ``company_logo_large``.
    """
    from PIL import Image, ImageOps  # late: nobody else needs its decoders

    if len(sent) > LARGEST_LOGO:
        raise CompanyRefused("company_logo_large")
    try:
        with Image.open(io.BytesIO(sent), formats=FORMATS) as image:
            if image.width * image.height > MOST_PIXELS:  # known before any of them is drawn
                raise CompanyRefused("company_logo_large")
            pixels = ImageOps.exif_transpose(image).convert("RGBA")
            pixels.thumbnail(BOX)
            drawn = Image.new("RGBA", pixels.size)
            drawn.paste(pixels)
            written = io.BytesIO()
            drawn.save(written, "PNG", optimize=True)
    except CompanyRefused:
        raise
    except Exception as error:  # noqa: BLE001 # decoders fail in many ways at bytes that were made to break them
        raise CompanyRefused("company_logo_wrong", detail=type(error).__name__) from None
    return Drawn(written.getvalue(), drawn.width, drawn.height)


def _luminance(colour: str) -> float:
    """The relative luminance of a colour (WCAG 2.2)."""
    parts = [int(colour[place : place + 2], 16) / 255 for place in (1, 3, 5)]
    red, green, blue = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def _record(db: Session, company: Company, actor: str, now: float, facts: dict[str, str | int | bool]) -> None:
    company.updated_at = int(now)
    event = audit.Event.company_settings_changed
    audit.record(db, event, now=now, actor=actor, account_id=None, **{"company": company.id} | facts)
