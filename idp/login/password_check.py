"""Looking at a password, for the standard door and for the page where an old account is proved. A companion.

The same work and the same time for every address, whoever has an account here.
"""

from __future__ import annotations

from idp import cookies, throttle
from idp.accounts import devices
from idp.accounts.identity import Identity
from idp.accounts.passwords import check_password, find_credentials, mark_of, store_rehash
from idp.attempts import Step
from idp.enforcement import OwnDoor, own_door, queue_right_door
from idp.errors import IdpError
from idp.login.half_way import RightPassword
from idp.parts import parts
from idp.rendering import choose_language
from idp.visiting import peer


def try_password(email: str, password: str, receipt: str, *, signs_in: bool) -> RightPassword | int | None:
    """Look at a password for a canonical address: the account that it opens, None when it opens none, or the seconds to
    wait before it is looked at.

    ``signs_in``: it is to open the standard door, which a company may have closed to its people: then it opens nothing but
    to break-glass people, and whoever has the mailbox is told the right door. Else it only proves whose account it is.

    :raises IdpError: it cannot be looked at: too long, or too many are waiting.
    """
    here = parts()
    now = here.clock()
    device = cookies.find(cookies.DEVICE)
    with here.database.reading() as db:
        credentials = find_credentials(db, email)
        known = devices.is_known(db, credentials.account_id, device)
        door = own_door(db, email, credentials.account_id, "password") if signs_in else OwnDoor()
    ticket = throttle.take_sign_in(here.store, email=email, network=peer(), device=device if known else None, now=now)
    if ticket.wait:
        here.attempts.step(
            receipt,
            Step.throttled,
            reason="throttled",
            door="password",
            account_id=credentials.account_id,
            email=email,
            wait=ticket.wait,
        )
        return ticket.wait
    try:
        checked = check_password(credentials, password, here.hasher)
    except IdpError:  # it was never looked at
        throttle.give_back(here.store, ticket, here.clock())
        raise
    reason = checked.reason or ("" if door.opens else "company_sso_required")
    here.attempts.step(
        receipt,
        Step.password_checked,
        reason=reason or None,
        door="password",
        account_id=checked.account_id,
        email=email,
        address=peer(),
        known_device=known,
    )
    if reason:
        if door.for_address is not None:  # never for what only the account is known by, or the work would tell of it
            with here.database.transaction() as db:
                language = choose_language()
                queue_right_door(db, door.for_address, email, language=language, sealer=here.sealer, now=here.clock())
        return None
    if not door.break_glass:  # which is mailed to others each time, so it may not happen without end
        throttle.give_back(here.store, ticket, here.clock())
    stored = credentials.hash
    if checked.rehashed:
        with here.database.transaction() as db:
            stored = store_rehash(db, credentials, checked.rehashed)
        if stored != checked.rehashed and not here.hasher.verify(stored, password).ok:  # changed since it was looked at
            return None
    return RightPassword(checked.account_id, mark_of(stored)) if checked.account_id is not None else None


def identity_by_password(account_id: str, email: str) -> Identity:
    """Who has just proved an account by its password, or has just chosen it. ``email`` is canonical."""
    here = parts()
    return Identity(
        door="password",
        issuer=here.config.issuer,
        subject=account_id,
        email=email,
        email_verified=False,
        name=None,
        methods=("pwd",),
        at=int(here.clock()),
    )
