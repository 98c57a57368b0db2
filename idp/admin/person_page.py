"""``/companies/<company_id>/people/<account_id>``: one of a company's people, and what its administrators may do for them.

Nobody can set or see a password here, or sign in as somebody.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress

from flask import Blueprint, Response, abort, request
from sqlalchemy.orm import Session as Transaction

from idp import audit
from idp.accounts import seats
from idp.accounts.invitations import InvitationRefused, send_again, standings
from idp.accounts.lifecycle import apply_revocations, end_everything, primary_email, reactivate, suspend
from idp.accounts.ways import ways_in
from idp.admin import factor_removal
from idp.admin.access import actor, admin_page, host, needs
from idp.admin.factor_removal import find_asked, held_factors
from idp.admin.staff import Right, is_staff, suspended_by_provider
from idp.companies import CompanyRefused, find_company
from idp.errors import IdpError, Unavailable
from idp.members import ROLES, name_break_glass, only_administrator_of, remove_member, set_role
from idp.models import Account, Member
from idp.parts import parts
from idp.redirects import go
from idp.rendering import choose_language
from idp.search_terms import full_name

bp = Blueprint("person_page", __name__)

PATH = "/companies/<company_id>/people/<account_id>"
NOTICES = (
    "role",
    "suspended",
    "reactivated",
    "resent",
    "signed_out",
    "seat",
    "break_glass",
    "asked",
    "withdrawn",
    "factors",
)
LONGEST_REASON = 300

Act = Callable[[Transaction, Account], None]


@bp.get(PATH)
@needs(Right.see_company)
def show_person(company_id: str, account_id: str) -> Response:
    """What the company's administrators see of somebody."""
    return _page(company_id, account_id)


@bp.post(f"{PATH}/role")
@needs(Right.change_people, fresh=True)
def take_role(company_id: str, account_id: str) -> Response:
    """Another role in the company."""

    def act(db: Transaction, account: Account) -> None:
        set_role(db, company_id, account.id, request.form.get("role", ""), actor=actor().who, now=parts().clock())

    return _do(company_id, account_id, act, "role")


@bp.post(f"{PATH}/break-glass")
@needs(Right.change_people, fresh=True)
def take_break_glass(company_id: str, account_id: str) -> Response:
    """Whether they may use their password although the company's own sign-in is required."""

    def act(db: Transaction, account: Account) -> None:
        named = request.form.get("named") == "yes"
        name_break_glass(db, company_id, account.id, named=named, actor=actor().who, now=parts().clock())

    return _do(company_id, account_id, act, "break_glass")


@bp.post(f"{PATH}/suspend")
@needs(Right.change_people, fresh=True)
def take_suspension(company_id: str, account_id: str) -> Response:
    """Nobody signs in to the account any more; what is open ends within five seconds."""

    def act(db: Transaction, account: Account) -> None:
        _not_oneself(account)
        # Neither is an account that its owner has closed kept by it, nor a suspension by the provider turned into the company's.
        again = account.state == "suspended" and actor().may(Right.change_operations)
        if account.state != "active" and not again:
            raise CompanyRefused("person_not_active")
        name = only_administrator_of(db, account.id, hold=True)
        if name is not None:
            raise CompanyRefused("company_last_administrator")
        reason = " ".join(request.form.get("reason", "").split())[:LONGEST_REASON]
        suspend(db, account, actor=actor().who, now=parts().clock(), reason=reason)

    return _do(company_id, account_id, act, "suspended")


@bp.post(f"{PATH}/reactivate")
@needs(Right.change_people)
def take_reactivation(company_id: str, account_id: str) -> Response:
    """They may sign in again."""

    def act(db: Transaction, account: Account) -> None:
        if account.state != "suspended":
            raise CompanyRefused("person_not_suspended")
        if suspended_by_provider(db, account.id) and not actor().may(Right.change_operations):
            raise CompanyRefused("person_suspended_by_provider")
        reactivate(db, account, actor=actor().who, now=parts().clock())

    return _do(company_id, account_id, act, "reactivated")


@bp.post(f"{PATH}/resend")
@needs(Right.change_people)
def resend(company_id: str, account_id: str) -> Response:
    """The invitation once more; the link of the mail before is over."""

    def act(db: Transaction, account: Account) -> None:
        send_again(db, account.id, host(company_id), company_id=company_id)

    return _do(company_id, account_id, act, "resent")


@bp.post(f"{PATH}/sign-out")
@needs(Right.change_people)
def sign_out(company_id: str, account_id: str) -> Response:
    """End all their sessions, here and at the products."""

    def act(db: Transaction, account: Account) -> None:
        event = audit.Event.person_signed_out_everywhere
        end_everything(db, account.id, event=event, actor=actor().who, now=parts().clock())

    return _do(company_id, account_id, act, "signed_out")


