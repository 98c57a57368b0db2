"""The operators' pages: what is shown, what is done and kept in the audit, and who is refused."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from sqlalchemy import func, select

from idp.admin.reason_charts import DAYS, HEIGHT, draw
from idp.admin.staff import set_staff, staff
from idp.attempts import DAY, Step, drain
from idp.client_record import hash_secret
from idp.companies import create_company
from idp.config import Config
from idp.connections import keep_document
from idp.keys import read_ring
from idp.models import Attempt, AuditEvent, Company, OutboxMail, ReasonDay
from idp.parts import Parts
from tests import canaries
from tests.administrator import SECRET, Administrator, add_company, add_person
from tests.conftest import Clock

At = Callable[[str], Administrator]

SHOWN = ("", "/companies", "/clients", "/clients/admin-center", "/keys", "/mail", "/reasons", "/staff")
DONE = (
    ("/operator/companies/new", {"name": "Globex"}),
    ("/operator/mail/retry", {"mail": "all"}),
    ("/operator/staff/new", {"email": "ada@acme.example", "role": "operator"}),
    ("/operator/staff/change", {"account": "0" * 32, "role": "none"}),
)


@pytest.fixture
def olga(parts: Parts, administrator: At) -> Administrator:
    """An operator who has just signed in."""
    add_person(parts, "olga@example.org", staff="operator")
    browser = administrator("olga@example.org")
    assert 'id="operator-page"' in browser.sign_in("/operator").get_data(as_text=True)
    return browser


def text(browser: Administrator, path: str) -> str:
    page = browser.get(path)
    assert page.status_code == 200
    return page.get_data(as_text=True)


def events(parts: Parts, name: str) -> list[AuditEvent]:
    with parts.database.reading() as db:
        return list(db.scalars(select(AuditEvent).where(AuditEvent.event == name)))


# --- who may ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("company", "role", "of_ours"), [("Acme", "administrator", ""), ("Acme", "read_only", ""), ("", "", "support")]
)
def test_whoever_is_no_operator_sees_and_does_nothing_here(
    parts: Parts, administrator: At, company: str, role: str, of_ours: str
) -> None:
    of = add_company(parts, company) if company else None
    ada = add_person(parts, "ada@acme.example", company=of, role=role or "member")
    browser = administrator("ada@acme.example")
    csrf = browser.token(browser.sign_in())
    if of_ours:
        with parts.database.transaction() as db:
            set_staff(db, ada, of_ours, actor="operator:test", now=parts.clock())
    assert {browser.open("GET", "/operator" + path).status_code for path in SHOWN} == {403}
    for path, fields in DONE:
        assert browser.open("POST", path, data={"csrf": csrf, **fields}).status_code == 403
    with parts.database.reading() as db:
        assert [one.role for one in staff(db)] == ([of_ours] if of_ours else [])


def test_an_operator_who_only_reads_changes_nothing(parts: Parts, administrator: At) -> None:
    company = add_company(parts)
    add_person(parts, "rita@example.org", staff="operator_read_only")
    browser = administrator("rita@example.org")
    csrf = browser.token(browser.sign_in())
    for path in SHOWN:
        assert browser.get("/operator" + path).status_code == 200
    for path, fields in (*DONE, (f"/operator/companies/{company}/remove", {"name": "Acme", "why": "x"})):
        assert browser.open("POST", path, data={"csrf": csrf, **fields}).status_code == 403
    for path in ("/companies", "/mail", "/staff"):
        assert "/operator/staff/" not in text(browser, "/operator" + path)
        assert "/remove" not in text(browser, "/operator" + path)
        assert "/operator/companies/new" not in text(browser, "/operator" + path)


def test_risky_acts_ask_for_a_fresh_sign_in(parts: Parts, olga: Administrator, clock: Clock) -> None:
    company = add_company(parts)
    csrf = olga.token(olga.get("/operator"))
    clock.advance(16 * 60)
    for path in (f"/operator/companies/{company}/remove", "/operator/staff/new", "/operator/staff/change"):
        answer = olga.open("POST", path, data={"csrf": csrf, "name": "Acme", "why": "x"})
        assert answer.status_code == 403
        assert 'id="prove-anew-page"' in answer.get_data(as_text=True)
    with parts.database.reading() as db:
        assert db.get(Company, company) is not None


# --- at a glance -----------------------------------------------------------------------------------------------------


def test_a_quiet_provider_needs_nothing(olga: Administrator) -> None:
    assert "Nothing needs attention" in text(olga, "/operator")


def test_mail_that_is_stuck_and_a_wrong_file_need_attention(
    parts: Parts, olga: Administrator, config: Config, clock: Clock
) -> None:
    add_mail(parts, "given_up", "550 no")
    assert config.clients is not None
    config.clients.write_text("clients: 7\n", encoding="utf-8")
    shown = poll(olga, "/operator", "The file of the products is wrong")
    assert "could not be delivered: 1" in shown
    assert f"{config.clients}:1</code>" in text(olga, "/operator/clients")


def test_a_change_of_metadata_that_waits_needs_attention(parts: Parts, olga: Administrator, clock: Clock) -> None:
    from tests.fakes.company_idp import CompanyIdp
    from tests.saml_parties import add_customer

    customer = add_customer(parts.database, parts.connections, CompanyIdp(), now=clock(), random=parts.random)
    assert "waits for a person" not in text(olga, "/operator")
    with parts.database.transaction() as db:
        keep_document(db, customer.connection.id, "<x/>", source="url", state="kept_aside", changes={}, now=clock())
    assert "A change of its metadata waits for a person" in text(olga, "/operator")


def test_a_certificate_that_ends_soon_needs_attention(parts: Parts, olga: Administrator, clock: Clock) -> None:
    from tests.fakes.company_idp import CompanyIdp
    from tests.saml_parties import add_customer

    add_customer(parts.database, parts.connections, CompanyIdp(), now=clock(), random=parts.random)
    with parts.database.reading() as db:
        from idp.models import ConnectionCertificate

        ends = db.scalar(select(func.max(ConnectionCertificate.not_after)))
    assert ends is not None
    # The guard reads the clock too: only the certificate moves.
    with parts.database.transaction() as db:
        for one in db.scalars(select(ConnectionCertificate)):
            one.not_after = int(clock()) + 5 * 86400
    assert "Its certificate ends on" in text(olga, "/operator")
    with parts.database.transaction() as db:
        for one in db.scalars(select(ConnectionCertificate)):
            one.not_after = int(clock()) - 1
    assert "nobody can sign in there" in text(olga, "/operator")


# --- companies -------------------------------------------------------------------------------------------------------


def test_companies_are_found_by_name_and_word_and_nothing_of_it_is_in_an_address(
    parts: Parts, olga: Administrator
) -> None:
    for name in ("Acme", "Globex Widgets", "Étoile"):
        add_company(parts, name)
    page = olga.get("/operator/companies")
    for wanted, name in (("wid", "Globex Widgets"), ("ACM", "Acme"), ("etoi", "Étoile")):
        found = olga.submit(page, "/operator/companies", wanted=wanted)
        assert found.request.query_string == b""
        names = found.get_data(as_text=True).partition('id="companies"')[2].partition("</ul>")[0]
        assert name in names
        assert names.count("<li>") == 1
    assert "No company is found" in olga.submit(page, "/operator/companies", wanted="%").get_data(as_text=True)


def test_companies_come_page_by_page_each_once(parts: Parts, olga: Administrator) -> None:
    with parts.database.transaction() as db:
        for number in range(120):
            create_company(db, f"Firm {number:03}", actor="operator:test", now=parts.clock(), random=parts.random)
    page, seen = olga.get("/operator/companies"), []
    while True:
        html = page.get_data(as_text=True)
        seen += [one.partition("<")[0] for one in html.split('">Firm ')[1:]]
        if 'id="to-next"' not in html:
            break
        after = html.partition('name="after" value="')[2].partition('"')[0].replace("&#34;", '"')
        page = olga.open(
            "POST", "/operator/companies", data={"csrf": olga.token(page), "wanted": "firm" * 0, "after": after}
        )
    assert seen == [f"{number:03}" for number in range(120)]
    wrong = olga.open("POST", "/operator/companies", data={"csrf": olga.token(page), "after": "[1, 2"})
    assert wrong.status_code == 400


def test_a_company_is_added_and_one_without_a_name_is_not(parts: Parts, olga: Administrator) -> None:
    page = olga.submit(olga.get("/operator/companies"), "/operator/companies/new", name="Globex")
    assert "<h1>Globex</h1>" in page.get_data(as_text=True)
    (event,) = events(parts, "company.created")
    assert event.actor.startswith("person:")
    refused = olga.submit(olga.get("/operator/companies"), "/operator/companies/new", name="  ")
    assert refused.status_code == 400
    assert 'id="problem"' in refused.get_data(as_text=True)
    assert len(events(parts, "company.created")) == 1


def test_a_company_goes_only_by_its_typed_name_and_with_a_reason(parts: Parts, olga: Administrator) -> None:
    company = add_company(parts)
    path = f"/operator/companies/{company}/remove"
    asked = olga.get(path)
    for typed, why in (("Acne", "they left"), ("Acme", " "), ("", "")):
        refused = olga.submit(asked, path, name=typed, why=why)
        assert refused.status_code == 400
        assert 'id="problem"' in refused.get_data(as_text=True)
    gone = olga.submit(asked, path, name="Acme", why="they left")
    assert "The company is gone" in gone.get_data(as_text=True)
    (event,) = events(parts, "company.removed")
    assert event.facts["why"] == "they left"
    assert olga.open("GET", f"/companies/{company}").status_code == 404
    assert olga.open("GET", path).status_code == 404


# --- products, keys --------------------------------------------------------------------------------------------------


def test_products_are_shown_and_their_secrets_never(parts: Parts, olga: Administrator, config: Config) -> None:
    assert config.clients is not None
    hashed = hash_secret(SECRET)
    assert hashed in config.clients.read_text(encoding="utf-8")
    shown = text(olga, "/operator/clients")
    assert str(config.clients) in shown
    for client_id, client in parts.clients.all().items():
        assert f"<code>{client_id}</code>" in shown
        one = text(olga, f"/operator/clients/{client_id}")
        assert f"Secrets that count now: {len(client.secrets)}" in one
        shown += one
    for client in parts.clients.all().values():
        for secret in client.secrets:
            assert secret.hash.removeprefix("sha256:") not in shown
    assert SECRET not in shown
    assert hashed.removeprefix("sha256:") not in shown
    canaries.show(shown, "the operators' pages about products")
    line = config.clients.read_text(encoding="utf-8").splitlines().index("  admin-center:") + 1
    assert f"line {line}" in text(olga, "/operator/clients/admin-center")
    assert olga.open("GET", "/operator/clients/nobody").status_code == 404


def test_keys_are_shown_with_what_comes_next_and_without_anything_private(
    parts: Parts, olga: Administrator, config: Config
) -> None:
    shown = text(olga, "/operator/keys")
    for record in read_ring(config.keys):
        assert record.kid in shown
        assert record.jwk.get("n", record.jwk.get("x", "")) not in shown
    assert "PRIVATE" not in shown
    assert "may sign from" in shown


def test_a_key_that_was_public_for_long_enough_may_sign_and_the_command_is_named(
    parts: Parts, olga: Administrator, config: Config, clock: Clock
) -> None:
    clock.advance(config.jwks_max_age + 60)
    assert "idp keys rotate --alg RS256" in text_after_sign_in(olga, "/operator/keys")


# --- mail ------------------------------------------------------------------------------------------------------------


def add_mail(parts: Parts, state: str, answer: str, recipient: str = "carol.danvers@example.org") -> int:
    now = int(parts.clock())
    with parts.database.transaction() as db:
        mail = OutboxMail(
            name="test", recipient=recipient, language="en", values={}, state=state, tries=8, created_at=now,
            next_try_at=now, last_answer=answer,
        )  # fmt: skip
        db.add(mail)
        db.flush()
        return mail.id


def test_mail_that_failed_is_shown_masked_and_sent_again(parts: Parts, olga: Administrator) -> None:
    first = add_mail(parts, "given_up", "450 <carol.danvers@example.org>: try later")
    second = add_mail(parts, "bounced", "550 no such user")
    add_mail(parts, "sent", "250 ok")
    page = olga.get("/operator/mail")
    shown = page.get_data(as_text=True)
    assert "carol.danvers" not in shown
    assert "c•••s@example.org" in shown
    assert "550 no such user" in shown
    assert "250 ok" not in shown
    one = olga.open("POST", "/operator/mail/retry", data={"csrf": olga.token(page), "mail": str(first)})
    assert "on their way again: 1" in olga.follow(one).get_data(as_text=True)
    both = olga.open("POST", "/operator/mail/retry", data={"csrf": olga.token(page), "mail": "all"})
    assert "on their way again: 1" in olga.follow(both).get_data(as_text=True)
    with parts.database.reading() as db:
        states = dict(db.execute(select(OutboxMail.state, func.count()).group_by(OutboxMail.state)).all())
    assert states == {"waiting": 2, "sent": 1}
    assert [event.facts["mail"] for event in events(parts, "mail.retried")] == [first, second]


@pytest.mark.parametrize("mail", ["", "-1", "1 OR 1=1", "٣", "9" * 30])
def test_ad_10_a_number_that_is_none_sends_nothing_again(parts: Parts, olga: Administrator, mail: str) -> None:
    add_mail(parts, "given_up", "no")
    csrf = olga.token(olga.get("/operator/mail"))
    assert olga.open("POST", "/operator/mail/retry", data={"csrf": csrf, "mail": mail}).status_code == 400
    assert events(parts, "mail.retried") == []


# --- why attempts fail -----------------------------------------------------------------------------------------------


def fail(parts: Parts, reason: str, client_id: str | None = "C1") -> str:
    code = parts.attempts.start()
    parts.attempts.step(code, Step.page_failed, reason=reason, client_id=client_id)
    return code


def counted(parts: Parts) -> dict[tuple[str, str], int]:
    parts.attempts.flush()
    drain(parts.store, parts.database)
    with parts.database.reading() as db:
        return {(row.client_id, row.reason): row.count for row in db.scalars(select(ReasonDay)) if row.count}


def test_an_attempt_is_counted_by_what_it_became_at_last(parts: Parts) -> None:
    """Once for its product and once in all, and no more when it is done after all, or fails for another reason."""
    first = fail(parts, "throttled")
    fail(parts, "throttled", None)
    second = fail(parts, "internal")
    before = counted(parts)
    assert before == {("C1", "throttled"): 1, ("", "throttled"): 2, ("C1", "internal"): 1, ("", "internal"): 1}
    parts.attempts.step(first, Step.session_opened)
    parts.attempts.step(second, Step.page_failed, reason="throttled")
    assert counted(parts) == {("C1", "throttled"): 1, ("", "throttled"): 2}
    with parts.database.reading() as db:
        failed = db.scalar(select(func.count()).select_from(Attempt).where(Attempt.outcome == "failed"))
    assert failed == 2


def test_what_is_drained_twice_is_counted_once(parts: Parts) -> None:
    fail(parts, "throttled")
    parts.attempts.flush()
    ((_, (_, parcel)),) = parts.store.command("XRANGE", "attempts", "-", "+")
    assert counted(parts)[("", "throttled")] == 1
    parts.store.command("XADD", "attempts", "*", "steps", parcel)
    assert counted(parts)[("", "throttled")] == 1


def test_the_chart_tells_what_the_table_tells_for_all_products_or_one(parts: Parts, olga: Administrator) -> None:
    for _ in range(3):
        fail(parts, "throttled")
    fail(parts, "internal", "P1")
    counted(parts)
    page = olga.get("/operator/reasons")
    html = page.get_data(as_text=True)
    assert html.count("<rect class=") == 2 + 2  # two pieces, two signs in the table
    assert "<code>throttled</code></th><td>3</td>" in html
    assert "style=" not in html
    one = olga.submit(page, "/operator/reasons", client="C1")
    assert one.request.path == "/operator/reasons/C1"
    assert "<code>throttled</code>" in one.get_data(as_text=True)
    assert "<code>internal</code>" not in one.get_data(as_text=True)
    assert olga.open("GET", "/operator/reasons/nobody").status_code == 404


def test_bars_stand_on_each_other_and_the_rest_is_one_row() -> None:
    counts = {(100 + day, f"r{number}"): number + 1 for day in range(DAYS) for number in range(9)}
    chart = draw(counts, 100)
    assert [row.reason for row in chart.rows] == ["r8", "r7", "r6", "r5", "r4", "r3", "others"]
    assert sum(row.whole for row in chart.rows) == sum(counts.values())
    assert chart.rows[-1].counts == (1 + 2 + 3,) * DAYS
    first = [piece for piece in chart.pieces if piece.x == chart.pieces[0].x]
    assert sum(piece.height for piece in first) == pytest.approx(HEIGHT * 45 / chart.lines[-1][1], abs=1)
    assert draw({}, int(DAY)).rows == ()


# --- staff -----------------------------------------------------------------------------------------------------------


def test_a_role_is_given_changed_and_taken_away(parts: Parts, olga: Administrator) -> None:
    sam = add_person(parts, "sam@example.org")
    given = olga.submit(olga.get("/operator/staff"), "/operator/staff/new", email="Sam@Example.org", role="support")
    assert "sam@example.org" in given.get_data(as_text=True)
    for role in ("operator_read_only", "none"):
        csrf = olga.token(given)
        changed = olga.open("POST", "/operator/staff/change", data={"csrf": csrf, "account": sam, "role": role})
        assert "notice=saved" in changed.location
    steps = [
        (one.facts["was"], one.facts["role"]) for one in events(parts, "staff.role_changed") if one.account_id == sam
    ]
    assert steps == [("", "support"), ("support", "operator_read_only"), ("operator_read_only", "")]
    assert "sam@example.org" not in text(olga, "/operator/staff")


@pytest.mark.parametrize(
    ("email", "role"), [("nobody@example.org", "support"), ("x", "support"), ("olga@example.org", "global")]
)
def test_a_role_is_given_to_nobody_unknown_and_no_unknown_role(
    parts: Parts, olga: Administrator, email: str, role: str
) -> None:
    refused = olga.submit(olga.get("/operator/staff"), "/operator/staff/new", email=email, role=role)
    assert refused.status_code == 409
    assert 'id="problem"' in refused.get_data(as_text=True)
    assert f'value="{email}"' in refused.get_data(as_text=True)


def test_the_last_operator_cannot_leave_and_a_suspended_one_does_not_count(parts: Parts, olga: Administrator) -> None:
    from idp.accounts.lifecycle import suspend
    from idp.models import Account

    otto = add_person(parts, "otto@example.org", staff="operator")
    with parts.database.transaction() as db:
        suspend(db, db.get_one(Account, otto), actor="operator:test", now=parts.clock())
        mine = next(one.account_id for one in staff(db) if one.address == "olga@example.org")
    for role in ("none", "support"):
        csrf = olga.token(olga.get("/operator/staff"))
        refused = olga.open("POST", "/operator/staff/change", data={"csrf": csrf, "account": mine, "role": role})
        assert refused.status_code == 409
        assert "last operator" in refused.get_data(as_text=True)
    add_person(parts, "oda@example.org", staff="operator")
    left = olga.open("POST", "/operator/staff/change", data={"csrf": csrf, "account": mine, "role": "none"})
    assert 'id="no-role-page"' in olga.follow(left).get_data(as_text=True)


def test_only_who_has_a_role_is_changed(parts: Parts, olga: Administrator) -> None:
    eve = add_person(parts, "eve@example.org")
    csrf = olga.token(olga.get("/operator/staff"))
    answer = olga.open("POST", "/operator/staff/change", data={"csrf": csrf, "account": eve, "role": "operator"})
    assert answer.status_code == 409


def poll(browser: Administrator, path: str, wanted: str) -> str:
    """The page once it says ``wanted``: files are looked at once a second."""
    import time

    ends = time.monotonic() + 5
    while time.monotonic() < ends:
        shown = text(browser, path)
        if wanted in shown:
            return shown
        time.sleep(0.1)
    raise AssertionError(f"{wanted!r} was never there")


def text_after_sign_in(browser: Administrator, path: str) -> str:
    return browser.sign_in(path).get_data(as_text=True)
