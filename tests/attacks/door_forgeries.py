"""The workshop of ``saml_forgeries.py`` at the real ACS address: the whole application, in process."""

from __future__ import annotations

import base64
import random
from collections import Counter
from urllib.parse import parse_qs, urlsplit

from idp.doors import saml_requests
from idp.parts import Parts
from tests.attacks.saml_forgeries import forge
from tests.company_walker import answer, leave, post
from tests.journey import Walker
from tests.saml_parties import Customer

ALICE = "alice@acme.example"


def attack_door(walker: Walker, customer: Customer, parts: Parts, seed: int, number: int) -> Counter[str]:
    """Post ``number`` variants of genuine answers to one request that stays open.

    :returns: how often which reason was given; ``harmless`` when what was parked is exactly alice, ``page`` for a page that
        refuses without parking anything.
    :raises AssertionError: an answer was a 5xx, or somebody else than alice was believed.
    """
    request = leave(walker)
    ours = customer.connection.keys[0].certificate
    chance = random.Random(seed)
    genuine = [
        base64.b64decode(answer(customer, request, parts.clock(), sign=sign, encrypt_for=key))
        for sign, key in (("response", None), ("assertion", None), ("both", None), ("response", ours), ("both", ours))
    ]
    outcomes: Counter[str] = Counter()
    for turn in range(number):
        walker.address = f"10.{turn >> 16 & 255}.{turn >> 8 & 255}.{turn & 255}"  # so that none is refused unread
        made = forge(chance.choice(genuine), genuine, chance)
        answered = post(walker, customer, base64.b64encode(made).decode())
        where = f"seed {seed}, turn {turn}, status {answered.status_code}"
        assert answered.status_code < 500 and answered.status_code != 429, where
        if answered.status_code != 303:
            outcomes["page"] += 1
            continue
        there = urlsplit(answered.location)
        assert there.path in ("/login/company/return", "/login/company/again"), where
        if there.path == "/login/company/again":
            outcomes["begins anew"] += 1
            continue
        handle = parse_qs(there.query)["r"][0]
        parked = saml_requests.fetch(parts.store, customer.connection.id, handle, parts.clock())
        assert parked is not None, where
        if parked.arrival is None:
            outcomes[parked.reason] += 1
        else:
            identity = parked.arrival.identity
            assert (identity.email, parked.arrival.session.name_id) == (ALICE, ALICE), where
            assert identity.subject.endswith(f":{ALICE}"), where
            outcomes["harmless"] += 1
    return outcomes
