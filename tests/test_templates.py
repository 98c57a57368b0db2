from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from html.parser import HTMLParser
from pathlib import Path

import pytest
from flask import Flask

from idp.app import create_app
from idp.languages import TRANSLATIONS, Languages
from idp.rendering import render_page
from tests.sample_pages import PAGES

IDP = TRANSLATIONS.parent
TEMPLATES = IDP / "templates"
# Attack cases AZ-28, IJ-02, HD-04: a value may break out of nothing, and is never itself a template.
HOSTILE = "\"'><script>alert(1)</script><img src=x onerror=alert(1)>{{1234*1234}}{% import os %}${1234*1234}%(x)s%s&amp;\u202e\u2028"

LANGUAGES = Languages()


@dataclass
class Page(HTMLParser):
    """What a browser makes of a page: elements with their attributes, words, and the attributes that people read."""

    html: str
    elements: list[tuple[str, dict[str, str]]] = field(default_factory=list)
    words: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        super().__init__()
        self.feed(self.html)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        attributes = {name: value or "" for name, value in attrs}
        self.elements.append((tag, attributes))
        self.words += [attributes[name] for name in ("alt", "title", "placeholder", "aria-label") if name in attributes]

    def handle_data(self, data: str) -> None:
        self.words.append(data)

    @property
    def skeleton(self) -> list[tuple[str, list[str]]]:
        return [(tag, sorted(attributes)) for tag, attributes in self.elements]


def _page(app: Flask, name: str, language: str, text: str | None = None) -> Page:
    template, values = PAGES[name]
    with app.test_request_context("/login?p=p1", headers={"Accept-Language": language}):
        made = values(str if text is None else lambda _: text)
        return Page(render_page(template, **made).get_data(as_text=True))


def _templates(pattern: str = "**/*.html") -> list[Path]:
    return sorted(TEMPLATES.glob(pattern))


# --- pages ---------------------------------------------------------------------------------------------------------------


def test_every_template_is_shown_by_a_sample() -> None:
    used = {template for template, _ in PAGES.values()}
    sources = {str(path.relative_to(TEMPLATES)): path.read_text(encoding="utf-8") for path in _templates()}
    frontier = set(used)
    while frontier:
        found = {
            name for page in frontier for name in re.findall(r'{% (?:extends|include|from) "(.*?)"', sources[page])
        }
        frontier = found - used
        used |= found
    assert used == {name for name in sources if not name.startswith("mail/")}


@pytest.mark.parametrize("language", LANGUAGES.supported)
def test_ij_02_hostile_values_stay_words(app: Flask, language: str) -> None:
    for name in PAGES:
        hostile, tame = _page(app, name, language, HOSTILE), _page(app, name, language, "tame")
        assert hostile.skeleton == tame.skeleton, name
        shown = "".join(
            [*hostile.words, *(value for _, attributes in hostile.elements for value in attributes.values())]
        )
        assert ("tame" in tame.html) == (HOSTILE in shown), name
        assert "1522756" not in shown.replace(HOSTILE, ""), name


@pytest.mark.parametrize("language", LANGUAGES.supported)
def test_every_page_is_whole(app: Flask, language: str) -> None:
    for name in PAGES:
        page = _page(app, name, language)
        tags = [tag for tag, _ in page.elements]
        assert page.elements[0] == ("html", {"lang": language})
        assert [tags.count(once) for once in ("title", "main", "h1", "footer")] == [1, 1, 1, 1], name
        identities = [attributes["id"] for _, attributes in page.elements if "id" in attributes]
        assert len(identities) == len(set(identities)), name
        for tag, attributes in page.elements:
            for reference in {"aria-describedby", "aria-labelledby", "for"} & attributes.keys():
                assert set(attributes[reference].split()) <= set(identities), (name, tag, reference)
            assert tag != "form" or (attributes["method"] == "post" and attributes["action"]), name


