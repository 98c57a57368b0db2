"""Looking up where an e-mail domain leads, slowly enough that nobody can copy the list of companies. A companion.

Asked by the pages of the two doors and, for silent trips, by ``/authorize``. The decision itself is ``routing.route``.
"""

from __future__ import annotations

from idp import throttle
from idp.accounts.identity import read_address
from idp.accounts.remembered import last_door
from idp.company_policy import policy_of_company, policy_of_domain
from idp.login.routing import ClientFacts, Route, ToConnection, route
from idp.models import Connection
from idp.parts import parts
from idp.visiting import peer


def door_of(address: str, *, hinted: str = "") -> Route | int:
    """Where an address leads; or the seconds to wait, when this network has asked for too many domains.

    :param address: canonical.
    :param hinted: the connection that the product names, or "".
    """
    return door_of_domain(address.rpartition("@")[2], hinted=hinted)


def door_of_domain(domain: str, *, hinted: str = "") -> Route | int:
    """The same for a domain in its ASCII form."""
    here = parts()
    wait = throttle.take_domain(here.store, domain=domain, network=peer(), now=here.clock())
    if wait:
        return wait
    with here.database.reading() as db:
        return route(ClientFacts(hinted), policy_of_domain(db, domain))


def hinted_connection(connection_id: str) -> str:
    """The connection that a product names (``idp_hint``), if people can be sent there; else ""."""
    if not connection_id:
        return ""
    with parts().database.reading() as db:
        connection = db.get(Connection, connection_id)
        if connection is None:
            return ""
        way = route(ClientFacts(connection_id), policy_of_company(db, connection.company_id))
    return connection_id if way == ToConnection(connection_id) else ""


def silent_connection(*, connection: str, domain: str, email: str) -> str:
    """The connection whose identity provider may know who is at the browser, from what a product names or this browser
    remembers; "" where there is none, or several that only a person could choose from."""
    hinted = hinted_connection(connection)
    if hinted:
        return hinted
    try:
        known = domain or (read_address(email).domain if email else "")
    except ValueError:
        return ""
    way = door_of_domain(known) if known else None
    return way.id if isinstance(way, ToConnection) else ""


def silent_provider() -> str:
    """The social provider that may know who is at the browser: by it somebody signed in here last; "" where there is none, or
    it always shows something."""
    key = last_door()
    return key if key and parts().providers[key].provider.silent is not None else ""
