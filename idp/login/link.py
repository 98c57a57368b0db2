"""``/login/link``: somebody comes from their company or a social provider, and an account with their address is there
already. Is it theirs?

Proved by what opens the account so far, or by a mail to its address. The link in the mail works for one hour, in the browser
that asked for it and for the very identity that arrived; then whoever sent the person is asked once more. The page for who
comes from a social provider offers every way alike: which of them the account has stands in the mail alone.
"""

from __future__ import annotations

from typing import Any, TypeGuard

from flask import Blueprint, Response, g, request
from sqlalchemy import select
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session as Transaction

from idp import cookies, opened_links, throttle
from idp.accounts.lifecycle import apply_revocations
from idp.accounts.linking import Decision, ProveFirst
from idp.accounts.mailed_links import find_link, make_link, take_link
from idp.attempts import Step
from idp.company_policy import policy_of_company
from idp.errors import PageError
from idp.login.arrival import Arrival, Newcomer, mark_of, read_arrival, read_newcomer, write_newcomer
from idp.login.company_account import Proved, check_stands, decision_about, link_proved
from idp.login.finish import ask_again, finish, lead_newcomer, linking, show_closed
from idp.login.journey import find_pending, provider_name, resume, show
from idp.login.password_check import try_password
from idp.login.pending import Pending
from idp.login.social_account import Closed, link_newcomer, look_at
from idp.mail import queue_mail
from idp.models import Link, MailedLink, Member, Password
from idp.parts import parts
from idp.redirects import go
from idp.redis_store import token_hash
from idp.rendering import choose_language, render_page
from idp.visiting import peer

bp = Blueprint("link", __name__)

PURPOSE = "link"
LIFETIME = 3600  # seconds
PATH = "/login/link/mail"

Comer = Arrival | Newcomer


@bp.get("/login/link")
def ask_for_proof() -> Response:
    """Show how the account can be proved."""
    pending = find_pending(request.args.get("p", ""))
    comer = _comer(pending)
    if comer is None:
        return go("/login", p=pending.handle)
    first = _look(comer)
    return _page(pending, comer, first) if _to_prove(first) else _lead(pending, comer, first)


@bp.post("/login/link")
def take_proof() -> Response:
    """Take the account's password, with the patience of the password door; or go through another door that proves it."""
    pending, comer = _arrived()
    if request.form.get("who") != mark_of(comer):  # in another tab somebody else has come meanwhile
        return go("/login/link", p=pending.handle)
    first = _look(comer)
    if not _to_prove(first):
        return _lead(pending, comer, first)
    door = request.form.get("door", "")
    if isinstance(comer, Newcomer) and door:
        return _through(pending, comer, door)
    if "password" not in first.proofs and isinstance(comer, Arrival):
        return _page(pending, comer, first)
    answer = try_password(_address(comer), request.form.get("password", ""), pending.receipt, signs_in=False)
    if isinstance(answer, int):
        response = _page(pending, comer, first, wait=answer, status=429)
        response.headers["Retry-After"] = str(answer)
        return response
    if answer is None or answer.account_id != first.account_id or "password" not in first.proofs:
        return _page(pending, comer, first, problem="link.password_wrong", status=400)
    _note_linked(pending.receipt, comer, first.account_id)
    proved = Proved(first.account_id, "password")
    if isinstance(comer, Newcomer):
        return finish(pending, comer.identity, kept=pending.keep, proved=proved, who=comer, password=answer)
    return finish(pending, comer.identity, kept=pending.keep, arrival=comer, proved=proved, password=answer)


@bp.post("/login/link/send")
def send_link() -> Response:
    """Send a mail to the account's address: with a link, if reading it is a proof; else, to whom a social provider sends, with
    what is one."""
    here = parts()
    pending, comer = _arrived()
    if request.form.get("who") != mark_of(comer):
        return go("/login/link", p=pending.handle)
    if isinstance(comer, Newcomer):
        wait = throttle.take_proof_mail(here.store, email=comer.address, network=peer(), now=here.clock())
        if wait:
            first = _look(comer)
            return _wait(pending, comer, first, wait) if _to_prove(first) else _lead(pending, comer, first)
    with here.database.transaction() as db:
        first = _decide(db, comer)
        if not _to_prove(first) or ("mail" not in first.proofs and isinstance(comer, Arrival)):
            return go("/login/link", p=pending.handle)
        _queue(db, pending, comer, first)
    return show("login/link_sent.html", pending, email=_address(comer))


