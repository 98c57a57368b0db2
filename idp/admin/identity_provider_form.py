"""An identity provider as somebody describes it on a page: by the address of its metadata, by the metadata, or by hand. A working."""

from __future__ import annotations

from collections.abc import Mapping

from idp.doors.saml_metadata import fetch_metadata, read_metadata
from idp.doors.saml_presets import PRESETS
from idp.fetch import Fetcher
from idp.identity_provider import ConnectionRefused, Description, description_from_form


def describe(
    form: Mapping[str, str], uploaded: bytes, *, vendor: str, outgoing: Fetcher, loopback: bool, now: float
) -> tuple[Description, str, str]:
    """What a form describes, the metadata document ("": none), and whether it came by url, file or form.

    :param form: ``how`` (url, file, form) with ``metadata_url``; ``document``, where ``uploaded`` is empty; or ``entity_id``, ``sso_url``,
        ``sso_binding``, ``slo_url``, ``certificate``, ``email_attribute``.
    :raises ConnectionRefused: it describes nothing that we could speak with; ``connection_field_wrong``: nothing was filled in.
    """
    how = form.get("how", "")
    if how == "url" and form.get("metadata_url", "").strip():
        document = fetch_metadata(outgoing, form["metadata_url"].strip())
        return read_metadata(document, now, loopback=loopback), document.decode("utf-8", "replace"), "url"
    if how == "file" and (uploaded or form.get("document", "").strip()):
        document = uploaded or form["document"].strip().encode()
        return read_metadata(document, now, loopback=loopback), document.decode("utf-8", "replace"), "file"
    if how == "form" and form.get("entity_id", "").strip():
        description = description_from_form(
            entity_id=form["entity_id"],
            sso_url=form.get("sso_url", ""),
            sso_binding="post" if form.get("sso_binding") == "post" else "redirect",
            slo_url=form.get("slo_url", ""),
            certificate=form.get("certificate", ""),
            name_id_format=PRESETS[vendor].name_id_format,
            email_attribute=form.get("email_attribute", ""),
            loopback=loopback,
            now=now,
        )
        return description, "", "form"
    raise ConnectionRefused("connection_description_missing")
