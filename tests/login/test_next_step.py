"""The decision table of a sign-in: prompt × max_age × hint × acr × consent × progress."""

from __future__ import annotations

import pytest

from idp.login.next_step import (
    AskCompany,
    AskConsent,
    Asked,
    AskLogin,
    AskProvider,
    AskSecondFactor,
    Holder,
    Issue,
    Progress,
    Refuse,
    Step,
    next_step,
)

NOW = 1_000_000.0
SCOPES = ("openid", "email")

ISSUE = Issue(SCOPES)
LOGIN = AskLogin()
CONSENT = AskConsent(SCOPES)
SECOND = AskSecondFactor()


def asked(**changes: object) -> Asked:
    return Asked(**{"client_id": "C1", "scopes": SCOPES, **changes})  # type: ignore[arg-type] # keyword table


def holder(**changes: object) -> Holder:
    facts = {"key": "k", "proved_at": int(NOW) - 100, "acr": "1", "consented": (), "is_the_hinted": True, **changes}
    return Holder(**facts)  # type: ignore[arg-type] # keyword table


FRESH = Progress(session="k")  # the session was opened for this very request
ALLOWED = Progress(session="k", consent="allowed")
DENIED = Progress(session="k", consent="denied")


@pytest.mark.parametrize(
    ("request_", "session", "progress", "expected"),
    [
        # nobody is signed in
        (asked(), None, Progress(), LOGIN),
        (asked(prompt=("none",)), None, Progress(), Refuse("login_required", "login_required")),
        # a company may know who it is, without asking: once, and only where nothing may be shown
        (asked(prompt=("none",), company="c"), None, Progress(), AskCompany("c")),
        (asked(prompt=("none",), company="c"), None, Progress(door_asked=True), Refuse("login_required", "login_required")),
        (asked(prompt=("none",), company="c"), holder(), Progress(door_asked=True, session="k"), ISSUE),
        (asked(prompt=("none",), company="c"), holder(is_the_hinted=False), Progress(door_asked=True, session="k"),
            Refuse("login_required", "other_person_signed_in")),
        (asked(prompt=("none",), company="c"), holder(), Progress(), ISSUE),
        (asked(prompt=("none",), company="c", max_age=99), holder(), Progress(), Refuse("login_required", "login_required")),
        (asked(company="c"), None, Progress(), LOGIN),
        # so may a social provider: once, after the company, and never where the sign-in must be recent
        (asked(prompt=("none",), provider="google"), None, Progress(), AskProvider("google")),
        (asked(prompt=("none",), provider="google", company="c"), None, Progress(), AskCompany("c")),
        (asked(prompt=("none",), provider="google", company="c"), None, Progress(door_asked=True),
            Refuse("login_required", "login_required")),
        (asked(prompt=("none",), provider="google"), None, Progress(door_asked=True),
            Refuse("login_required", "login_required")),
        (asked(prompt=("none",), provider="google"), holder(), Progress(), ISSUE),
        (asked(prompt=("none",), provider="google"), holder(), Progress(door_asked=True, session="k"), ISSUE),
        (asked(prompt=("none",), provider="google"), holder(is_the_hinted=False), Progress(door_asked=True, session="k"),
            Refuse("login_required", "other_person_signed_in")),
        (asked(prompt=("none",), provider="google", max_age=99), None, Progress(), Refuse("login_required", "login_required")),
        (asked(prompt=("none",), provider="google", max_age=0), None, Progress(), Refuse("login_required", "login_required")),
        (asked(prompt=("none",), provider="google", max_age=99), holder(), Progress(), Refuse("login_required", "login_required")),
        (asked(provider="google"), None, Progress(), LOGIN),
        # somebody is
        (asked(), holder(), Progress(), ISSUE),
        (asked(prompt=("none",)), holder(), Progress(), ISSUE),
        # whoever became an organizer signs in anew before the product hears of it: once, at a door that asks, then no more
        (asked(), holder(organizer_since=int(NOW) - 50), Progress(), AskLogin(fresh=True)),
        (asked(), holder(organizer_since=int(NOW) - 50), FRESH, AskLogin(fresh=True)),
        (asked(), holder(organizer_since=int(NOW) - 50), Progress(session="other", fresh=True), AskLogin(fresh=True)),
        (asked(), holder(organizer_since=int(NOW) - 50), Progress(session="k", fresh=True), ISSUE),
        (asked(), holder(organizer_since=int(NOW) - 100), Progress(), ISSUE),
        (asked(prompt=("none",)), holder(organizer_since=int(NOW) - 50), Progress(), Refuse("login_required", "login_required")),
        (asked(prompt=("none",), provider="google"), holder(organizer_since=int(NOW) - 50),
            Progress(door_asked=True, session="k"), Refuse("login_required", "login_required")),
        # prompt=login and select_account want a sign-in for this request, and no other session will do
        (asked(prompt=("login",)), holder(), Progress(), LOGIN),
        (asked(prompt=("login",)), holder(), Progress(session="other"), LOGIN),
        (asked(prompt=("login",)), holder(proved_at=int(NOW)), Progress(), LOGIN),
        (asked(prompt=("login",)), holder(), FRESH, ISSUE),
        (asked(prompt=("select_account",)), holder(), Progress(), LOGIN),
        (asked(prompt=("select_account",)), holder(), FRESH, ISSUE),
        # max_age
        (asked(max_age=100), holder(), Progress(), ISSUE),
        (asked(max_age=99), holder(), Progress(), LOGIN),
        (asked(max_age=99), holder(proved_at=int(NOW)), FRESH, ISSUE),
        (asked(max_age=0), holder(proved_at=int(NOW)), Progress(), LOGIN),
        # a provider has said who it is, and nobody knows when they proved it
        (asked(), holder(proved_at=0), Progress(), ISSUE),
        (asked(max_age=10**5), holder(proved_at=0), Progress(), LOGIN),
        (asked(max_age=10**5, prompt=("none",)), holder(proved_at=0), Progress(), Refuse("login_required", "login_required")),
        (asked(max_age=99), holder(proved_at=0), FRESH, ISSUE),
        (asked(), holder(proved_at=0, organizer_since=1), Progress(), AskLogin(fresh=True)),
        (asked(prompt=("none",)), holder(proved_at=0, organizer_since=1), FRESH, Refuse("login_required", "login_required")),
        (asked(max_age=0), holder(proved_at=int(NOW) - 5), FRESH, ISSUE),
        (asked(max_age=99, prompt=("none",)), holder(), Progress(), Refuse("login_required", "login_required")),
        # a hint for somebody else
        (asked(), holder(is_the_hinted=False), Progress(), LOGIN),
        (asked(prompt=("none",)), holder(is_the_hinted=False), Progress(), Refuse("login_required", "login_required")),
        (asked(), holder(is_the_hinted=False), FRESH, Refuse("login_required", "other_person_signed_in")),
        # an essential acr that was not reached
        (asked(essential_acr=("3",)), holder(), Progress(), Refuse("unmet_authentication_requirements", "acr_unmet")),
        (asked(essential_acr=("1", "2")), holder(), Progress(), ISSUE),
        (asked(essential_acr=("1",)), holder(acr="2"), Progress(), Refuse("unmet_authentication_requirements", "acr_unmet")),
        # one that a second factor would reach: it is asked for, once, and never silently
        (asked(essential_acr=("2",)), holder(), Progress(), SECOND),
        (asked(essential_acr=("2", "3")), holder(), FRESH, SECOND),
        (asked(essential_acr=("2",)), holder(acr="2"), Progress(), ISSUE),
        (asked(essential_acr=("2",)), holder(), Progress(second=True),
            Refuse("unmet_authentication_requirements", "acr_unmet")),
        (asked(essential_acr=("2",), prompt=("none",)), holder(), Progress(),
            Refuse("unmet_authentication_requirements", "acr_unmet")),
        (asked(essential_acr=("2",), max_age=99), holder(), Progress(), LOGIN),
        (asked(essential_acr=("2",), prompt=("login",)), holder(), Progress(), LOGIN),
        (asked(essential_acr=("2",)), holder(is_the_hinted=False), FRESH, Refuse("login_required", "other_person_signed_in")),
        # a mere wish is asked for once, and goes unmet without harm
        (asked(acr_values=("2",)), holder(), Progress(), SECOND),
        (asked(acr_values=("2", "1")), holder(), Progress(), SECOND),
        (asked(acr_values=("9", "2")), holder(), Progress(), SECOND),
        (asked(acr_values=("1", "2")), holder(), Progress(), ISSUE),
        (asked(acr_values=("9",)), holder(), Progress(), ISSUE),
        (asked(acr_values=("2",)), holder(acr="2"), Progress(), ISSUE),
        (asked(acr_values=("2",)), holder(), Progress(second=True), ISSUE),
        (asked(acr_values=("2",), prompt=("none",)), holder(), Progress(), ISSUE),
        (asked(acr_values=("2",), essential_acr=("1",)), holder(), Progress(), ISSUE),
        (asked(acr_values=("2",), needs_consent=True), holder(), Progress(), SECOND),
        # consent
        (asked(needs_consent=True), holder(), Progress(), CONSENT),
        (asked(needs_consent=True), holder(consented=("openid",)), Progress(), CONSENT),
        (asked(needs_consent=True), holder(consented=("email", "openid", "phone")), Progress(), ISSUE),
        (asked(needs_consent=True, prompt=("none",)), holder(), Progress(), Refuse("consent_required", "consent_required")),
        (asked(needs_consent=True), holder(), ALLOWED, ISSUE),
        (asked(needs_consent=True), holder(), DENIED, Refuse("access_denied", "consent_denied")),
        (asked(prompt=("consent",)), holder(consented=SCOPES), Progress(), CONSENT),
        (asked(prompt=("consent",)), holder(consented=SCOPES), ALLOWED, ISSUE),
        (asked(prompt=("login", "consent")), holder(), Progress(), LOGIN),
        (asked(prompt=("login", "consent")), holder(), FRESH, CONSENT),
    ],
)  # fmt: skip
def test_the_table(request_: Asked, session: Holder | None, progress: Progress, expected: Step) -> None:
    assert next_step(request_, session, progress, NOW) == expected
