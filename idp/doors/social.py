"""The social doors: to a provider such as Google, and back.

``/login/social/<key>`` sends the browser off; the answer comes to ``…/return``, an address of its own for each provider. There
it counts once, for the provider and in the browser of the trip that its state names (``social_trips.py``), before anything
else in it is looked at. A provider that posts its answers does so without most of our cookies: what it posted is parked, and
the same browser fetches it by a GET of our own. What a provider says when it refuses is never shown.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from flask import Blueprint, Response, abort, g, request
from sqlalchemy import exists, select
from werkzeug.datastructures import MultiDict
from werkzeug.exceptions import TooManyRequests

from idp import cookies, csrf, throttle
from idp.accounts.fresh_proof import prove_anew
from idp.accounts.identity import Identity, canonical_email
from idp.accounts.linking import whose
from idp.accounts.remembered import remembered
from idp.accounts.visitor import visitor
from idp.attempts import Step
from idp.doors import social_trips
from idp.doors.oauth import authorization_url, redeem
from idp.doors.provider_id_token import check_issuer
from idp.doors.providers import Registered
from idp.doors.social_errors import SocialError, read_error
from idp.doors.social_trips import Purpose, Trip, Used, make_secret
from idp.errors import IdpError, PageError
from idp.login.finish import finish
from idp.login.journey import find_pending, lead_to_provider, show
from idp.login.link_here import link_here
from idp.login.pending import Pending
from idp.models import Link
from idp.parts import parts
from idp.redirects import go, leave
from idp.visiting import peer

bp = Blueprint("social", __name__)

MAX_POSTED = 16 * 1024  # bytes of a posted answer
# What an answer may hold (RFC 6749 4.1.2, RFC 9207; user is Apple's, error_code Facebook's). Everything else is ignored.
_FIELDS = ("state", "code", "iss", "error", "error_description", "user", "error_code")
_OUTCOMES = {
    "unknown": "social_state_unknown",
    "elsewhere": "social_state_elsewhere",
    "foreign": "pending_foreign_browser",
}


# --- there -------------------------------------------------------------------------------------------------------------------


@bp.get("/login/social/<key>", provide_automatic_options=False)
def start_trip(key: str) -> Response:
    """Send the browser to the provider; with ``silent``, or where nobody may be asked anything, so that it shows nothing."""
    registered = _registered(key)
    pending = find_pending(request.args.get("p", ""))
    # Who must prove themselves now does not choose to be asked nothing.
    silent = pending.silent or ("silent" in request.args and not pending.fresh)
    if silent:
        pending = find_pending(pending.handle, asked_silently="yes")  # whatever becomes of it: once
    fresh = pending.fresh and not silent
    trip = _trip(registered, pending.receipt, "login", pending=pending.handle, silent=silent, fresh=fresh)
    if silent and registered.provider.silent is None:
        return _failed(registered, trip, pending, "social_login_required")
    try:
        url, poster = _prepare(registered, trip, hint=_hint(pending.hint), ui_locales=pending.ui_locales)
    except SocialError as error:
        _note(trip, Step.response_refused, error)
        return _failed(registered, trip, pending, error.reason)
    client_id = pending.client_id or None
    parts().attempts.step(trip.receipt, Step.request_sent, client_id=client_id, door=registered.key)
    return _with_poster(leave(url), poster)


@bp.post("/login/social/<key>/link")
def add_way(key: str) -> Response:
    """Send a signed-in person off to add the provider to their ways to sign in. Only a form of ours leads here (LK-01)."""
    registered = _registered(key)
    session = visitor()
    if session is None:
        return go("/login")
    anew = prove_anew(session, "/me")
    if anew is not None:
        return anew
    here = parts()
    wait = throttle.take_addition(here.store, account_id=session.account_id, now=here.clock())
    if wait:
        raise TooManyRequests(retry_after=wait)
    g.receipt = here.attempts.start()
    trip = _trip(registered, g.receipt, "link", session=session.key)
    try:
        url, poster = _prepare(registered, trip, hint="", ui_locales=session.locale or "")
    except SocialError as error:
        _note(trip, Step.response_refused, error)
        raise PageError(error.reason, status=403) from None
    here.attempts.step(trip.receipt, Step.request_sent, door=registered.key, account_id=session.account_id)
    return _with_poster(lead_to_provider(url, registered.name), poster)


def _trip(
    registered: Registered,
    receipt: str,
    purpose: Purpose,
    *,
    pending: str = "",
    session: str = "",
    silent: bool = False,
    fresh: bool = False,
) -> Trip:
    here = parts()
    return Trip(
        provider=registered.key,
        purpose=purpose,
        receipt=receipt,
        nonce=make_secret(here.random),
        verifier=make_secret(here.random),
        sent_at=int(here.clock()),
        pending=pending,
        session=session,
        silent=silent,
        fresh=fresh,
    )


def _prepare(registered: Registered, trip: Trip, *, hint: str, ui_locales: str) -> tuple[str, str]:
    """Note a trip; return where to send the browser, and the cookie that must come along with a posted answer, or ""."""
    here = parts()
    state = make_secret(here.random)
    with _turn(registered):
        url = authorization_url(
            registered,
            here.provider_documents,
            redirect_uri=_redirect_uri(registered),
            state=state,
            nonce=trip.nonce,
            verifier=trip.verifier,
            silent=trip.silent,
            fresh=trip.fresh,
            login_hint=hint,
            ui_locales=ui_locales,
        )
    posts = registered.provider.response_mode == "form_post"
    poster = (cookies.find(cookies.POSTER) or make_secret(here.random)) if posts else ""
    social_trips.remember(here.store, state, trip, browser=cookies.browser(), poster=poster)
    return url, poster


def _with_poster(response: Response, poster: str) -> Response:
    if poster:
        cookies.put(response, cookies.POSTER, poster, max_age=social_trips.LIFETIME)
    return response


def _hint(address: str) -> str:
    try:
        return canonical_email(address)
    except ValueError:
        return ""


def _redirect_uri(registered: Registered) -> str:
    return f"{parts().config.issuer}/login/social/{registered.key}/return"


@contextmanager
def _turn(registered: Registered) -> Iterator[None]:
    """A slow provider keeps only some of our threads waiting.

    :raises SocialError: ``social_busy``.
    """
    with parts().provider_turns.turn(registered.key) as mine:
        if not mine:
            raise SocialError("social_busy")
        yield


# --- and back ----------------------------------------------------------------------------------------------------------------


@bp.route("/login/social/<key>/return", methods=["GET", "POST"], provide_automatic_options=False)
@csrf.exempt
def come_back(key: str) -> Response:
    """Take a provider's answer: by GET, or by the POST of one that posts and then a GET of our own."""
    if request.method == "HEAD":
        abort(405)  # what counts once must be seen
    registered = _registered(key)
    here = parts()
    posts = registered.provider.response_mode == "form_post"
    g.receipt = here.attempts.start()
    if request.method == "POST" and not posts:
        raise PageError("method_not_allowed", status=405)
    if posts and request.method == "GET":
        said = social_trips.fetch(here.store, registered.key, request.args.get("r", ""), here.clock())
        if said is None:
            raise _refused(registered, "unknown")
        return _enter(registered, said)
    if not posts:
        return _enter(registered, _read(request.args))
    request.max_content_length = request.max_form_memory_size = MAX_POSTED
    said = _read(request.form)
    poster = cookies.find(cookies.POSTER) or ""
    trip = social_trips.may_post(
        here.store, said.get("state", ""), provider=registered.key, poster=poster, now=here.clock()
    )
    if not isinstance(trip, Trip):
        raise _refused(registered, trip)
    handle = social_trips.park(here.store, registered.key, said, now=here.clock(), random=here.random)
    return go(f"/login/social/{registered.key}/return", r=handle)


