"""``/companies/<company_id>/sign-in``: the way to a company's own sign-in, step by step: domain, identity provider, live, required."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from typing import Any

from flask import Blueprint, Response, request
from sqlalchemy.orm import Session as Transaction

from idp import domain_proof
from idp.accounts.lifecycle import apply_revocations
from idp.admin import set_up_links
from idp.admin.access import actor, admin_page, needs, own_client
from idp.admin.identity_provider_form import describe
from idp.admin.policy_preview import NAMED, effect
from idp.admin.staff import Right
from idp.companies import CompanyRefused, find_company
from idp.company_policy import policy_of_company, relax_sso, require_sso
from idp.dns_lookup import txt_lookup
from idp.domain_evidence import FILE
from idp.doors.saml_presets import PRESETS
from idp.errors import IdpError, Unavailable
from idp.fetch import FetchError
from idp.identity_provider import ConnectionRefused
from idp.members import break_glass_people
from idp.models import CompanyDomain
from idp.parts import parts
from idp.redirects import go

bp = Blueprint("sign_in_guide", __name__)

PATH = "/companies/<company_id>/sign-in"
NOTICES = ("claimed", "verified", "released", "required", "relaxed", "revoked", "removed")
LARGEST_DOCUMENT = 256 * 1024  # bytes of metadata


@bp.get(PATH)
@needs(Right.see_company, guide=True)
def show_guide(company_id: str) -> Response:
    """All steps with how far they are."""
    return _page(company_id)


@bp.post(f"{PATH}/domains")
@needs(Right.change_sign_in, guide=True)
def claim(company_id: str) -> Response:
    """Say that a domain is the company's own; the page then shows the record that proves it."""
    here = parts()

    def act(db: Transaction) -> None:
        domain_proof.claim(
            db, company_id, request.form.get("domain", ""), actor=actor().who, now=here.clock(), random=here.random
        )

    return _do(company_id, act, "claimed", typed={"domain": request.form.get("domain", "")[:253]})


@bp.post(f"{PATH}/domains/check")
@needs(Right.change_sign_in, guide=True)
def check(company_id: str) -> Response:
    """Look for the proof of a domain now, and say what was found."""
    here, domain = parts(), request.form.get("domain", "")
    try:
        proof = domain_proof.check(
            here.database,
            company_id,
            domain,
            txt_lookup(here.config.dns_server),
            here.outgoing.get,
            sealer=here.sealer,
            actor=actor().who,
            now=here.clock(),
        )
    except CompanyRefused as refused:
        return _page(company_id, refused)
    if not proof.ok:
        return _page(company_id, looked={"domain": domain, "reasons": proof.reasons, "found": proof.found})
    return go(_address(company_id), notice="verified")


@bp.post(f"{PATH}/domains/release")
@needs(Right.change_sign_in, fresh=True, guide=True)
def release(company_id: str) -> Response:
    """Give a domain back."""

    def act(db: Transaction) -> None:
        domain_proof.release(db, company_id, request.form.get("domain", ""), actor=actor().who, now=parts().clock())

    return _do(company_id, act, "released")


@bp.post(f"{PATH}/connections")
@needs(Right.change_sign_in, guide=True)
def connect(company_id: str) -> Response:
    """Connect an identity provider, as a draft: nobody is sent to it until it was tried and is live."""
    here, now = parts(), parts().clock()
    vendor = request.form.get("vendor", "")
    vendor = vendor if vendor in PRESETS else "other"
    preset = PRESETS[vendor]
    sent = request.files.get("metadata")
    try:
        uploaded = sent.read(LARGEST_DOCUMENT + 1) if sent is not None else b""
        description, document, kind = describe(
            request.form, uploaded, vendor=vendor, outgoing=here.outgoing, loopback=here.config.on_loopback, now=now
        )
        attributes = dict(preset.attributes)
        if kind == "form" and request.form.get("email_attribute", "").strip():
            attributes["email"] = request.form["email_attribute"].strip()
        with here.database.transaction() as db:
            added = here.connections.add(
                db,
                company_id,
                description,
                name=preset.name,
                vendor=vendor,
                name_id_format=preset.name_id_format if vendor != "other" else None,
                attributes=attributes,
                hint=preset.hint,
                metadata_url=request.form["metadata_url"].strip() if kind == "url" else None,
                document=document,
                source=kind,
                actor=actor().who,
                now=now,
                random=here.random,
            )
    except (ConnectionRefused, FetchError) as refused:
        typed = {name: request.form.get(name, "")[:4096] for name in FIELDS}
        return _page(company_id, refused, typed=typed | {"vendor": vendor})
    return go(f"{_address(company_id)}/{added.id}", notice="added")


