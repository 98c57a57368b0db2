"""A code of six digits, mailed to whoever has given the right password where they have not been before. A companion.

It works for ten minutes, once, for the sign-in that asked for it. Redis knows it by a MAC whose key stands elsewhere.
"""

from __future__ import annotations

import hmac

from idp import cookies, throttle
from idp.accounts.lifecycle import primary_email
from idp.login.asked_mails import note_asked
from idp.login.pending import Pending
from idp.mail import queue_mail
from idp.masking import mask_email
from idp.models import Account
from idp.parts import parts
from idp.redis_store import token_hash
from idp.rendering import choose_language
from idp.visiting import peer

LIFETIME = 600  # seconds
DIGITS = 6


def send_code(pending: Pending, account_id: str) -> int:
    """Mail a new code to the account's address, and let the one before count no more.

    :returns: 0, or the whole seconds to wait: so many mails went there lately that this one did not. The code that was mailed last
        still counts then.
    """
    here = parts()
    now = here.clock()
    number = int.from_bytes(here.random(16), "big") % 10**DIGITS
    code = f"{number:0{DIGITS}}"
    with here.database.transaction() as db:
        account = db.get_one(Account, account_id)
        email = primary_email(account)
        wait = throttle.take_code_mail(here.store, account_id=account_id, network=peer(), now=now)
        if wait:
            return wait
        recipient = email.address
        queue_mail(
            db,
            name="sign_in_code",
            recipient=recipient,
            language=choose_language(pending.ui_locales or account.locale),
            now=now,
            sealer=here.sealer,
            secrets={"code": code},
            always=True,  # the throttle counts them
            address=peer(),
            at=int(now),
        )
    ends = int(now) + LIFETIME
    kept = f"{ends} {_mac(pending, account_id, code)}"
    here.store.command("SET", _key(pending), kept, "PXAT", ends * 1000 + 60_000)
    address = mask_email(recipient)  # whoever knows the password alone need not know the rest of it
    note_asked(here.store, cookies.browser(), address=address, name="sign_in_code", recipient=recipient, now=now)
    return 0


def is_mailed(pending: Pending) -> bool:
    """Whether a code was mailed for this sign-in that nobody has typed yet."""
    return bool(parts().store.command("EXISTS", _key(pending)))


def take_code(pending: Pending, account_id: str, code: str) -> bool:
    """Whether this is the code that was mailed last for this sign-in; of several that bring it, one is told so."""
    here = parts()
    kept = here.store.command("GET", _key(pending))
    if kept is None:
        return False
    ends, _, mac = kept.partition(" ")
    if not hmac.compare_digest(mac, _mac(pending, account_id, code)) or int(ends) <= here.clock():
        return False
    return bool(here.store.command("DEL", _key(pending)))


def _mac(pending: Pending, account_id: str, code: str) -> str:
    secret = parts().keys.derive("mailed codes")
    return hmac.digest(secret, f"{pending.handle} {account_id} {code}".encode(), "sha256").hex()


def _key(pending: Pending) -> str:
    return f"mailed-code:{{{token_hash(pending.handle)}}}"