@bp.get("/login/link/mail")
def open_link() -> Response:
    """What the mailed link leads to. Opening it changes nothing; the secret moves from the URL into a cookie at once."""
    moved = opened_links.move_secret(PATH, seconds=LIFETIME)
    if moved is not None:
        return moved
    here = parts()
    with here.database.reading() as db:
        comer = _mailed(find_link(db, opened_links.secret(), PURPOSE, here.clock()))
        company = policy_of_company(db, comer.company_id).name if isinstance(comer, Arrival) else None
    provider = provider_name(comer.identity.door) if company is None else None
    return render_page("login/link_confirm.html", company=company, provider=provider, email=_address(comer))


@bp.post("/login/link/mail")
def take_mailed_link() -> Response:
    """Link, and ask the company or the provider once more who is there: an hour-old answer signs nobody in."""
    here = parts()
    try:
        with here.database.transaction() as db:
            mailed = take_link(db, opened_links.secret(), PURPOSE, here.clock())
            comer = _mailed(mailed)
            first = _decide(db, comer)
            if mailed is None or not _to_prove(first) or first.account_id != mailed.account_id:
                raise PageError("link_over")
            if "mail" not in first.proofs:
                raise PageError("link_over")
            closed = _link(db, first.account_id, comer)
            handle = mailed.facts.get("p", "")
    except IntegrityError:  # the identity leads to an account already
        raise PageError("link_over") from None
    pending = resume(handle, email=_address(comer))
    if closed is not None:
        return show_closed(pending, closed.company, _address(comer), by_address=closed.by_address)
    apply_revocations(here.database, here.store, here.clients, here.clock())
    _note_linked(pending.receipt, comer, first.account_id)
    response = _ask_again(pending.handle, comer)
    opened_links.forget(response)
    return response


def _comer(pending: Pending) -> Comer | None:
    if pending.arrival:
        return read_arrival(pending.arrival)
    return read_newcomer(pending.newcomer) if pending.newcomer else None


def _arrived() -> tuple[Pending, Comer]:
    pending = find_pending(request.form.get("p", ""))
    comer = _comer(pending)
    if comer is None:
        raise PageError("pending_unknown")
    return pending, comer


def _look(comer: Comer) -> Decision | Closed:
    with parts().database.transaction() as db:
        return _decide(db, comer)


def _decide(db: Transaction, comer: Comer) -> Decision | Closed:
    """What is to be done about who arrived, as things stand now.

    :raises PageError: see ``check_stands``.
    """
    own_issuer = parts().config.issuer
    if isinstance(comer, Newcomer):
        return look_at(db, comer, own_issuer=own_issuer)
    check_stands(db, comer)
    return decision_about(db, comer, own_issuer=own_issuer)


def _to_prove(decision: Decision | Closed) -> TypeGuard[ProveFirst]:
    return isinstance(decision, ProveFirst) and bool(decision.account_id)


def _lead(pending: Pending, comer: Comer, decision: Decision | Closed) -> Response:
    """There is no account to be proved any more."""
    if isinstance(comer, Newcomer):
        return lead_newcomer(pending, comer, decision)
    return _ask_again(pending.handle, comer)


def _link(db: Transaction, account_id: str, comer: Comer) -> Closed | None:
    if isinstance(comer, Newcomer):
        return link_newcomer(db, account_id, comer, "mail", linking(comer.identity.door))
    link_proved(db, account_id, comer, "mail", parts().clock())
    return None


def _through(pending: Pending, comer: Newcomer, door: str) -> Response:
    """Prove the account by going through another door; see ``finish``."""
    if door == "company":
        find_pending(pending.handle, proving="yes", email=comer.address)
        return go("/login/company", p=pending.handle)
    if door not in parts().providers:
        raise PageError("page_unknown", status=404)
    find_pending(pending.handle, proving="yes")
    return ask_again(pending.handle, door)


