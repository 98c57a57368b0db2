"""Passkeys under attack: what a browser, a page in between or another person could send instead of the honest answer."""

from __future__ import annotations

import json
import re
import threading
from collections.abc import Callable
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from sqlalchemy import select

from idp.accounts.identity import TWO_FACTORS, Identity
from idp.accounts.lifecycle import wipe_unproven
from idp.accounts.linking import find_linked
from idp.accounts.passkeys import LIFETIME, MOST
from idp.cookies import BROWSER, SESSION, cookie_name
from idp.models import Account, AuditEvent, Passkey
from idp.parts import Parts
from tests.conftest import Clock
from tests.fakes.authenticator import BS, UP, UV, Authenticator, Key, b64
from tests.journey import Walker, add_carol, claims_of
from tests.newcomers import is_signed_in, mailed, mails, text, unverify
from tests.passkey_walker import add, options_in, passkeys, reason_of, sign_in, signed_in_with
from tests.people import access_is_alive, give, open_for, refresh_is_alive
from tests.saml_parties import Customer, belong, decide_for


@pytest.fixture
def device() -> Authenticator:
    return Authenticator()


@pytest.fixture
def carols(walker: Walker, parts: Parts, device: Authenticator) -> Walker:
    """Carol's browser: she is signed in, and has a passkey in ``device``."""
    add_carol(parts)
    return signed_in_with(walker, device)


def stranger(walker: Walker) -> Walker:
    return Walker(walker.app, walker.parts, address="198.51.100.9")


FORGERIES: dict[str, tuple[dict[str, Any], str]] = {
    "another origin": ({"client_data": {"origin": "https://login.example.evil.example"}}, "passkey_wrong"),
    "the same name without TLS": ({"client_data": {"origin": "http://login.example"}}, "passkey_wrong"),
    "another port": ({"client_data": {"origin": "https://login.example:8443"}}, "passkey_wrong"),
    "a name below ours": ({"client_data": {"origin": "https://evil.login.example"}}, "passkey_wrong"),
    "within another site's frame": ({"client_data": {"crossOrigin": True}}, "passkey_unreadable"),
    "a ceremony of another kind": ({"client_data": {"type": "webauthn.create"}}, "passkey_wrong"),
    "another RP ID": ({"rp_id": "evil.example"}, "passkey_wrong"),
    "the RP ID above ours": ({"rp_id": "example"}, "passkey_wrong"),
    "nobody was there": ({"flags": UV}, "passkey_wrong"),
    "nobody was recognized": ({"flags": UP}, "passkey_wrong"),
    "copied, though it cannot be": ({"flags": UP | UV | BS}, "passkey_wrong"),
    "another key": ({"private": ec.generate_private_key(ec.SECP256R1())}, "passkey_wrong"),
    "no user handle": ({"user_handle": b""}, "passkey_wrong"),
    "another person's user handle": ({"user_handle": b"A" * 22}, "passkey_wrong"),
    "another challenge": ({"client_data": {"challenge": b64(bytes(52))}}, "passkey_over"),
    "an empty challenge": ({"client_data": {"challenge": ""}}, "passkey_over"),
    "a challenge that is no text": ({"client_data": {"challenge": ["x"]}}, "passkey_unreadable"),
}


@pytest.mark.parametrize("name", FORGERIES)
def test_a_forged_assertion_signs_nobody_in(carols: Walker, parts: Parts, device: Authenticator, name: str) -> None:
    odd, reason = FORGERIES[name]
    mallory = stranger(carols)
    answer = sign_in(mallory, device, **odd)
    assert (answer.status_code, reason_of(answer, parts)[0]) == (400, reason)
    assert not is_signed_in(mallory)
    assert passkeys(parts)[0].last_used_at is None
    # The honest one still works from the page that said so.
    assert sign_in(mallory, device, answer).location == "/me"


def _changed(answer: str, change: Callable[[dict[str, Any]], object]) -> str:
    read = json.loads(answer)
    change(read)
    return json.dumps(read)