def _read(given: MultiDict[str, str]) -> dict[str, str]:
    """The fields of an answer; ``repeated`` names one that is given twice. A state given twice is none."""
    said = {}
    for name in _FIELDS:
        values = given.getlist(name)
        if len(values) == 1:
            said[name] = values[0]
        elif values and name != "state":
            said["repeated"] = name
    if "error" not in said and re.fullmatch(r"[0-9]{1,6}", said.get("error_code", "")):
        said["error"] = f"graph_{said['error_code']}"
    return said


def _refused(registered: Registered, outcome: str) -> Exception:
    """An answer to no trip of this browser to this provider: rubbish, which must wait when there is much of it."""
    here = parts()
    wait = throttle.take_social(here.store, provider="", network=peer(), now=here.clock())
    if wait:
        return TooManyRequests(retry_after=wait)
    error = PageError(_OUTCOMES[outcome])
    here.attempts.step(g.receipt, Step.response_refused, reason=error.reason, door=registered.key)
    return error


def _used(registered: Registered, trip: Trip) -> Response:
    """An answer that this browser has brought already: the Back button, a second tab. It does nothing, and the doors stand open."""
    g.receipt = trip.receipt
    reason = "social_state_unknown"
    parts().attempts.step(trip.receipt, Step.response_refused, reason=reason, door=registered.key)
    try:
        pending = find_pending(trip.pending)
    except PageError:
        raise PageError(reason) from None
    return _failed(registered, trip, pending, reason)


def _enter(registered: Registered, said: Mapping[str, str]) -> Response:
    here = parts()
    trip = social_trips.take(
        here.store, said.get("state", ""), provider=registered.key, browser=cookies.browser(), now=here.clock()
    )
    if isinstance(trip, Used):
        return _used(registered, trip.trip)
    if not isinstance(trip, Trip):
        raise _refused(registered, trip)
    g.receipt = trip.receipt
    if trip.purpose == "link":
        return _link(registered, trip, said)
    pending = find_pending(trip.pending)
    here.attempts.step(trip.receipt, Step.response_received, door=registered.key)
    try:
        identity = _identify(registered, trip, said)
    except SocialError as error:
        _note(trip, Step.response_refused, error, received=_error_code(said))
        return _failed(registered, trip, pending, error.reason)
    throttle.give_social_back(here.store, provider=registered.key, network=peer(), now=here.clock())
    here.attempts.step(trip.receipt, Step.social_identified, door=registered.key)
    if trip.silent and not _is_linked(identity):  # whom we do not know is asked, and so comes by a click
        return _failed(registered, trip, pending, "social_login_required")
    # Who is remembered here was not asked again whether to be kept signed in.
    kept = pending.keep or (identity.email is not None and remembered() == identity.email)
    try:
        return finish(pending, identity, kept=kept)
    except IdpError as error:
        if error.status >= 500 or error.reason.startswith("pending_"):
            raise
        with here.database.reading() as db:
            account_id = whose(db, identity, address_proved=False)
        _note(trip, Step.account_decision, error, account_id=account_id)
        return _failed(registered, trip, pending, error.reason)