def test_pages_run_nothing_inline_and_load_nothing_foreign(app: Flask) -> None:
    for name in PAGES:
        for tag, attributes in _page(app, name, "en").elements:
            assert tag not in ("style", "iframe", "object", "base"), name
            assert not {attribute for attribute in attributes if attribute.startswith("on") or attribute == "style"}, (
                name
            )
            if tag in ("script", "link"):
                assert attributes.get("src", attributes.get("href", "")).startswith("/static/"), name
            if attributes.get("target") == "_blank":
                assert "noopener" in attributes["rel"], name


def test_static_files_load_nothing_foreign() -> None:
    for path in (IDP / "static").iterdir():
        text = path.read_text(encoding="utf-8").replace('xmlns="http://www.w3.org/2000/svg"', "")
        assert not re.search(r"https?:|url\(|@import|//[a-z]|\bfetch\(|innerHTML|eval\(", text), path


@pytest.mark.parametrize("language", LANGUAGES.supported)
def test_the_words_of_a_page_are_in_its_language(app: Flask, language: str) -> None:
    page = _page(app, "password", language)
    assert ("Sign in" in page.words) == (language == "en")
    assert ("Se connecter" in page.words) == (language == "fr")


def test_the_ids_that_browser_tests_rely_on_are_there(app: Flask) -> None:
    ids = {
        "login-page": "start",
        "username": "start",
        "client-logo": "start",
        "client-policy": "password",
        "client-tos": "password",
        "password": "password",
        "login-submit": "password",
        "consent-allow": "consent",
        "consent-deny": "consent",
        "error-page": "error",
        "receipt-code": "error",
        "logout-confirm": "logout-confirm",
        "logged-out": "logged-out",
    }
    for identity, name in ids.items():
        assert [1 for _, attributes in _page(app, name, "en").elements if attributes.get("id") == identity] == [1]
    assert "redirect_uri" in _page(app, "error", "en").words
    assert "signed out" in " ".join(_page(app, "logged-out", "en").words)


def test_fields_say_what_they_are_and_what_is_wrong(app: Flask) -> None:
    fields = {attributes.get("id"): attributes for _, attributes in _page(app, "password-wrong", "en").elements}
    assert fields["username"]["autocomplete"] == "username webauthn"
    assert fields["password"]["autocomplete"] == "current-password"
    assert "autofocus" in fields["password"]
    assert fields["password"]["aria-invalid"] == "true"
    assert fields["password"]["aria-describedby"] == "problem"
    assert "autofocus" in {a.get("id"): a for _, a in _page(app, "start", "en").elements}["username"]


# --- words ---------------------------------------------------------------------------------------------------------------

CATALOGUES = sorted(path.name for path in TRANSLATIONS.glob("en/LC_MESSAGES/*.po"))
CALL = re.compile(r"\bt\(((?:[^()]|\([^()]*\))*)\)")
TEXT = re.compile(r"'([^']*)'")


def _keys_in_templates() -> tuple[set[str], set[str]]:
    """Keys that templates name whole, and patterns of those that they put together."""
    whole, patterns = set(), set()
    for path in _templates("**/*.*"):
        for call in CALL.findall(path.read_text(encoding="utf-8")):
            expression = call.split(",")[0].strip()
            if re.fullmatch(r"'[^']*'", expression):
                whole.add(expression[1:-1])
            elif "~" in expression:
                pieces = [piece.strip() for piece in expression.split("~")]
                patterns.add("".join(re.escape(p[1:-1]) if p[0] == "'" else r"\w+" for p in pieces))
    return whole, patterns


def _keys_in_code() -> tuple[set[str], set[str]]:
    """The same of the code: every text, and every f-string with dots, might be a key."""
    whole, patterns = set(), set()
    for path in IDP.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Constant) and isinstance(node.value, str):
                whole.add(node.value)
            elif isinstance(node, ast.JoinedStr):
                pieces = [re.escape(str(v.value)) if isinstance(v, ast.Constant) else r"\w+" for v in node.values]
                patterns.add("".join(pieces))
    return whole, {pattern for pattern in patterns if re.match(r"\w+\\\.", pattern)}