@bp.post(f"{PATH}/seats")
@needs(Right.change_people)
def take_seat(company_id: str, account_id: str) -> Response:
    """A seat in a product, another role there, or none any more."""

    def act(db: Transaction, account: Account) -> None:
        client_id, role = request.form.get("client_id", ""), request.form.get("role", "")
        if parts().clients.find(client_id) is None or role not in (*seats.ROLES, "none"):
            raise CompanyRefused("company_field_wrong", detail="client_id, role")
        now, who = parts().clock(), actor().who
        if role == "none":
            seats.remove_seat(db, account.id, client_id, actor=who, now=now)
        else:
            wanted = next(one for one in seats.ROLES if one == role)
            seats.grant_seat(db, account.id, client_id, wanted, actor=who, now=now)

    return _do(company_id, account_id, act, "seat")


@bp.post(f"{PATH}/remove")
@needs(Right.change_people, fresh=True)
def remove(company_id: str, account_id: str) -> Response:
    """They belong to the company no more; the account stays theirs, signed out."""

    def act(db: Transaction, account: Account) -> None:
        _not_oneself(account)
        remove_member(db, company_id, account.id, actor=actor().who, now=parts().clock())

    refused = _try(company_id, account_id, act)
    if refused is not None:
        return _page(company_id, account_id, refused)
    return go(f"/companies/{company_id}/people")


@bp.post(f"{PATH}/factors")
@needs(Right.change_people, fresh=True)
def ask_for_factors(company_id: str, account_id: str) -> Response:
    """They have lost their second factors: ask that these are taken away. Somebody else has to agree."""

    def act(db: Transaction, account: Account) -> None:
        factor_removal.ask(db, account.id, request.form.get("reason", ""), actor=actor().who, now=parts().clock())

    return _do(company_id, account_id, act, "asked")


@bp.post(f"{PATH}/factors/agree")
@needs(Right.change_people, fresh=True)
def agree_to_factors(company_id: str, account_id: str) -> Response:
    """The second person agrees, and the factors go; or either of them thinks better of it."""
    here = parts()

    def act(db: Transaction, account: Account) -> None:
        if request.form.get("answer") == "no":
            factor_removal.withdraw(db, account.id, actor=actor().who, now=here.clock())
            return
        language = (account.locale or choose_language()).partition("-")[0]
        factor_removal.agree(
            db,
            account.id,
            actor=actor().who,
            language=language,
            sealer=here.sealer,
            now=here.clock(),
            random=here.random,
        )

    return _do(company_id, account_id, act, "withdrawn" if request.form.get("answer") == "no" else "factors")


def _do(company_id: str, account_id: str, act: Act, notice: str) -> Response:
    refused = _try(company_id, account_id, act)
    if refused is not None:
        return _page(company_id, account_id, refused)
    return go(f"/companies/{company_id}/people/{account_id}", notice=notice)


def _try(company_id: str, account_id: str, act: Act) -> IdpError | None:
    """Do something to one of the company's people, whole or not at all; what is refused comes back."""
    here = parts()
    try:
        with here.database.transaction() as db:
            account = db.get(Account, account_id, with_for_update=True)
            member = db.get(Member, account_id)
            if account is None or member is None or member.company_id != company_id:
                abort(404)
            if is_staff(db, account_id) and not actor().may(Right.change_operations):
                raise CompanyRefused("person_of_provider")
            act(db, account)
    except (CompanyRefused, InvitationRefused) as refused:
        return refused
    with suppress(Unavailable):  # the worker brings it to Redis when that is back
        apply_revocations(here.database, here.store, here.clients, here.clock())
    return None


def _not_oneself(account: Account) -> None:
    if account.id == actor().account_id:
        raise CompanyRefused("person_is_oneself")


def _page(company_id: str, account_id: str, refused: IdpError | None = None) -> Response:
    here, now = parts(), parts().clock()
    notice = request.args.get("notice")
    with here.database.reading() as db:
        company, member, account = find_company(db, company_id), db.get(Member, account_id), db.get(Account, account_id)
        if company is None or account is None or member is None or member.company_id != company_id:
            abort(404)
        held = seats.seats_of(db, account_id)
        asked = find_asked(db, account_id, now)
        values = {
            "address": primary_email(account).address,
            "verified": primary_email(account).verified_at is not None,
            "name": full_name(account.profile),
            "role": member.role,
            "break_glass": member.break_glass,
            "standing": standings(db, now=now, among=[account_id])[account_id],
            "ways": [(way.door, _provider(way.door), way.opens) for way in ways_in(db, account_id, here.providers)],
            "factors": held_factors(db, account_id),
            "asked": asked,
            "by_oneself": asked is not None and asked.asked_by == actor().who,
        }
    return admin_page(
        "admin/person.html",
        refused.status if refused is not None else 200,
        place="people",
        company=(company.id, company.name),
        account_id=account_id,
        seats=[
            (client.client_id, client.name, held.get(client.client_id, {}).get("role", "none"))
            for client in here.clients.all().values()
            if client.client_id in held or (client.enabled and "seat" in client.scopes)
        ],
        roles=ROLES,
        oneself=account_id == actor().account_id,
        notice=notice if notice in NOTICES else None,
        problem=refused.reason if refused is not None else None,
        **values,
    )


def _provider(door: str) -> str:
    found = parts().providers.get(door)
    return found.name if found is not None else ""