def _link(registered: Registered, trip: Trip, said: Mapping[str, str]) -> Response:
    """Add who was named to the account of the very session that asked for it (LK-01)."""
    here = parts()
    here.attempts.step(trip.receipt, Step.response_received, door=registered.key)
    try:
        session = visitor()
        if session is None or session.key != trip.session:
            raise PageError("social_link_session", status=403)
        identity = _identify(registered, trip, said)
        throttle.give_social_back(here.store, provider=registered.key, network=peer(), now=here.clock())
        here.attempts.step(trip.receipt, Step.social_identified, door=registered.key, account_id=session.account_id)
        return link_here(session, identity)
    except SocialError as error:
        _note(trip, Step.response_refused, error, received=_error_code(said))
        if error.reason == "social_cancelled":
            return go("/me")
        raise PageError(error.reason, status=403) from None


def _identify(registered: Registered, trip: Trip, said: Mapping[str, str]) -> Identity:
    here = parts()
    if "repeated" in said:
        raise SocialError("social_parameter_repeated", detail=said["repeated"])
    if "error" in said:
        # Another provider's word for it is worth as little as another's code (RFC 9207 section 2.4).
        check_issuer(registered.provider, said.get("iss"), may_be_absent=True)
        raise SocialError(read_error(said["error"], said.get("error_description", "")))
    if "code" not in said:
        raise SocialError("social_answer_wrong", detail="neither code nor error")
    wait = throttle.take_social(here.store, provider=registered.key, network=peer(), now=here.clock())
    if wait:  # each costs calls to the provider
        raise SocialError("social_busy", detail=f"too many answers that name nobody: {wait} s")
    with _turn(registered):
        return redeem(
            registered,
            here.provider_documents,
            code=said["code"],
            iss=said.get("iss"),
            redirect_uri=_redirect_uri(registered),
            nonce=trip.nonce,
            verifier=trip.verifier,
            sent_at=trip.sent_at,
            fresh=trip.fresh,
            user_field=said.get("user", ""),
            now=here.clock(),
        )


def _is_linked(identity: Identity) -> bool:
    with parts().database.reading() as db:
        linked = exists().where(Link.issuer == identity.issuer, Link.subject == identity.subject)
        return bool(db.scalar(select(linked)))


def _error_code(said: Mapping[str, str]) -> str:
    """The provider's own code, for the receipt; what does not look like one could be anything."""
    code = said.get("error", "")
    return code if re.fullmatch(r"[a-z][a-z0-9_]{2,39}", code) else ""


def _note(trip: Trip, step: Step, error: IdpError, *, received: str = "", account_id: str = "") -> None:
    # A silent trip that leads nowhere is ordinary: the person is asked then.
    outcome = "open" if trip.silent else None
    told = (("detail", error.detail), ("received", received), ("account_id", account_id))
    facts = {name: value for name, value in told if value}
    parts().attempts.step(trip.receipt, step, reason=error.reason, outcome=outcome, door=trip.provider, **facts)


def _failed(registered: Registered, trip: Trip, pending: Pending, reason: str) -> Response:
    """To the page that says why: one that can be read again, in another language and after the Back button. After a silent
    trip without a word: to the product, which is told that somebody has to sign in, or to the ordinary page."""
    if pending.silent:
        return go("/authorize/resume", p=pending.handle)
    if trip.silent:
        return go("/login", p=pending.handle)
    find_pending(pending.handle, failed=f"social:{registered.key} {reason}")
    return go(f"/login/social/{registered.key}/failed", p=pending.handle)


@bp.get("/login/social/<key>/failed")
def say_why_social(key: str) -> Response:
    """Why it did not work, and the other doors."""
    registered = _registered(key)
    pending = find_pending(request.args.get("p", ""))
    door, _, reason = pending.failed.partition(" ")
    if door != f"social:{registered.key}":
        return go("/login", p=pending.handle, other="yes")
    cancelled = reason == "social_cancelled"
    return show(
        "login/social_failed.html",
        pending,
        200 if cancelled else 403,
        reason=reason,
        receipt=pending.receipt,
        key=registered.key,
        name=registered.name,
        cancelled=cancelled,
    )


def _registered(key: str) -> Registered:
    registered = parts().providers.get(key)
    if registered is None:
        abort(404)
    return registered