FIELDS = ("how", "metadata_url", "entity_id", "sso_url", "sso_binding", "slo_url", "email_attribute", "certificate")


@bp.post(f"{PATH}/require")
@needs(Right.change_sign_in, fresh=True, guide=True)
def require(company_id: str) -> Response:
    """Close every other door for the people of the company's domains; or open them again."""
    here, who = parts(), actor().who
    relax = request.form.get("sso") == "optional"

    def act(db: Transaction) -> None:
        if relax:
            relax_sso(db, company_id, actor=who, now=here.clock())
        else:
            ending = request.form.get("end_sessions") == "yes"
            require_sso(db, company_id, end_sessions=ending, actor=who, now=here.clock())

    return _do(company_id, act, "relaxed" if relax else "required")


@bp.post(f"{PATH}/links")
@needs(Right.change_sign_in, fresh=True)
def make_link(company_id: str) -> Response:
    """Make a set-up link for a colleague. It is shown once."""
    here = parts()
    with here.database.transaction() as db:
        path, _ = set_up_links.make(db, company_id, actor=actor().who, now=here.clock(), random=here.random)
    return _page(company_id, made=own_client().origin + path)


@bp.post(f"{PATH}/links/revoke")
@needs(Right.change_sign_in)
def revoke_link(company_id: str) -> Response:
    """Let a set-up link work no more."""
    here = parts()
    with here.database.transaction() as db:
        set_up_links.revoke(db, company_id, request.form.get("link", ""), actor=actor().who, now=here.clock())
    return go(_address(company_id), notice="revoked")


def _address(company_id: str) -> str:
    return f"/companies/{company_id}/sign-in"


def _do(
    company_id: str, act: Callable[[Transaction], None], notice: str, typed: dict[str, str] | None = None
) -> Response:
    here = parts()
    try:
        with here.database.transaction() as db:
            act(db)
    except CompanyRefused as refused:
        return _page(company_id, refused, typed=typed)
    with suppress(Unavailable):  # the worker brings it to Redis when that is back
        apply_revocations(here.database, here.store, here.clients, here.clock())
    return go(_address(company_id), notice=notice)


def _page(
    company_id: str,
    refused: IdpError | None = None,
    *,
    typed: dict[str, str] | None = None,
    looked: dict[str, Any] | None = None,
    made: str = "",
) -> Response:
    here, now = parts(), parts().clock()
    notice = request.args.get("notice")
    with here.database.reading() as db:
        company, policy = find_company(db, company_id), policy_of_company(db, company_id)
        assert company is not None  # the guard has found it
        domains = [_domain(row) for row in domain_proof.claims(db, company_id)]
        connections = [
            {"id": one.id, "name": one.name, "state": one.state, "problem": one.metadata_problem or ""}
            | {"administrator": one.administrator_signed_in_at is not None}
            for one in here.connections.of_company(db, company_id)
        ]
        links = [
            (one.id, one.created_at, one.expires_at, one.opened_at)
            for one in set_up_links.links_of(db, company_id, now)
        ]
        affected = [effect(db, company_id, kind) for kind in ("password", "social")] if policy.live else []
        glass = [one.address for one in break_glass_people(db, company_id)]
    return admin_page(
        "admin/sign_in.html",
        refused.status if refused is not None else 200,
        place="company-sign-in",
        company=(company.id, company.name),
        domains=domains,
        connections=connections,
        vendors=[(key, preset.name) for key, preset in PRESETS.items()],
        sso=policy.sso,
        affected=[one for one in affected if one.count],
        named=NAMED,
        break_glass=glass,
        links=links,
        typed={"domain": "", "vendor": "entra", **dict.fromkeys(FIELDS, "")} | (typed or {}),
        looked=looked,
        made=made,
        notice=notice if notice in NOTICES and refused is None else None,
        problem=refused.reason if refused is not None else None,
        detail=_detail(refused),
    )


def _detail(refused: IdpError | None) -> str:
    """What exactly is wrong with a document or an address, in English, for those who can mend it."""
    return refused.detail[:300] if isinstance(refused, ConnectionRefused | FetchError) else ""


def _domain(row: CompanyDomain) -> dict[str, Any]:
    return {
        "domain": row.domain,
        "status": row.status,
        "record": domain_proof.record_of(row),
        "file": f"https://{row.domain}{FILE}",
        "found": list(row.found),
        "checked_at": row.checked_at,
        "missed_since": row.missed_since,
    }
