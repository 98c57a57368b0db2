"""The gate between a door and the session: door × what the account has × who demands × what was shown."""

from __future__ import annotations

import pytest

from idp.accounts.identity import ONE_FACTOR, TWO_FACTORS, Identity
from idp.accounts.second_factors import (
    AskSecond,
    Gate,
    Held,
    MailCode,
    Ready,
    Second,
    SetUpSecond,
    decide_second,
    look_at_factors,
    prefers_two,
)
from idp.accounts.totp import NewTotp
from idp.models import Device
from idp.parts import Parts
from idp.redis_store import token_hash
from tests.factors import add_app, add_codes
from tests.journey import add_carol
from tests.saml_parties import Customer, belong, decide_for


def came_by(door: str, *methods: str, acr: str = ONE_FACTOR) -> Identity:
    return Identity(
        door=door, issuer="https://login.example", subject="1", email=None, email_verified=False, name=None,
        methods=methods, at=0, acr=acr,
    )  # fmt: skip


PASSWORD = came_by("password", "pwd")
SOCIAL = came_by("google")
COMPANY = came_by("company")
STRONG_COMPANY = came_by("company", "otp", "mfa", acr=TWO_FACTORS)
PASSKEY = came_by("passkey", "hwk", "user", "mfa", acr=TWO_FACTORS)

NONE = Held()
APP = Held(totp=True)
KEY = Held(passkey=True)
DEMANDED = Held(demanded=True)
CODE = Second(("otp",))
SHOWN_KEY = Second(("hwk", "user", "mfa"))
NEW = NewTotp("secret", 1)

ONE = Ready(("pwd",), ONE_FACTOR)
BY_CODE = Ready(("pwd", "otp", "mfa"), TWO_FACTORS)


@pytest.mark.parametrize(
    ("identity", "held", "more", "expected"),
    [
        # nobody wants a second one
        (PASSWORD, NONE, {}, ONE),
        (PASSWORD, KEY, {}, ONE),  # a passkey is a door of its own; having one asks for nothing
        (SOCIAL, NONE, {}, Ready((), ONE_FACTOR)),
        # the person does, by having set up an app
        (PASSWORD, APP, {}, AskSecond()),
        (SOCIAL, APP, {}, AskSecond()),
        (PASSWORD, APP, {"shown": CODE}, BY_CODE),
        (PASSWORD, Held(totp=True, passkey=True), {"shown": SHOWN_KEY}, Ready(("pwd", "hwk", "user", "mfa"), TWO_FACTORS)),
        (SOCIAL, APP, {"shown": CODE}, Ready(("otp", "mfa"), TWO_FACTORS)),
        (PASSWORD, Held(totp=True, remembered=True), {}, ONE),
        (COMPANY, APP, {"vouched": True}, Ready((), ONE_FACTOR)),
        (COMPANY, APP, {"vouched": False}, AskSecond()),  # with the account's password as the proof that it is theirs
        # their company does
        (PASSWORD, Held(passkey=True, demanded=True), {}, AskSecond()),
        (PASSWORD, Held(passkey=True, demanded=True, remembered=True), {}, ONE),
        (PASSWORD, DEMANDED, {}, MailCode()),
        (PASSWORD, DEMANDED, {"shown": NEW}, MailCode()),
        (PASSWORD, DEMANDED, {"shown": CODE}, MailCode()),
        (PASSWORD, DEMANDED, {"mailbox": True}, SetUpSecond()),
        (PASSWORD, DEMANDED, {"mailbox": True, "shown": CODE}, SetUpSecond()),
        (PASSWORD, DEMANDED, {"mailbox": True, "shown": NEW}, BY_CODE),
        (PASSWORD, Held(demanded=True, remembered=True), {"mailbox": True}, SetUpSecond()),
        (SOCIAL, DEMANDED, {}, SetUpSecond()),
        (COMPANY, DEMANDED, {"vouched": True}, Ready((), ONE_FACTOR)),
        # a new app is no factor where there is one
        (PASSWORD, APP, {"shown": NEW}, AskSecond()),
        (PASSWORD, Held(passkey=True, demanded=True), {"shown": NEW}, AskSecond()),
        # a product does
        (PASSWORD, NONE, {"wanted": True}, ONE),
        (PASSWORD, KEY, {"wanted": True}, AskSecond()),
        (PASSWORD, Held(totp=True, remembered=True), {"wanted": True}, AskSecond()),
        (COMPANY, APP, {"wanted": True, "vouched": True}, AskSecond()),
        (COMPANY, NONE, {"wanted": True, "vouched": True}, Ready((), ONE_FACTOR)),
        # two are two already
        (PASSKEY, APP, {"wanted": True}, Ready(PASSKEY.methods, TWO_FACTORS)),
        (PASSKEY, DEMANDED, {}, Ready(PASSKEY.methods, TWO_FACTORS)),
        (STRONG_COMPANY, APP, {"wanted": True, "vouched": True}, Ready(("otp", "mfa"), TWO_FACTORS)),
        # the operator wants new browsers asked
        (PASSWORD, Held(known=False, elsewhere=True), {"ask_new_browsers": True}, MailCode()),
        (PASSWORD, Held(known=False, elsewhere=True), {"ask_new_browsers": True, "mailbox": True}, ONE),
        (PASSWORD, Held(known=False, elsewhere=True), {}, ONE),
        (PASSWORD, Held(known=False), {"ask_new_browsers": True}, ONE),  # the first of all
        (PASSWORD, Held(known=True, elsewhere=True), {"ask_new_browsers": True}, ONE),
        (PASSWORD, Held(totp=True, known=False, elsewhere=True), {"ask_new_browsers": True}, AskSecond()),
        (PASSWORD, Held(totp=True, known=False, elsewhere=True), {"ask_new_browsers": True, "shown": CODE}, BY_CODE),
        (SOCIAL, Held(known=False, elsewhere=True), {"ask_new_browsers": True}, Ready((), ONE_FACTOR)),
    ],
)  # fmt: skip
def test_the_table(identity: Identity, held: Held, more: dict[str, object], expected: Gate) -> None:
    assert decide_second(identity, held, **{"wanted": False, **more}) == expected  # type: ignore[arg-type] # keyword table


