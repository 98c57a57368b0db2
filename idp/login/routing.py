"""Which door an e-mail address is led to: one pure function of its domain's company and of what the product asks for.

No account can be looked up here, not even by mistake: nothing that names a person comes in. So the answer for an address
tells what its domain tells, and never whether somebody has an account.
"""

from __future__ import annotations

from dataclasses import dataclass

from idp.company_policy import Policy


@dataclass(frozen=True, slots=True)
class ClientFacts:
    """What the product says about where its person belongs. ``connection``: the ``idp_hint`` of its request, or ""."""

    connection: str = ""


@dataclass(frozen=True, slots=True)
class OwnEmail:
    """The standard door: an e-mail address and a password."""


@dataclass(frozen=True, slots=True)
class ToConnection:
    """The company's own sign-in page, by the connection with this ``id``."""

    id: str


@dataclass(frozen=True, slots=True)
class Choose:
    """The company has several: the person knows which. ``connections``: (id, name)."""

    connections: tuple[tuple[str, str], ...]


Route = OwnEmail | ToConnection | Choose


def route(client: ClientFacts, policy: Policy | None) -> Route:
    """Decide. ``policy`` is that of the company that has proved the address's domain; None when nobody has.

    A connection that the product names counts only among those of that company: a product cannot send the people of one
    company to the page of another.
    """
    live = policy.live if policy is not None else ()
    if not live:
        return OwnEmail()
    ids = [id for id, _ in live]
    if client.connection in ids:
        return ToConnection(client.connection)
    return ToConnection(ids[0]) if len(ids) == 1 else Choose(live)
