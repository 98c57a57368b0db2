"""Which menu mends what."""

from __future__ import annotations

from idp.doors.saml_menus import MENDED_AT, menu_for
from idp.doors.saml_presets import PRESETS
from idp.reasons import REASONS


def test_each_reason_is_one_that_a_company_mends() -> None:
    assert {code: REASONS[code].owner for code in MENDED_AT} == dict.fromkeys(MENDED_AT, "company")


def test_a_reason_leads_to_the_menu_of_the_vendor() -> None:
    assert menu_for("saml_audience_wrong", "okta") == PRESETS["okta"].menus["addresses"]
    assert menu_for("saml_audience_wrong", "entra") == PRESETS["entra"].menus["addresses"]


def test_an_address_that_is_the_name_id_is_mended_there() -> None:
    assert menu_for("company_email_upn", "entra") == PRESETS["entra"].menus["attributes"]
    assert menu_for("company_email_upn", "entra", email_is_name_id=True) == PRESETS["entra"].menus["name_id"]


def test_what_no_menu_mends_has_none() -> None:
    assert menu_for("saml_clock_ahead", "okta") == ""
    assert menu_for("saml_audience_wrong", "other") == PRESETS["other"].menus.get("addresses", "")
    assert menu_for("saml_audience_wrong", "nobody") == ""