@pytest.mark.parametrize("language", LANGUAGES.supported)
def test_every_key_that_templates_use_is_in_every_catalogue(language: str) -> None:
    whole, _ = _keys_in_templates()
    assert len(whole) > 50
    assert not whole - LANGUAGES.keys(language)


@pytest.mark.parametrize("language", LANGUAGES.supported)
def test_wherever_a_code_is_shown_help_is_one_press_away_and_there_is_a_way_on(app: Flask, language: str) -> None:
    """Whatever has failed: the code, the page that explains it, and something else to do."""
    shown = 0
    for name in PAGES:
        page = _page(app, name, language)
        if not any(attributes.get("id") == "receipt-code" for _, attributes in page.elements):
            continue
        shown += 1
        links = [attributes.get("href", "") for tag, attributes in page.elements if tag == "a"]
        own = page.elements and any(attributes.get("id") == "help-page" for _, attributes in page.elements)
        assert own or any(link.startswith("/help?receipt=") for link in links), name
        others = [link for link in links if link.startswith("/") and not link.startswith(("/help", "/language"))]
        assert others or any(tag == "form" for tag, _ in page.elements), name
    assert shown > 20


def test_every_key_of_the_catalogues_is_used() -> None:
    whole, patterns = _keys_in_templates()
    more, more_patterns = _keys_in_code()
    made = re.compile("|".join(patterns | more_patterns))
    assert not {key for key in LANGUAGES.keys("en") - whole - more if not made.fullmatch(key)}


@pytest.mark.parametrize("language", LANGUAGES.supported)
def test_all_languages_have_the_same_keys_and_fill_in_the_same_values(language: str) -> None:
    def values(of: str) -> dict[str, list[str]]:
        return {key: sorted(set(re.findall(r"%\(\w+\)s", LANGUAGES.text(of, key)))) for key in LANGUAGES.keys(of)}

    assert values(language) == values("en")


def _sentences(language: str) -> Iterator[tuple[str, str]]:
    for key in sorted(LANGUAGES.keys(language)):
        yield key, LANGUAGES.text(language, key)


def test_french_is_typed_as_french() -> None:
    wrong = []
    for key, sentence in _sentences("fr"):
        bare = re.sub(r"https?://\S+|Authorization: Bearer|%\(\w+\)s|\d{1,2}:\d\d", "x", sentence)
        if re.search(r"[^\u202f\u00a0][?!;»]|[^\u00a0]:(?!\w)|«[^\u00a0\u202f]|'|\.\.\.", bare):
            wrong.append(f"{key}: {sentence}")
    assert not wrong


def test_english_is_typed_as_english() -> None:
    assert not [key for key, sentence in _sentences("en") if re.search(r"\s[?!:;]|\.\.\.|  ", sentence)]


def test_no_template_holds_words_of_its_own() -> None:
    for path in _templates():
        source = re.sub(r"{% block (shape|identity) %}.*?{% endblock %}", "", path.read_text(encoding="utf-8"))
        source = re.sub(r"{#.*?#}|{%.*?%}|{{.*?}}", "", source, flags=re.S)
        source = re.sub(r"<style.*?</style>", "", source, flags=re.S)
        assert not [word for word in Page(source).words if re.search(r"[^\W\d_]", word)], path


# --- the pages of operators -------------------------------------------------------------------------------------------------


def test_a_template_of_the_operator_replaces_ours(app: Flask, tmp_path: Path) -> None:
    (tmp_path / "oidc").mkdir()
    (tmp_path / "oidc" / "logged_out.html").write_text(
        "{% extends \"layout.html\" %}{% block page %}<h1>{{ t('logged_out.title') }} · Acme</h1>{% endblock %}"
    )
    parts = app.extensions["idp"]
    own = create_app(replace(parts, config=parts.config.model_copy(update={"templates": tmp_path})))
    assert "<h1>You are signed out · Acme</h1>" in _page(own, "logged-out", "en").html
    assert "<h1>Sign in</h1>" in _page(own, "start", "en").html
