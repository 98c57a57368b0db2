"""Who has come through a door and must show something more, while the next page waits for it. Nobody is signed in by it. A working.

It stands in the pending login, so only the browser that came through the door can go on with it, and for a quarter of an hour.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass

from idp.accounts.identity import Identity
from idp.login.arrival import (
    Arrival,
    Newcomer,
    read_arrival,
    read_identity,
    read_newcomer,
    write_newcomer,
)
from idp.login.company_account import Proved
from idp.login.social_account import Accepted


@dataclass(frozen=True, slots=True)
class RightPassword:
    """A password that was right when it was looked at.

    :ivar account_id: what it opens.
    :ivar mark: of it (``passwords.mark_of``): it opens nothing any more once the account has another one.
    """

    account_id: str
    mark: str


@dataclass(frozen=True, slots=True)
class Half:
    """What a door has proved, with all that finishing needs beside it; see ``finish`` for the first six.

    :ivar waiting: the newcomer who is linked to the account that this sign-in proves.
    :ivar account_id: whose account it opens, once that is known.
    :ivar mark: of the account's password then (``Held.mark``): with another one this is over.
    :ivar mailbox: a code that was mailed to the account's address has been typed.
    """

    identity: Identity
    kept: bool
    arrival: Arrival | None = None
    proved: Proved | None = None
    who: Newcomer | None = None
    accepted: Accepted | None = None
    waiting: Newcomer | None = None
    account_id: str = ""
    mark: str = ""
    mailbox: bool = False

    @property
    def vouched(self) -> bool:
        """Whether a company has signed them in, and answers for it: not for an account that was proved by its password just now."""
        return self.arrival is not None and (self.proved is None or self.proved.by != "password")

    def written(self) -> str:
        """As a text for Redis."""
        return json.dumps(
            {
                "identity": asdict(self.identity),
                "kept": self.kept,
                "arrival": self.arrival.written() if self.arrival else None,
                "proved": asdict(self.proved) if self.proved else None,
                "who": write_newcomer(self.who) if self.who else None,
                "accepted": asdict(self.accepted) if self.accepted else None,
                "waiting": write_newcomer(self.waiting) if self.waiting else None,
                "account_id": self.account_id,
                "mark": self.mark,
                "mailbox": self.mailbox,
            },
            separators=(",", ":"),
        )


def read_half(text: str) -> Half:
    """Read what ``written`` has made; nothing else is ever handed here."""
    fields = json.loads(text)
    return Half(
        identity=read_identity(fields["identity"]),
        kept=fields["kept"],
        arrival=read_arrival(fields["arrival"]) if fields["arrival"] else None,
        proved=Proved(**fields["proved"]) if fields["proved"] else None,
        who=read_newcomer(fields["who"]) if fields["who"] else None,
        accepted=Accepted(**fields["accepted"]) if fields["accepted"] else None,
        waiting=read_newcomer(fields["waiting"]) if fields["waiting"] else None,
        account_id=fields["account_id"],
        mark=fields["mark"],
        mailbox=fields["mailbox"],
    )
