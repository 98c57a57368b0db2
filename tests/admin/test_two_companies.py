"""Two companies are strangers: whatever A's administrator does, with A's own things or with what belongs to B, B sees nothing of it."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule, run_state_machine_as_test
from sqlalchemy import select

from idp.models import Account, BulkInvitation, CompanyDomain, Connection
from idp.parts import Parts
from tests.administrator import Administrator, add_company, add_person
from tests.fakes.company_idp import CompanyIdp
from tests.saml_parties import add_connection

At = Callable[[str], Administrator]

PAGES = ("", "/people", "/people/invite", "/sign-in", "/policies", "/audit", "/settings")


class Company:
    """One of them, with an administrator, a member, a domain and an identity provider."""

    def __init__(self, parts: Parts, administrator: At, name: str) -> None:
        self.domain = f"{name.lower()}.example"
        self.id = add_company(parts, name)
        self.boss = add_person(parts, f"boss@{self.domain}", company=self.id, role="administrator")
        self.member = add_person(parts, f"bob@{self.domain}", company=self.id)
        self.browser = administrator(f"boss@{self.domain}")
        self.browser.sign_in()  # by the password: later the company's own page would sign them in
        with parts.database.transaction() as db:
            at = int(parts.clock())
            db.add(
                CompanyDomain(
                    company_id=self.id, domain=self.domain, held=self.domain, tree=f"example.{name.lower()}.",
                    status="verified", code=f"c-{name}", code_expires_at=at, created_at=at, verified_at=at,
                )
            )  # fmt: skip
        idp = CompanyIdp(f"https://idp.{self.domain}/saml")
        self.connection = add_connection(
            parts.database, parts.connections, self.id, idp, name=f"{name} ID", now=parts.clock(), random=parts.random
        ).id

    def seen(self) -> dict[str, str]:
        """What its administrator sees on each page; the tokens of forms change with every look."""
        paths = [*PAGES, f"/people/{self.member}", f"/people/{self.boss}", f"/sign-in/{self.connection}"]
        shown = {}
        for path in paths:
            page = self.browser.get(f"/companies/{self.id}{path}")
            assert page.status_code == 200, path
            shown[path] = re.sub(r'name="csrf" value="[^"]*"', "", page.get_data(as_text=True))
        return shown


@pytest.mark.timeout(600)
def test_whatever_one_company_does_the_other_sees_nothing_of_it(parts: Parts, administrator: At) -> None:
    a, b = Company(parts, administrator, "Acme"), Company(parts, administrator, "Globex")
    before = b.seen()
    token = a.browser.token(a.browser.get(f"/companies/{a.id}/settings"))
    owners = st.sampled_from([a.id, b.id])
    people = st.sampled_from([b.member, b.boss, a.member])
    connections = st.sampled_from([a.connection, b.connection])

    class Strangers(RuleBasedStateMachine):
        @staticmethod
        def post(path: str, **fields: Any) -> None:
            answer = a.browser.open("POST", path, data={"csrf": token, **fields})
            assert answer.status_code < 500, (path, fields)

        @rule(
            owner=owners,
            who=people,
            act=st.sampled_from(
                [
                    "role",
                    "suspend",
                    "reactivate",
                    "sign-out",
                    "remove",
                    "seats",
                    "break-glass",
                    "factors",
                    "factors/agree",
                    "resend",
                ]
            ),
            role=st.sampled_from(["administrator", "member", "organizer", "none"]),
        )
        def change_somebody(self, owner: str, who: str, act: str, role: str) -> None:
            fields = {"role": role, "client_id": "C1", "named": "yes", "answer": "yes", "reason": "because"}
            self.post(f"/companies/{owner}/people/{who}/{act}", **fields)

        @rule(
            owner=owners,
            name=st.sampled_from(["gus", "bob", "boss"]),
            domain=st.sampled_from([a.domain, b.domain]),
            act=st.sampled_from(["send", "undo"]),
        )
        def invite(self, owner: str, name: str, domain: str, act: str) -> None:
            self.post(
                f"/companies/{owner}/people/invite", people=f"{name}@{domain}", role="administrator", company_id=b.id
            )
            with parts.database.reading() as db:
                lists = db.scalars(select(BulkInvitation.id)).all()
            for one in lists:
                self.post(f"/companies/{owner}/people/lists/{one}/{act}", company_id=b.id)

        @rule(owner=owners, name=st.sampled_from(["Globex", "Acme", "New name"]))
        def rename(self, owner: str, name: str) -> None:
            self.post(f"/companies/{owner}/settings", name=name, contacts=f"it@{b.domain}", company_id=b.id)

        @rule(owner=owners, doors=st.sampled_from([["password"], ["social"], []]))
        def decide(self, owner: str, doors: list[str]) -> None:
            self.post(f"/companies/{owner}/policies", doors=doors, second_factor_from="2020-01-01", confirm="yes")

        @rule(
            owner=owners,
            act=st.sampled_from(["domains", "domains/check", "domains/release"]),
            domain=st.sampled_from([b.domain, f"sub.{b.domain}", "new.example"]),
        )
        def claim(self, owner: str, act: str, domain: str) -> None:
            if act != "domains/check" or domain == b.domain:  # nobody waits for a name server here
                self.post(f"/companies/{owner}/sign-in/{act}", domain=domain)

        @rule(owner=owners, sso=st.sampled_from(["required", "optional"]))
        def require(self, owner: str, sso: str) -> None:
            self.post(f"/companies/{owner}/sign-in/require", sso=sso, end_sessions="yes")

        @rule(owner=owners)
        def connect(self, owner: str) -> None:
            document = CompanyIdp(f"https://idp.{b.domain}/saml").metadata().decode()
            self.post(f"/companies/{owner}/sign-in/connections", vendor="other", how="file", document=document)

        @rule(
            owner=owners,
            which=connections,
            act=st.sampled_from(
                ["live", "settings", "certificates/remove", "changes", "roll-key", "share", "try", "remove"]
            ),
        )
        def change_connection(self, owner: str, which: str, act: str) -> None:
            fields = {
                "state": "draft",
                "name": "Taken",
                "attribute_email": "mail",
                "number": "1",
                "receipt": "K7QX-2M4P",
            }
            self.post(f"/companies/{owner}/sign-in/{which}/{act}", **fields)

        @rule(owner=owners)
        def make_link(self, owner: str) -> None:
            self.post(f"/companies/{owner}/sign-in/links")

        @rule(path=st.sampled_from(PAGES))
        def look(self, path: str) -> None:
            assert a.browser.open("GET", f"/companies/{b.id}{path}").status_code == 404

        @invariant()
        def the_other_sees_nothing_of_it(self) -> None:
            assert b.seen() == before

    run_state_machine_as_test(
        Strangers,
        settings=settings(
            max_examples=12,
            stateful_step_count=25,
            deadline=None,
            suppress_health_check=list(HealthCheck),
            database=None,
        ),
    )
    with parts.database.reading() as db:
        assert db.get_one(Account, b.boss).state == "active"
        assert db.get_one(Connection, b.connection).company_id == b.id