@pytest.mark.parametrize(
    ("acr_values", "expected"),
    [((), False), (("2",), True), (("1", "2"), False), (("2", "1"), True), (("9", "2"), True), (("9",), False)],
)
def test_what_a_product_prefers(acr_values: tuple[str, ...], expected: bool) -> None:
    assert prefers_two(acr_values) is expected


def test_what_an_account_has_is_read_with_who_demands_and_from_where(parts: Parts, acme: Customer) -> None:
    carol, mallory = add_carol(parts), add_carol(parts, "mallory@example.org")
    now = parts.clock()
    add_app(parts, carol)
    add_codes(parts, carol)
    belong(parts.database, acme, carol, now=now)
    decide_for(parts.database, acme, second_factor_from=int(now) + 10)
    with parts.database.transaction() as db:
        for cookie, until in (("here", int(now) + 60), ("there", None)):
            db.add(
                Device(
                    account_id=carol, secret_hash=token_hash(cookie), label="x", remembered_until=until,
                    first_seen_at=1, last_seen_at=1,
                )
            )  # fmt: skip
    with parts.database.reading() as db:
        here = look_at_factors(db, carol, device="here", now=now)
        later = look_at_factors(db, carol, device="here", now=now + 60)
        there = look_at_factors(db, carol, device="there", now=now)
        nowhere = look_at_factors(db, carol, device=None, now=now)
        nobody = look_at_factors(db, mallory, device="here", now=now + 60)
    assert (here.totp, here.passkey, here.codes) == (True, False, 10)
    assert (here.demanded, later.demanded, nobody.demanded) == (False, True, False)
    assert (here.remembered, later.remembered, there.remembered, nobody.remembered) == (True, False, False, False)
    assert (here.known, there.known, nowhere.known, nobody.known) == (True, True, False, False)
    assert (nowhere.elsewhere, nobody.elsewhere) == (True, False)
    assert not nobody.any
    assert here.mark != nobody.mark
