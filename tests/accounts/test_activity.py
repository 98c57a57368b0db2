"""Recent activity: what one's own page says of it, and never anything of anybody else."""

from __future__ import annotations

from idp.accounts.activity import TOLD
from idp.attempts import drain
from idp.languages import Languages
from idp.parts import Parts
from tests.journey import Walker, add_carol
from tests.newcomers import text


def told(walker: Walker, parts: Parts) -> str:
    parts.attempts.flush()
    drain(parts.store, parts.database)
    return text(walker.get("/me/activity"))


def test_who_is_not_signed_in_sees_nothing(walker: Walker) -> None:
    assert walker.get("/me/activity").location == "/login"


def test_a_sign_in_stands_there_with_product_and_receipt(walker: Walker, parts: Parts) -> None:
    add_carol(parts)
    walker.code()
    page = told(walker, parts)
    assert "Signed in" in page and "Rendezvous One" in page and "Password" in page
    assert page.count("<code>") == 1


def test_nobody_elses_receipts_stand_there(walker: Walker, parts: Parts) -> None:
    add_carol(parts)
    add_carol(parts, "dave@example.org")
    walker.code()
    dave = Walker(walker.app, parts)
    dave.sign_in(dave.get("/me"), "dave@example.org")
    dave.sign_in(dave.az(prompt="login"), "dave@example.org", "a wrong password")
    assert told(walker, parts).count("<code>") == 1


def test_every_act_has_its_words() -> None:
    languages = Languages()
    assert all(languages.has(f"activity.{name}") for name in (*TOLD, "failed", "other"))
