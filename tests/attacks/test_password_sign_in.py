"""attacks.md section 6, and I9 and RC-05 as far as they meet the standard door: nobody learns who has an account here."""

from __future__ import annotations

import dataclasses
import re
import unicodedata
from collections.abc import Iterator

import pytest
from flask import Flask

from idp.accounts.lifecycle import suspend
from idp.app import create_app
from idp.models import Account
from idp.parts import Parts
from idp.redis_store import token_hash
from tests.attacks.counted_work import CountingHasher, Work, counted, looked_at
from tests.conftest import Clock
from tests.forgetful import ask
from tests.guests import invited
from tests.journey import PASSWORD, Walker, add_carol
from tests.newcomers import mailed

# Everybody who may knock, with addresses of one length, so that pages may be compared byte by byte.
KNOCKING = {
    "carol@example.org": "has a password",
    "wrong@example.org": "is suspended",
    "nopwd@example.org": "has no password",
    "nobdy@example.org": "has no account",
}


@pytest.fixture
def hasher() -> CountingHasher:
    return CountingHasher()


@pytest.fixture
def counting(parts: Parts, hasher: CountingHasher) -> Parts:
    return dataclasses.replace(parts, hasher=hasher)


@pytest.fixture
def everybody(counting: Parts) -> Iterator[Flask]:
    """A provider at which all of KNOCKING stand."""
    add_carol(counting)
    add_carol(counting, "nopwd@example.org", None)
    suspended = add_carol(counting, "wrong@example.org")
    with counting.database.transaction() as db:
        suspend(db, db.get_one(Account, suspended), actor="operator:test", now=counting.clock())
    counting.attempts.close()
    return create_app(counting)


@pytest.mark.parametrize("password", ["not the password", "", "x" * 1024], ids=["wrong", "empty", "longest"])
def test_i9_every_address_gets_the_same_answer_for_the_same_work(
    everybody: Flask, counting: Parts, hasher: CountingHasher, password: str
) -> None:
    """RC-05 for the pages that there are: wrong doors, unknown people and known ones cannot be told apart."""
    seen: dict[str, object] = {}
    work: dict[str, tuple[Work, int]] = {}
    for number, email in enumerate(KNOCKING):
        visitor = Walker(everybody, counting, address=f"192.0.{number}.7")
        start = visitor.follow(visitor.az())
        hashed = hasher.hashed
        with counted(counting) as done:
            first = visitor.submit(start, "/login", username=email)
            page = visitor.follow(first)
            answer = visitor.submit(page, "/login/password", username=email, password=password)
        work[email] = done, hasher.hashed - hashed
        assert answer.status_code == 400
        seen[email] = looked_at(first, email), looked_at(page, email), looked_at(answer, email)
    for email in KNOCKING:
        assert seen[email] == seen["carol@example.org"], email
        assert work[email] == work["carol@example.org"], email
    assert work["carol@example.org"][1] == 1


def test_i9_the_right_password_of_a_suspended_account_looks_like_a_wrong_one(
    everybody: Flask, counting: Parts, hasher: CountingHasher
) -> None:
    answers = []
    for password in (PASSWORD, "not the password"):
        visitor = Walker(everybody, counting)
        hashed = hasher.hashed
        email = "wrong@example.org"
        answers.append(looked_at(visitor.sign_in(visitor.follow(visitor.az()), email, password), email))
        assert hasher.hashed - hashed == 1
        assert "session" not in visitor_cookies(visitor)
    assert answers[0] == answers[1]


def test_i9_whoever_waits_waits_alike(everybody: Flask, counting: Parts) -> None:
    """Throttling tells nothing either: it counts addresses that nobody has as well."""
    tries: dict[str, tuple[int, object]] = {}
    for number, email in enumerate(KNOCKING):
        visitor = Walker(everybody, counting, address=f"203.0.{number}.7")
        page = visitor.follow(visitor.submit(visitor.follow(visitor.az()), "/login", username=email))
        looked = 0
        while (answer := visitor.submit(page, "/login/password", username=email, password="no")).status_code == 400:
            looked += 1
        assert answer.status_code == 429
        tries[email] = looked, looked_at(answer, email)
        assert tries[email] == tries["carol@example.org"]


def test_pw_05_a_megabyte_of_password_is_refused_before_it_is_hashed(
    everybody: Flask, counting: Parts, hasher: CountingHasher
) -> None:
    for email in ("carol@example.org", "nobdy@example.org"):
        visitor = Walker(everybody, counting)
        hashed = hasher.hashed
        for size, status in ((1_000_000, 413), (1025, 400)):
            answer = visitor.sign_in(visitor.follow(visitor.az()), email, "x" * size)
            assert answer.status_code == status
            assert 'id="error-page"' in answer.get_data(as_text=True)
        assert hasher.hashed == hashed


