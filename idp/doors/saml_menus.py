"""Where a company's IT mends what went wrong at its own identity provider: the menu path of its vendor, by the reason."""

from __future__ import annotations

from collections.abc import Mapping

from idp.doors.saml_presets import PRESETS, Setting

# A reason that is not here is not mended in a menu of the vendor's: clocks, broken messages, or something of ours.
MENDED_AT: Mapping[str, Setting] = {
    "saml_audience_wrong": "addresses",
    "saml_destination_wrong": "addresses",
    "saml_recipient_wrong": "addresses",
    "saml_unsigned": "signing",
    "saml_encrypted_unsigned": "signing",
    "saml_algorithm_weak": "signing",
    "saml_certificate_other": "certificate",
    "saml_signature_wrong": "certificate",
    "saml_encrypted_other_key": "encryption",
    "saml_decryption_failed": "encryption",
    "saml_status_denied": "people",
    "saml_name_id_missing": "name_id",
    "company_name_id_malformed": "name_id",
    "company_name_id_transient": "name_id",
    "company_name_id_format_wrong": "name_id",
    "company_name_id_changed": "name_id",
    "company_email_missing": "attributes",
    "company_email_several": "attributes",
    "company_email_malformed": "attributes",
    "company_email_upn": "attributes",
    "company_domain_foreign": "attributes",
    "saml_logout_issuer": "logout",
    "saml_logout_destination": "logout",
    "saml_logout_encrypted": "logout",
}


def menu_for(reason: str, vendor: str, *, email_is_name_id: bool = False) -> str:
    """The vendor's menu path where a reason is mended; empty where there is none.

    :param email_is_name_id: the connection takes the NameID for the address, so that is where addresses are mended.
    """
    setting = MENDED_AT.get(reason)
    if setting == "attributes" and email_is_name_id:
        setting = "name_id"
    preset = PRESETS.get(vendor)
    return preset.menus.get(setting, "") if preset is not None and setting is not None else ""
