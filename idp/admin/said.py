"""The fixed phrases in which checks say what they expected and received, as keys of the catalogues. A companion."""

from __future__ import annotations

import re

from idp.parts import parts

_NO_LETTERS = re.compile(r"[^a-z0-9]+")


def phrase(text: str) -> str:
    """The key of a fixed phrase of the checks; "" for what has something in it that was sent or that is ours alone."""
    key = f"saml.said.{_NO_LETTERS.sub('_', text.lower()).strip('_')}"
    return key if parts().languages.has(key) else ""
