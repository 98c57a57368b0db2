"""Presets: every vendor's beginning is complete and can be used."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from idp.connections import NAME_ID_EMAIL, NAME_ID_PERSISTENT
from idp.doors.saml_presets import PRESETS, SETTINGS, Preset
from idp.reasons import REASONS

GUIDES = Path(__file__).parents[2] / "docs" / "company-it"
EACH = pytest.mark.parametrize("preset", PRESETS.values(), ids=list(PRESETS))


def test_every_vendor_of_the_issue_has_a_preset() -> None:
    assert set(PRESETS) == {
        *("entra", "okta", "google", "adfs", "onelogin", "ping", "jumpcloud", "keycloak", "shibboleth", "other")
    }


@EACH
def test_a_preset_says_who_somebody_is(preset: Preset) -> None:
    assert preset.name_id_format in (NAME_ID_EMAIL, NAME_ID_PERSISTENT)  # never transient: nobody could be known again
    assert preset.name_id_format == NAME_ID_EMAIL or "email" in preset.attributes
    assert set(preset.attributes) <= {"email", "name", "given_name", "family_name"}
    assert len(set(preset.attributes.values())) == len(preset.attributes)
    assert preset.hint in {"subject", "login_hint", "username", "none"}


@EACH
def test_menus_are_known_for_what_every_vendor_lets_it_change(preset: Preset) -> None:
    assert set(preset.menus) <= set(SETTINGS)
    if preset is not PRESETS["other"]:
        assert set(preset.menus) >= set(SETTINGS) - {"encryption", "logout"}


@EACH
def test_every_preset_has_its_guide(preset: Preset) -> None:
    guide = (GUIDES / f"{preset.guide}.md").read_text(encoding="utf-8")
    assert preset.name in guide
    for attribute in preset.attributes.values():
        assert f"`{attribute}`" in guide


@pytest.mark.parametrize("guide", sorted(GUIDES.glob("*.md")), ids=lambda path: path.stem)
def test_guides_name_only_reasons_that_exist(guide: Path) -> None:
    found = re.findall(r"`((?:saml|company|connection|domain)_[a-z_]+)`", guide.read_text(encoding="utf-8"))
    assert set(found) <= set(REASONS)


def test_the_index_leads_to_every_guide() -> None:
    index = (GUIDES / "index.md").read_text(encoding="utf-8")
    assert all(f"]({preset.guide}.md)" in index for preset in PRESETS.values())
