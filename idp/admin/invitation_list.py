"""A list of people who are to be invited: read line by line, with what is wrong with each. A working."""

from __future__ import annotations

import csv
import io
from dataclasses import dataclass
from typing import Any

from idp.accounts.identity import Address, read_address
from idp.accounts.standard_claims import WrongClaim, check_claim
from idp.members import ROLES

MOST = 5000  # people in one list: each is a mail
_HEADINGS = {"address", "email", "e-mail", "mail"}


@dataclass(frozen=True, slots=True)
class Line:
    """One person. ``number``: of the line, from 1; ``wrong``: a key of the catalogue that says what is wrong with it, "": nothing."""

    number: int
    text: str
    address: Address | None
    claims: dict[str, Any]
    role: str
    wrong: str


def read_file(content: bytes) -> str:
    """The text of a file: UTF-8, or what spreadsheets of Western Europe write where it is not."""
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError:
        return content.decode("cp1252", "replace")


def read_list(text: str, *, role: str, language: str) -> list[Line]:
    """The people of a list of comma- or semicolon-separated values: address, name, role; the last two may be missing.

    :param role: of whoever has none of their own in the list; ``language``: of the mails.
    :returns: at most MOST + 1 lines: whoever reads more than MOST has too many.
    """
    separator = ";" if text.partition("\n")[0].count(";") > text.partition("\n")[0].count(",") else ","
    lines: list[Line] = []
    seen: set[str] = set()
    written = io.StringIO(text.replace("\x00", ""), newline=None)  # a line ends as any system ends it
    for number, cells in enumerate(csv.reader(written, delimiter=separator), 1):
        told = [cell.strip() for cell in cells]
        if not any(told) or (number == 1 and told[0].lower() in _HEADINGS):
            continue
        line = _read(number, told, role, language)
        if line.address is not None and line.address.canonical in seen:
            line = Line(number, line.text, None, {}, line.role, "invite.twice")
        if line.address is not None:
            seen.add(line.address.canonical)
        lines.append(line)
        if len(lines) > MOST:
            break
    return lines


def _read(number: int, cells: list[str], role: str, language: str) -> Line:
    own = cells[2].lower() if len(cells) > 2 and cells[2] else role
    text = cells[0][:100]
    if own not in ROLES:
        return Line(number, text, None, {}, own[:20], "invite.no_role")
    claims: dict[str, Any] = {"locale": language}
    try:
        address = read_address(cells[0])
        if len(cells) > 1 and cells[1]:
            claims["name"] = check_claim("name", cells[1])
    except WrongClaim:
        return Line(number, text, None, {}, own, "invite.no_name")
    except ValueError:
        return Line(number, text, None, {}, own, "invite.no_address")
    return Line(number, text, address, claims, own, "")