def test_pw_05_every_character_of_a_password_counts_on_the_page_too(counting: Parts) -> None:
    long = "p" * 72 + "\0ä" + "q" * 54
    add_carol(counting, password=long)
    app = create_app(counting)
    for wrong in (long[:72], long[:73], long[:-1], long + "q", long.replace("\0", ""), long.upper()):
        visitor = Walker(app, counting)
        assert visitor.sign_in(visitor.follow(visitor.az()), password=wrong).status_code == 400
    visitor = Walker(app, counting)
    assert "code" in visitor.answer_of(visitor.sign_in(visitor.follow(visitor.az()), password=long))


@pytest.mark.parametrize("path", ["/reset", "/verify", "/invite"])
def test_pw_05_a_password_that_is_chosen_is_taken_to_its_last_character(
    counting: Parts, hasher: CountingHasher, path: str
) -> None:
    """Too long: refused before it is hashed. As it was composed when it was chosen, or otherwise: the same."""
    walker = Walker(create_app(counting), counting)
    if path == "/reset":
        add_carol(counting)
        ask(walker)
    elif path == "/verify":
        walker.submit(walker.follow(walker.get("/sign-up")), "/sign-up", username="carol@example.org")
    else:
        invited(counting)
    mail = {"/reset": "reset_password", "/verify": "verify_address", "/invite": "invitation"}[path]
    page = walker.follow(walker.get(mailed(counting, mail)))
    hashed = hasher.hashed
    for size, status in ((1_000_000, 413), (1025, 400)):
        answer = walker.submit(page, path, password="x1-" * (size // 3) + "y" * (size % 3), name="Carol", terms="yes")
        assert answer.status_code == status
    assert hasher.hashed == hashed
    chosen = unicodedata.normalize("NFD", "Ångström\0 Café " * 6)  # more than 72 bytes
    done = walker.follow(walker.submit(page, path, password=chosen, name="Carol", terms="yes"))
    assert done.status_code == 200
    app = create_app(counting)
    for typed, status in ((chosen[:72], 400), (chosen[:-2], 400), (unicodedata.normalize("NFC", chosen), 303)):
        visitor = Walker(app, counting)
        assert visitor.sign_in(visitor.follow(visitor.az()), password=typed).status_code == status


# --- PW-15: cookies -----------------------------------------------------------------------------------------------------


def visitor_cookies(walker: Walker) -> dict[str, str]:
    """Our cookies in this browser, without their prefix."""
    jar = walker.browser._cookies or {}
    return {cookie.key.removeprefix("__Host-idp_"): cookie.value for cookie in jar.values()}


def test_pw_15_every_cookie_of_a_whole_sign_in_is_flagged(walker: Walker, parts: Parts) -> None:
    add_carol(parts)
    answers = [walker.az()]
    while answers[-1].status_code == 303 and answers[-1].location.startswith("/"):
        answers.append(walker.get(answers[-1].location))
    answers.append(walker.submit(answers[-1], "/login", username="carol@example.org"))
    answers.append(walker.get(answers[-1].location))
    answers.append(
        walker.submit(answers[-1], "/login/password", username="carol@example.org", password=PASSWORD, keep="yes")
    )
    answers.append(walker.get("/language?to=fr&back=/me"))
    answers.append(walker.submit(walker.get("/me"), "/me/sign-out"))
    lines = [line for answer in answers for line in answer.headers.getlist("Set-Cookie")]
    names = {line.partition("=")[0] for line in lines}
    assert names == {f"__Host-idp_{kind}" for kind in ("browser", "session", "device", "language", "account")}
    for line in lines:
        flags = {flag.strip() for flag in line.split(";")[1:]}
        assert {"Secure", "HttpOnly", "SameSite=Lax", "Path=/"} <= flags
        assert not [flag for flag in flags if flag.lower().startswith("domain")]


def test_pw_15_a_cookie_that_was_meddled_with_is_nobodys(walker: Walker, parts: Parts, app: Flask) -> None:
    add_carol(parts)
    walker.code()
    cookie = visitor_cookies(walker)["session"]
    bobs = Walker(app, parts)
    add_carol(parts, "bob@example.net")
    bobs.sign_in(bobs.follow(bobs.az()), email="bob@example.net")
    other = visitor_cookies(bobs)["session"]
    meddled = [
        cookie[:-1],
        cookie + "A",
        cookie[:-1] + ("A" if cookie[-1] != "A" else "B"),
        cookie.swapcase(),
        cookie[:20] + other[20:],
        token_hash(cookie),  # what stands in Redis opens nothing
        cookie + "%00",
        f'"{cookie}"',
        "é" * 43,
        "\xff" * 43,
        "x" * 8000,
        "",
        "*",
        "../" + cookie,
    ]
    assert Walker(app, parts).get("/me", headers={"Cookie": f"__Host-idp_session={cookie}"}).status_code == 200
    for value in meddled:
        for path, status in (("/me", 303), (walker.authorization_url(prompt="none"), 303)):
            stranger = Walker(app, parts)
            answer = stranger.get(path, headers={"Cookie": f"__Host-idp_session={value}"})
            assert answer.status_code == status, value
            assert answer.location == "/login" or stranger.answer_of(answer)["error"] == "login_required", value
    # Nor does it help under a name that another host or plain http could have set.
    for name in ("idp_session", "__Secure-idp_session", "__host-idp_session"):
        assert Walker(app, parts).get("/me", headers={"Cookie": f"{name}={cookie}"}).location == "/login"
    assert walker.get("/me").status_code == 200


@pytest.mark.parametrize("value", ["", "A", "A" * 43, "é" * 43, "\xff", "x" * 8000, "*", '"', "%00", "a.b.c", "{}"])
def test_pw_15_no_cookie_that_was_made_up_breaks_a_page_or_opens_one(
    walker: Walker, parts: Parts, app: Flask, value: str
) -> None:
    add_carol(parts)
    walker.sign_in(walker.follow(walker.az()), keep="yes")
    names = [*visitor_cookies(walker), "language", "mailed_link"]
    assert {"browser", "session", "device", "account"} <= set(names)
    for name in names:
        for path in ("/login", "/me", "/sign-up", "/forgot", "/reset", walker.authorization_url(prompt="none")):
            stranger = Walker(app, parts)
            answer = stranger.get(path, headers={"Cookie": f"__Host-idp_{name}={value}"})
            assert answer.status_code < 500, (name, path)
            assert "code=" not in (answer.location or ""), (name, path)
            assert "carol@example.org" not in answer.get_data(as_text=True), (name, path)
            assert path != "/me" or answer.location == "/login", (name, path)


def test_pw_15_a_session_that_was_planted_before_is_not_the_one_after(walker: Walker, parts: Parts) -> None:
    add_carol(parts)
    planted = "A" * 43
    walker.browser.set_cookie("__Host-idp_session", planted, domain="login.example", secure=True)
    walker.sign_in(walker.follow(walker.az()))
    first = visitor_cookies(walker)["session"]
    walker.sign_in(walker.az(prompt="login"))
    second = visitor_cookies(walker)["session"]
    assert len({planted, first, second}) == 3
    for dead in (planted, first):
        answer = Walker(walker.app, parts).get("/me", headers={"Cookie": f"__Host-idp_session={dead}"})
        assert answer.location == "/login"


# --- PW-18 and DS-14 ----------------------------------------------------------------------------------------------------


def test_pw_18_nothing_hinders_a_password_manager(walker: Walker) -> None:
    page = walker.follow(walker.submit(walker.follow(walker.az()), "/login", username="carol@example.org"))
    (field,) = re.findall(r"<input[^>]*type=\"password\"[^>]*>", page.get_data(as_text=True))
    assert 'autocomplete="current-password"' in field
    assert not re.search(r"maxlength|onpaste|readonly|pattern", field)


def test_ds_14_no_way_of_writing_things_earns_another_try(everybody: Flask, counting: Parts, clock: Clock) -> None:
    """Case, tags, spaces and letters of the address; X-Forwarded-For; HTTP/1.0: all of them one bucket."""
    spellings = [
        "carol@example.org",
        "CAROL@EXAMPLE.ORG",
        " carol@example.org ",
        "carol+a@example.org",
        "carol+b@Example.org",
        "carol@ｅxample.org",
        "Carol@example.org",
    ]
    visitor = Walker(everybody, counting)
    start = visitor.follow(visitor.az())
    page = visitor.follow(visitor.submit(start, "/login", username="carol@example.org"))
    fields = dict(re.findall(r'<input type="hidden" name="(\w+)" value="([^"]*)"', page.get_data(as_text=True)))
    statuses = []
    for number in range(24):
        answer = visitor.open(
            "POST",
            "/login/password",
            data={**fields, "username": spellings[number % len(spellings)], "password": "not the password"},
            headers={"X-Forwarded-For": f"10.0.0.{number}, 10.1.0.{number}", "X-Real-IP": f"10.2.0.{number}"},
            environ_overrides={"SERVER_PROTOCOL": "HTTP/1.0" if number % 2 else "HTTP/1.1"},
        )
        statuses.append(answer.status_code)
    assert statuses == [400] * 10 + [429] * 14