def _queue(db: Transaction, pending: Pending, comer: Comer, first: ProveFirst) -> None:
    here = parts()
    secrets, name = {}, "link_elsewhere"
    values: dict[str, Any]
    if "mail" in first.proofs:
        name, browser = "link_account", token_hash(cookies.browser())
        kept = {"newcomer": write_newcomer(comer)} if isinstance(comer, Newcomer) else {"arrival": comer.written()}
        secret = make_link(
            db,
            purpose=PURPOSE,
            account_id=first.account_id,
            facts=kept | {"browser": browser, "receipt": pending.receipt, "p": _handle(pending, comer)},
            lifetime=LIFETIME,
            now=here.clock(),
            random=here.random,
        )
        secrets = {"link": f"{PATH}?t={secret}"}
    if isinstance(comer, Newcomer):
        values = {"company": "", "provider": provider_name(comer.identity.door)} | _ways(db, first.account_id)
    else:
        values = {"company": policy_of_company(db, comer.company_id).name, "provider": ""}
    queue_mail(
        db,
        name=name,
        recipient=_address(comer),
        language=choose_language(pending.ui_locales),
        now=here.clock(),
        sealer=here.sealer,
        secrets=secrets,
        **values,
    )


def _handle(pending: Pending, comer: Comer) -> str:
    # The company's answer is asked for anew, which ends at the person's own pages.
    return pending.handle if isinstance(comer, Newcomer) else ""


def _ways(db: Transaction, account_id: str) -> dict[str, str]:
    """What opens the account, for the mail to its address: words for the template, empty where there is none."""
    doors = set(db.scalars(select(Link.door).where(Link.account_id == account_id)))
    member = db.get(Member, account_id)
    return {
        "password": "yes" if db.get(Password, account_id) is not None else "",
        "employer": policy_of_company(db, member.company_id).name if member is not None else "",
        "providers": ", ".join(sorted(provider_name(door) for door in doors - {"company"})),
    }


def _mailed(mailed: MailedLink | None) -> Comer:
    """Who has asked for a mailed link, if they are at the same browser still.

    A link that somebody else asked for would let them into the account of whoever opens it.
    """
    if mailed is None:
        raise PageError("link_over")
    g.receipt = mailed.facts["receipt"]
    if mailed.facts["browser"] != token_hash(cookies.browser()):
        raise PageError("pending_foreign_browser")
    if "newcomer" in mailed.facts:
        return read_newcomer(mailed.facts["newcomer"])
    return read_arrival(mailed.facts["arrival"])


def _ask_again(handle: str, comer: Comer) -> Response:
    if isinstance(comer, Newcomer):
        return ask_again(handle, comer.identity.door)
    return go("/login/company/start", p=handle, c=comer.session.connection)


def _address(comer: Comer) -> str:
    return comer.address if isinstance(comer, Newcomer) else comer.identity.email or ""


def _note_linked(receipt: str, comer: Comer, account_id: str) -> None:
    connection_id = comer.session.connection if isinstance(comer, Arrival) else None
    door = comer.identity.door
    parts().attempts.step(receipt, Step.linked, door=door, connection_id=connection_id, account_id=account_id)


def _wait(pending: Pending, comer: Comer, first: ProveFirst, wait: int) -> Response:
    parts().attempts.step(pending.receipt, Step.throttled, reason="throttled", wait=wait)
    response = _page(pending, comer, first, wait=wait, status=429)
    response.headers["Retry-After"] = str(wait)
    return response


def _page(pending: Pending, comer: Comer, first: ProveFirst, *, status: int = 200, **values: Any) -> Response:
    problem, wait = values.get("problem"), values.get("wait")
    social = isinstance(comer, Newcomer)
    own = comer.identity.door
    return show(
        "login/link.html",
        pending,
        status,
        email=_address(comer),
        provider=provider_name(own) if social else None,
        own=own,
        who=mark_of(comer),
        by_password=social or "password" in first.proofs,
        by_mail=social or "mail" in first.proofs,
        problem=problem,
        wait=wait,
        receipt=pending.receipt if problem or wait else None,
    )
