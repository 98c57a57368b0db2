from __future__ import annotations

from pathlib import Path

import pytest

from idp.languages import Languages


@pytest.fixture(scope="module")
def languages() -> Languages:
    return Languages()


def test_english_comes_first_because_it_is_the_default(languages: Languages) -> None:
    assert languages.supported == ("en", "fr")
    assert languages.names == (("en", "English"), ("fr", "Français"))


def test_a_sentence_is_filled_with_values(languages: Languages) -> None:
    assert languages.text("en", "login.to_client", client="GoToWebinar") == "to continue to GoToWebinar"
    assert languages.translator("fr")("login.to_client", client="100 %s") == "pour accéder à 100 %s"


def test_a_language_that_is_not_ours_reads_english(languages: Languages) -> None:
    assert languages.text("de", "login.submit") == "Sign in"


def test_an_unknown_key_is_an_error(languages: Languages) -> None:
    assert not languages.has("no.such.key")
    with pytest.raises(KeyError):
        languages.text("en", "no.such.key")


@pytest.mark.parametrize(
    ("wishes", "language"),
    [
        ({}, "en"),
        ({"accept_language": "fr"}, "fr"),
        ({"accept_language": "fr-CA,fr;q=0.8,en;q=0.6"}, "fr"),
        ({"accept_language": "de-DE, de;q=0.9, fr;q=0.5, en;q=0.4"}, "fr"),
        ({"accept_language": "en;q=0.3,fr;q=0.31"}, "fr"),
        ({"accept_language": "fr;q=0,en;q=0.1"}, "en"),
        ({"accept_language": "fr;q=0"}, "en"),
        ({"accept_language": "*"}, "en"),
        ({"accept_language": "de"}, "en"),
        ({"accept_language": "fr;q=junk"}, "en"),
        ({"accept_language": "fr;q=2"}, "en"),
        ({"accept_language": "../../etc/passwd,fr\x00"}, "en"),
        ({"person_locale": "fr_CA"}, "fr"),
        ({"person_locale": "fr-FR", "accept_language": "en"}, "fr"),
        ({"ui_locales": "de fr-CA en", "person_locale": "en"}, "fr"),
        ({"ui_locales": "de se", "person_locale": "fr"}, "fr"),
        ({"cookie": "en", "ui_locales": "fr", "person_locale": "fr", "accept_language": "fr"}, "en"),
        ({"cookie": "de", "ui_locales": "fr"}, "fr"),
    ],
)
def test_the_switch_then_the_product_then_the_person_then_the_browser_decide(
    languages: Languages, wishes: dict[str, str], language: str
) -> None:
    assert languages.choose(**wishes) == language


def test_az_28_only_our_own_languages_are_ever_chosen(languages: Languages) -> None:
    for wish in ("../../etc", "fr/../../en", "%s", "fr\n", '"><svg/onload=1>', "f" * 100_000, "fr;" * 100_000):
        assert languages.choose(ui_locales=wish) in languages.supported
        assert languages.choose(accept_language=wish) in languages.supported


HEADER = 'msgid ""\nmsgstr ""\n"Content-Type: text/plain; charset=utf-8\\n"\n\n'


@pytest.mark.parametrize(
    "catalogue",
    [
        'msgid "a"\nmsgstr ""\n',
        '#, fuzzy\nmsgid "a"\nmsgstr "A"\n',
        'msgid "language.name"\nmsgstr "twice, in two files"\n',
    ],
)
def test_a_catalogue_with_a_hole_stops_the_start(tmp_path: Path, catalogue: str) -> None:
    folder = tmp_path / "en" / "LC_MESSAGES"
    folder.mkdir(parents=True)
    (folder / "a.po").write_text(HEADER + 'msgid "language.name"\nmsgstr "English"\n', encoding="utf-8")
    assert Languages(tmp_path).supported == ("en",)
    (folder / "b.po").write_text(HEADER + catalogue, encoding="utf-8")
    with pytest.raises(ValueError, match="twice, empty or marked fuzzy"):
        Languages(tmp_path)
