"""What happens next with an authorization request: one pure function decides, nothing else does.

prompt, max_age, acr, hints and consent live here and nowhere else (OpenID Connect Core 3.1.2.1, 3.1.2.3, 3.1.2.6).
"""

from __future__ import annotations

from dataclasses import dataclass

from idp.accounts.identity import TWO_FACTORS
from idp.accounts.second_factors import prefers_two


@dataclass(frozen=True, slots=True)
class Asked:
    """What the relying party asks of the sign-in, as far as the decision needs it."""

    client_id: str
    scopes: tuple[str, ...]
    prompt: tuple[str, ...] = ()
    max_age: int | None = None  # seconds
    essential_acr: tuple[str, ...] = ()  # acr values of which one must be met (claims.id_token.acr, essential)
    acr_values: tuple[str, ...] = ()  # what it would like, in the order of its preference
    needs_consent: bool = False  # third-party client
    company: str = (
        ""  # the connection whose identity provider may know the person without asking (hinted or remembered)
    )
    provider: str = ""  # the social provider that may: the one by which somebody signed in at this browser last


@dataclass(frozen=True, slots=True)
class Holder:
    """The open session of this browser, as far as the decision needs it."""

    key: str
    proved_at: int  # seconds since 1970; 0: nobody knows when they proved who they are
    acr: str
    consented: tuple[str, ...]  # scopes that the person has allowed this client before
    is_the_hinted: bool  # false if id_token_hint or a requested sub names somebody else
    organizer_since: int = 0  # seconds since 1970, if the relying party is to be told that the person is an organizer


@dataclass(frozen=True, slots=True)
class Progress:
    """How far this very request has come, from its pending login. The empty one: it has just arrived."""

    session: str = ""  # key of the session that was opened for this request
    consent: str = ""  # what the person has answered for this request: allowed, denied, or not asked yet
    fresh: bool = False  # every door was told to ask the person to prove themselves now
    second: bool = False  # whoever is signed in was asked for a second factor, and has none or shows none
    door_asked: bool = False  # a company's identity provider or a social one was asked silently, whatever it said


@dataclass(frozen=True, slots=True)
class AskLogin:
    """``fresh``: the door must have the person prove themselves now, even if the request does not say so."""

    fresh: bool = False


@dataclass(frozen=True, slots=True)
class AskCompany:
    """Ask a company's identity provider without showing anything (IsPassive, SAML 2.0 core 3.4.1)."""

    connection: str


@dataclass(frozen=True, slots=True)
class AskProvider:
    """Ask a social provider without showing anything (its prompt=none)."""

    provider: str


@dataclass(frozen=True, slots=True)
class AskSecondFactor:
    """Ask who is signed in for a second factor."""


@dataclass(frozen=True, slots=True)
class AskConsent:
    scopes: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Issue:
    scopes: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Refuse:
    """``error`` is the OAuth error that the relying party gets, ``reason`` the code in the reasons table."""

    error: str
    reason: str


Step = AskLogin | AskCompany | AskProvider | AskSecondFactor | AskConsent | Issue | Refuse


def next_step(asked: Asked, holder: Holder | None, progress: Progress, now: float) -> Step:
    """Decide the next step of an authorization request at ``now`` (seconds since 1970)."""
    silent = "none" in asked.prompt
    if silent and holder is None and not progress.door_asked:
        if asked.company:
            return AskCompany(asked.company)
        # Silently it does not say when the person proved who they are, so none that must be recent can come of it.
        if asked.provider and asked.max_age is None:
            return AskProvider(asked.provider)
    if holder is not None and _too_old_for_organizer(holder, progress):
        return Refuse("login_required", "login_required") if silent else AskLogin(fresh=True)
    if holder is None or _must_sign_in_anew(asked, holder, progress, now):
        return Refuse("login_required", "login_required") if silent else AskLogin()
    if not holder.is_the_hinted:
        # Somebody else has just signed in than the one whom the relying party named (Core 3.1.2.1, id_token_hint).
        return Refuse("login_required", "other_person_signed_in")
    if _must_show_second(asked, holder) and not silent and not progress.second:
        return AskSecondFactor()
    if asked.essential_acr and holder.acr not in asked.essential_acr:
        return Refuse("unmet_authentication_requirements", "acr_unmet")
    if progress.consent == "denied":
        return Refuse("access_denied", "consent_denied")
    if _must_ask_consent(asked, holder, progress):
        return Refuse("consent_required", "consent_required") if silent else AskConsent(asked.scopes)
    return Issue(asked.scopes)


def _must_sign_in_anew(asked: Asked, holder: Holder, progress: Progress, now: float) -> bool:
    if progress.session and progress.session == holder.key:
        return False  # this session was opened for this request: it is as fresh as can be
    if "login" in asked.prompt or "select_account" in asked.prompt:
        return True
    if asked.max_age is not None and now - holder.proved_at > asked.max_age:
        return True
    if asked.max_age == 0:
        return True
    return not holder.is_the_hinted


def _must_show_second(asked: Asked, holder: Holder) -> bool:
    """Whether the session is weaker than the product wants, and a second factor would mend it. A mere wish (``acr_values``) is asked
    for once, and goes unmet where there is none."""
    if asked.essential_acr:
        return holder.acr not in asked.essential_acr and TWO_FACTORS in asked.essential_acr
    return holder.acr != TWO_FACTORS and prefers_two(asked.acr_values)


def _too_old_for_organizer(holder: Holder, progress: Progress) -> bool:
    """Whoever became an organizer proves once, at a door that asks, that they are the same person.

    Where the door says that the proof is older all the same, asking again would lead nowhere: the relying party gets its answer,
    but is not told that the person is an organizer (``seats.seat_claim``).
    """
    asked_once = progress.fresh and progress.session == holder.key
    return holder.proved_at < holder.organizer_since and not asked_once


def _must_ask_consent(asked: Asked, holder: Holder, progress: Progress) -> bool:
    if progress.consent == "allowed":
        return False
    if "consent" in asked.prompt:
        return True
    return asked.needs_consent and not set(asked.scopes) <= set(holder.consented)
