"""Back-channel logout: the token that tells a product of an ended session, and its delivery (OpenID Connect
Back-Channel Logout 1.0).

The worker sends what ``outbox.queue_logout`` noted, so that no product, however slow, delays the person (LO-07).
"""

from __future__ import annotations

import base64
from collections.abc import Callable
from typing import TYPE_CHECKING

from idp.fetch import Fetcher, FetchError
from idp.models import LogoutNotice
from idp.outbox import LOGOUT_NOTICES, Outcome

if TYPE_CHECKING:
    from idp.client_record import Client
    from idp.clients import Clients
    from idp.config import Config
    from idp.database import Database
    from idp.key_ring import KeyRing

EVENT = "http://schemas.openid.net/event/backchannel-logout"
TOKEN_LIFETIME = 120  # seconds: section 4 recommends two minutes


class Backchannel:
    """Makes and delivers logout tokens. ``random``: number of bytes in, bytes out; ``clock``: seconds since 1970."""

    def __init__(
        self,
        config: Config,
        clients: Clients,
        keys: KeyRing,
        outgoing: Fetcher,
        random: Callable[[int], bytes],
        clock: Callable[[], float],
    ) -> None:
        self._issuer = config.issuer
        self._clients = clients
        self._keys = keys
        self._outgoing = outgoing
        self._random = random
        self._clock = clock

    def send_due(self, database: Database) -> bool:
        """Send the notice that is due first, if one is. Returns whether it is worth coming again at once.

        :raises Unavailable: SQL does not answer.
        """
        return LOGOUT_NOTICES.deliver(database, self.send, self._clock)

    def send(self, notice: LogoutNotice) -> Outcome:
        """Post one logout token (section 2.5). Done when the product answers 2xx; a redirect is not followed."""
        client = self._clients.find(notice.client_id)
        if client is None or not client.backchannel_logout_uri:
            return Outcome("given_up", "the product has no back-channel address any more")
        token = self.logout_token(notice, client, self._clock())
        try:
            status = self._outgoing.post(client.backchannel_logout_uri, {"logout_token": token})
        except FetchError as error:
            return Outcome("given_up" if error.refused else "failed", str(error))
        return Outcome("sent" if 200 <= status < 300 else "failed", f"status {status}")

    def logout_token(self, notice: LogoutNotice, client: Client, now: float) -> str:
        """The signed logout token (section 2.4): explicitly typed, never with a nonce, so that nobody takes it for an
        ID token. A new try is a new token with a new ``jti``."""
        claims = {
            "iss": self._issuer,
            "aud": client.client_id,
            "iat": int(now),
            "exp": int(now) + TOKEN_LIFETIME,
            "jti": base64.urlsafe_b64encode(self._random(16)).decode().rstrip("="),
            "events": {EVENT: {}},
            "sub": notice.sub,
            "sid": notice.sid,
        }
        return self._keys.sign_jwt(claims, client.id_token_signed_response_alg, typ="logout+jwt")