MALFORMED: dict[str, Callable[[str], str]] = {
    "nothing": lambda answer: "",
    "no JSON": lambda answer: "{",
    "a list": lambda answer: "[]",
    "a number": lambda answer: "1e400",
    "very deep": lambda answer: "[" * 15_000,
    "too long": lambda answer: answer + " " * 20_000,
    "no response": lambda answer: _changed(answer, lambda read: read.pop("response")),
    "a response that is a list": lambda answer: _changed(answer, lambda read: read.update(response=[])),
    "an id that is another": lambda answer: _changed(answer, lambda read: read.update(id="AAAA")),
    "an id in another spelling": lambda answer: _changed(answer, lambda read: read.update(id=f"{read['id']}=")),
    "another type": lambda answer: _changed(answer, lambda read: read.update(type="password")),
    "a signature that is a number": lambda answer: _changed(answer, lambda read: read["response"].update(signature=1)),
    "an empty signature": lambda answer: _changed(answer, lambda read: read["response"].update(signature="")),
    "no authenticator data": lambda answer: _changed(
        answer, lambda read: read["response"].update(authenticatorData="")
    ),
    "half the authenticator data": lambda answer: _changed(
        answer, lambda read: read["response"].update(authenticatorData=read["response"]["authenticatorData"][:40])
    ),
    "client data that is none": lambda answer: _changed(
        answer, lambda read: read["response"].update(clientDataJSON=b64(b"\xff\xfe"))
    ),
    "half a character": lambda answer: answer.replace("public-key", "\\ud800"),
}


@pytest.mark.parametrize("name", MALFORMED)
def test_a_malformed_answer_is_refused_and_is_no_accident(
    carols: Walker, parts: Parts, device: Authenticator, name: str
) -> None:
    mallory = stranger(carols)
    page = mallory.follow(mallory.get("/me"))
    answer = mallory.submit(page, "/login/passkey", answer=MALFORMED[name](device.show(options_in(page))))
    assert answer.status_code == 400
    assert reason_of(answer, parts)[0] in ("passkey_unreadable", "passkey_wrong", "passkey_unknown")
    assert not is_signed_in(mallory)


def test_an_answer_counts_once(carols: Walker, parts: Parts) -> None:
    copied = Authenticator(synced=True)  # which does not count, so that only the challenge can tell
    add(carols, copied)
    mallory = stranger(carols)
    page = mallory.follow(mallory.az())
    answer = copied.show(options_in(page))
    first = mallory.submit(page, "/login/passkey", answer=answer)
    assert first.status_code == 303
    again = mallory.submit(page, "/login/passkey", answer=answer)
    assert reason_of(again, parts)[0] == "passkey_over"


