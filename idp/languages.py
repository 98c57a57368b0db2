"""The words that people read: catalogues of `idp/translations/<language>/LC_MESSAGES/*.po`, and which language a person gets.

Message ids are keys ("login.title"), never sentences, so that no text hides in code and a typing error is found by a test.
A further language is a further folder.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import lru_cache
from pathlib import Path

from babel.messages.pofile import read_po

TRANSLATIONS = Path(__file__).parent / "translations"


class Languages:
    """All catalogues, read once at start. ``supported`` holds the language codes, English first: it is the default; ``names``
    holds pairs of code and the language's own name."""

    def __init__(self, folder: Path = TRANSLATIONS) -> None:
        found = sorted(path.parent.name for path in folder.glob("*/LC_MESSAGES"))
        self.supported: tuple[str, ...] = tuple(sorted(found, key=lambda language: language != "en"))
        self._catalogues = {language: _read(folder / language / "LC_MESSAGES") for language in self.supported}
        self.names = tuple((language, self.text(language, "language.name")) for language in self.supported)

    def text(self, language: str, key: str, **values: object) -> str:
        """The sentence behind ``key``, its ``%(name)s`` filled with ``values``; English where the language is not ours.

        The result is plain text: whoever puts it into HTML escapes it.

        :raises KeyError: no such key (a test holds that every used key is there).
        """
        sentence = self._catalogues.get(language, self._catalogues["en"])[key]
        return sentence % values if values else sentence

    def translator(self, language: str) -> Callable[..., str]:
        """:meth:`text` for one language, as templates call it: ``t(key, **values)``."""
        catalogue = self._catalogues[language]

        def t(key: str, **values: object) -> str:
            sentence = catalogue[key]
            return sentence % values if values else sentence

        return t

    def has(self, key: str) -> bool:
        """Whether there is such a sentence."""
        return key in self._catalogues["en"]

    def keys(self, language: str) -> set[str]:
        """All keys of one catalogue."""
        return set(self._catalogues[language])

    def choose(
        self,
        ui_locales: str | None = None,
        person_locale: str | None = None,
        cookie: str | None = None,
        accept_language: str | None = None,
    ) -> str:
        """The language for a person: one of ``supported``.

        The cookie is first because only the person's own press on the switch sets it; what the product asks for
        (``ui_locales``, OpenID Connect Core 3.1.2.1: tags separated by spaces) and what the person's profile says come
        next, then the browser's Accept-Language header (RFC 9110 section 12.5.4).
        """
        for tags in (cookie, ui_locales, person_locale):
            for tag in (tags or "").split():
                if (language := _primary(tag)) in self.supported:
                    return language
        return _accepted((accept_language or "")[:1000], self.supported)


def _read(folder: Path) -> dict[str, str]:
    sentences: dict[str, str] = {}
    for path in sorted(folder.glob("*.po")):
        with path.open("rb") as file:
            for message in read_po(file, abort_invalid=True):
                if not message.id:  # the header
                    continue
                key, sentence = str(message.id), str(message.string)
                if key in sentences or not sentence or message.fuzzy:
                    raise ValueError(f"{path}: {key} is there twice, empty or marked fuzzy")
                sentences[key] = sentence
    return sentences


def _primary(tag: str) -> str:
    return re.split("[-_]", tag, maxsplit=1)[0].lower()


@lru_cache(maxsize=1024)
def _accepted(header: str, supported: tuple[str, ...]) -> str:
    best, best_weight = supported[0], 0.0
    for item in header.split(","):
        tag, _, weight_text = item.replace(" ", "").partition(";q=")
        weight = 1.0
        if weight_text:
            weight = float(weight_text) if re.fullmatch(r"0(\.\d{0,3})?|1(\.0{0,3})?", weight_text) else 0.0
        if weight > best_weight and (language := _primary(tag)) in supported:
            best, best_weight = language, weight
    return best