def test_one_answer_twenty_times_at_once_is_one_sign_in(carols: Walker, parts: Parts) -> None:
    copied = Authenticator(synced=True)
    add(carols, copied)
    mallory = stranger(carols)
    page = mallory.follow(mallory.az())
    answer = copied.show(options_in(page))
    statuses: list[int] = []
    cookie = mallory.browser.get_cookie(cookie_name(BROWSER, secure=True), domain="login.example")
    assert cookie is not None

    def send() -> None:
        one = stranger(carols)
        one.browser.set_cookie(cookie.key, cookie.value, domain="login.example", secure=True)
        statuses.append(one.submit(page, "/login/passkey", answer=answer).status_code)

    threads = [threading.Thread(target=send) for _ in range(20)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(statuses) == [303] + [400] * 19


def test_a_stolen_answer_is_for_its_sign_in_alone(carols: Walker, parts: Parts, device: Authenticator) -> None:
    """A page in between lets Carol answer the challenge of Mallory's sign-in, or Mallory sends hers in his own."""
    mallory = stranger(carols)
    page_of_carol = carols.follow(carols.get("/login?again=/me/passkeys"))
    answer = device.show(options_in(page_of_carol))
    stolen = mallory.submit(mallory.follow(mallory.get("/me")), "/login/passkey", answer=answer)
    assert reason_of(stolen, parts)[0] == "passkey_over" and not is_signed_in(mallory)
    # And it still is Carol's to use.
    assert carols.submit(page_of_carol, "/login/passkey", answer=answer).location == "/me/passkeys"


def test_a_challenge_ends(carols: Walker, parts: Parts, device: Authenticator, clock: Clock) -> None:
    mallory = stranger(carols)
    page = mallory.follow(mallory.get("/me"))
    answer = device.show(options_in(page))
    clock.advance(LIFETIME)
    assert 'id="error-page"' in text(mallory.submit(page, "/login/passkey", answer=answer))  # the sign-in is over too
    assert not is_signed_in(mallory)
    mine = stranger(carols)
    mine.sign_in(mine.get("/me"))
    page = mine.get("/me/passkeys")
    made = Authenticator().make(options_in(page))
    clock.advance(LIFETIME)
    refused = mine.submit(page, "/me/passkeys", answer=made)
    assert reason_of(refused, parts)[0] == "passkey_over"
    assert len(passkeys(parts)) == 1


def test_the_challenge_for_one_purpose_is_none_for_another(carols: Walker, parts: Parts, device: Authenticator) -> None:
    """To add a passkey and to sign in are two: nobody is led to sign in by what they were asked for elsewhere."""
    making = options_in(carols.get("/me/passkeys"))
    other = stranger(carols)
    page = other.follow(other.get("/me"))
    asked = json.loads(options_in(page)) | {"challenge": json.loads(making)["challenge"]}
    refused = other.submit(page, "/login/passkey", answer=device.show(json.dumps(asked)))
    assert reason_of(refused, parts)[0] == "passkey_over"
    made = json.loads(making) | {"challenge": json.loads(options_in(page))["challenge"]}
    refused = carols.submit(carols.get("/me/passkeys"), "/me/passkeys", answer=Authenticator().make(json.dumps(made)))
    assert reason_of(refused, parts)[0] == "passkey_over" and len(passkeys(parts)) == 1


def test_a_passkey_of_somebody_else_opens_their_account_and_no_other(
    carols: Walker, parts: Parts, device: Authenticator
) -> None:
    mallory_id = add_carol(parts, "mallory@example.org", name="Mallory")
    his = Authenticator()
    mallory = stranger(carols)
    mallory.sign_in(mallory.get("/me"), email="mallory@example.org")
    add(mallory, his)
    # Carol's user handle with his own key, and his credential under her name.
    for odd in ({"user_handle": device.keys[0].user_handle}, {"private": device.keys[0].private}):
        refused = sign_in(stranger(carols), his, **odd)
        assert reason_of(refused, parts)[0] == "passkey_wrong"
    with parts.database.reading() as db:
        assert {one.account_id for one in db.scalars(select(Passkey))} >= {mallory_id}


def test_a_counter_that_does_not_go_up_is_a_copy(carols: Walker, parts: Parts, device: Authenticator) -> None:
    assert sign_in(stranger(carols), device, count=5).location == "/me"
    for count in (5, 4, 1, 0):
        mallory = stranger(carols)
        refused = sign_in(mallory, device, count=count)
        assert reason_of(refused, parts)[0] == "passkey_copied", count
        assert not is_signed_in(mallory)
    assert passkeys(parts)[0].sign_count == 5
    assert sign_in(stranger(carols), device, count=6).location == "/me"


def test_two_copies_at_once_are_one_sign_in(carols: Walker, parts: Parts, device: Authenticator) -> None:
    walkers = [stranger(carols) for _ in range(8)]
    pages = [one.follow(one.get("/me")) for one in walkers]
    answers = [device.show(options_in(page), count=7) for page in pages]
    statuses: list[int] = []

    def send(place: int) -> None:
        response = walkers[place].submit(pages[place], "/login/passkey", answer=answers[place])
        statuses.append(response.status_code)

    threads = [threading.Thread(target=send, args=(place,)) for place in range(len(walkers))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(statuses) == [303] + [400] * 7


REGISTRATIONS: dict[str, dict[str, Any]] = {
    "another origin": {"client_data": {"origin": "https://evil.example"}},
    "another RP ID": {"rp_id": "evil.example"},
    "a ceremony of another kind": {"client_data": {"type": "webauthn.get"}},
    "nobody was there": {"flags": UV},
    "nobody was recognized": {"flags": UP},
    "copied, though it cannot be": {"flags": UP | UV | BS},
    "an attestation that was not asked for": {"fmt": "tpm", "statement": {"ver": "2.0", "alg": -7, "sig": b"x", "x5c": [b"x"]}},
    "certificates that were not asked for": {"fmt": "packed", "statement": {"alg": -7, "sig": b"x", "x5c": [b"x"]}},
    "a self attestation that is none": {"fmt": "packed", "statement": {"alg": -7, "sig": b"x"}},
    "none with a statement": {"fmt": "none", "statement": {"sig": b"x"}},
    "a weak algorithm": {"cose": {3: -65535}},
    "a point that is on no curve": {"cose": {-2: b"\x01" * 32}},
    "an unknown curve": {"cose": {-1: 99}},
    "an unknown kind of key": {"cose": {1: 99}},
}  # fmt: skip


@pytest.mark.parametrize("name", REGISTRATIONS)
def test_a_forged_registration_adds_nothing(carols: Walker, parts: Parts, name: str) -> None:
    refused = add(carols, Authenticator(), **REGISTRATIONS[name])
    assert (refused.status_code, reason_of(refused, parts)[0]) == (400, "passkey_wrong")
    assert len(passkeys(parts)) == 1


def test_a_passkey_is_nobody_elses_to_add(carols: Walker, parts: Parts, device: Authenticator) -> None:
    """Mallory saves Carol's credential id as his own: then hers would be looked up in his account."""
    add_carol(parts, "mallory@example.org", name="Mallory")
    mallory = stranger(carols)
    mallory.sign_in(mallory.get("/me"), email="mallory@example.org")
    his = Key(device.keys[0].id, ec.generate_private_key(ec.SECP256R1()), b"x")
    refused = add(mallory, Authenticator(), key=his)
    assert reason_of(refused, parts)[0] == "passkey_known"
    assert sign_in(stranger(carols), device).location == "/me"


def test_an_account_has_no_end_of_passkeys(carols: Walker, parts: Parts, clock: Clock) -> None:
    for _ in range(MOST - 1):
        clock.advance(400)  # each costs a try
        carols = signed_in_with(stranger(carols), Authenticator())
    clock.advance(400)
    refused = add(carols, Authenticator())
    assert reason_of(refused, parts)[0] == "passkey_too_many" and len(passkeys(parts)) == MOST


def test_passkeys_are_added_slowly(carols: Walker, parts: Parts) -> None:
    statuses = [add(carols, Authenticator(), flags=UP).status_code for _ in range(12)]
    assert statuses[0] == 400 and statuses[-1] == 429
    assert len([one for one in mails(parts) if one[0] == "factor_added"]) == 1


def test_showing_passkeys_is_slowed_down_and_success_costs_nothing(
    carols: Walker, parts: Parts, device: Authenticator
) -> None:
    mallory = stranger(carols)
    page = mallory.follow(mallory.get("/me"))
    statuses = [mallory.submit(page, "/login/passkey", answer="{}").status_code for _ in range(61)]
    assert statuses == [400] * 60 + [429]
    assert sign_in(carols, device, carols.get("/login?again=/me/passkeys")).location == "/me/passkeys"  # from elsewhere


def test_a_form_of_another_site_adds_nothing(carols: Walker, parts: Parts) -> None:
    page = carols.get("/me/passkeys")
    made = Authenticator().make(options_in(page))
    sent = carols.open("POST", "/me/passkeys", data={"answer": made, "name": "x"})
    assert sent.status_code == 400 and len(passkeys(parts)) == 1


def test_names_are_words(carols: Walker, parts: Parts) -> None:
    hostile = "<script>alert(1)</script>\r\nBcc: x@evil.example\u202e\u0000" + "W" * 300
    add(carols, Authenticator(), hostile)
    name = passkeys(parts)[1].name
    assert len(name) <= 80 and name.isprintable()
    assert "<script>alert" not in text(carols.get("/me/passkeys"))


def test_rc_10_a_passkey_of_whoever_made_the_account_opens_it_no_more(
    carols: Walker, parts: Parts, device: Authenticator
) -> None:
    """Mallory made the account with Carol's address and added a passkey; Carol proves the address by a forgotten password."""
    with parts.database.reading() as db:
        carol = db.scalars(select(Account.id)).one()
    unverify(parts, carol)
    with parts.database.transaction() as db:
        wipe_unproven(db, carol, "carol@example.org", now=parts.clock())
    assert passkeys(parts) == []
    assert reason_of(sign_in(stranger(carols), device), parts)[0] == "passkey_unknown"


def test_a_passkey_that_is_taken_out_meanwhile_opens_nothing(
    carols: Walker, parts: Parts, device: Authenticator
) -> None:
    """Between the check of the answer and the session it is gone: the sign-in looks once more while it holds the account."""
    [passkey] = passkeys(parts)
    identity = Identity(
        door="passkey", issuer=parts.config.issuer, subject=passkey.account_id, email=None, email_verified=False,
        name=None, methods=("hwk", "user", "mfa"), at=int(parts.clock()), acr=TWO_FACTORS, passkey=passkey.credential_id,
    )  # fmt: skip
    with parts.database.transaction() as db:
        assert find_linked(db, identity, own_issuer=parts.config.issuer) is not None
        db.delete(db.get_one(Passkey, passkey.id))
        db.flush()
        assert find_linked(db, identity, own_issuer=parts.config.issuer) is None  # although there is a password


def test_a_suspended_person_has_no_passkey_either(carols: Walker, parts: Parts, device: Authenticator) -> None:
    with parts.database.transaction() as db:
        db.scalars(select(Account)).one().state = "suspended"
    other = stranger(carols)
    refused = sign_in(other, device)
    assert refused.status_code == 403 and not is_signed_in(other)
    assert reason_of(refused, parts)[0] == "account_suspended"


def test_a_company_that_requires_its_own_door_closes_passkeys(
    walker: Walker, parts: Parts, acme: Customer, device: Authenticator
) -> None:
    alice = add_carol(parts, "alice@acme.example", name="Alice")
    by_hand(parts, walker, alice, device)
    decide_for(parts.database, acme, sso="required")
    other = stranger(walker)
    refused = sign_in(other, device, other.get("/me"))
    assert refused.status_code == 403 and 'id="company-id-link"' in text(refused)
    assert reason_of(refused, parts)[0] == "company_sso_required" and not is_signed_in(other)
    # It opens again with the company's other doors.
    decide_for(parts.database, acme, sso="optional", doors=["password"])
    assert sign_in(stranger(walker), device).location == "/me"
    belong(parts.database, acme, alice, now=parts.clock())
    decide_for(parts.database, acme, sso="optional", doors=["social"])
    assert reason_of(sign_in(stranger(walker), device), parts)[0] == "company_sso_required"


def by_hand(parts: Parts, walker: Walker, account_id: str, device: Authenticator) -> None:
    """Let somebody who is signed in add a passkey."""
    _, cookie = open_for(parts, account_id)
    walker.browser.set_cookie(cookie_name(SESSION, secure=True), cookie, domain="login.example", secure=True)
    add(walker, device)


def test_this_was_not_me_takes_the_passkey_back_and_signs_everybody_out(
    carols: Walker, parts: Parts, device: Authenticator
) -> None:
    with parts.database.reading() as db:
        carol = db.scalars(select(Account.id)).one()
    session, _ = open_for(parts, carol, door="password")
    issued, offline = give(parts, session), give(parts, session, offline=True)
    mailbox = stranger(carols)
    path = mailed(parts, "factor_added")
    for _ in range(3):  # a scanner opens it, and HEAD too
        stranger(carols).follow(stranger(carols).get(path))
        stranger(carols).open("HEAD", path)
    assert len(passkeys(parts)) == 1
    page = mailbox.follow(mailbox.get(path))
    assert 'id="disowned-page"' in text(page) and "t=" not in page.request.url
    done = mailbox.submit(page, "/me/factors/not-me")
    assert done.status_code == 200 and passkeys(parts) == []
    assert not is_signed_in(carols)
    assert not access_is_alive(parts, issued) and not refresh_is_alive(parts, offline)
    with parts.database.reading() as db:
        events = db.scalars(select(AuditEvent.event)).all()
    assert {"person.factor_added", "person.factor_removed", "person.disowned_factor"} <= set(events)
    again = stranger(carols)
    over = again.follow(again.get(path))
    assert over.status_code == 400 or 'id="error-page"' in text(over)


def test_pw_11_a_passkey_is_two_factors_and_a_password_is_one(
    carols: Walker, parts: Parts, device: Authenticator
) -> None:
    wish = json.dumps({"id_token": {"acr": {"essential": True, "value": "2"}}})
    other = stranger(carols)
    answer = other.follow(sign_in(other, device, other.az(claims=wish)))
    claims = claims_of(other.tk(other.answer_of(answer)["code"]).get_json()["id_token"])
    assert claims["acr"] == "2" and "mfa" in claims["amr"]


def test_the_pages_do_not_tell_who_has_a_passkey(carols: Walker, parts: Parts) -> None:
    def page_for(address: str) -> str:
        other = stranger(carols)
        page = other.follow(other.submit(other.follow(other.get("/me")), "/login", username=address))
        return re.sub(r'value="[^"]*"|data-passkey="[^"]*"|p(=|%3D)[\w-]+', "", text(page))

    assert page_for("carol@example.org") == page_for("nobody@example.org")
