"""From a checked authorization request and an open session to the answer, without Flask.

The page ``authorize.py`` uses it step by step. ``answer`` is the short way for the commonest case, a live session with
nothing to ask: it is served before Flask's routing, with two Redis round trips and no SQL.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from urllib.parse import quote, urlencode

from idp.accounts.seats import organizer_since
from idp.accounts.sessions import Session, find_session
from idp.attempts import Attempts, Step
from idp.login.next_step import Asked, Holder, Issue, Progress, next_step
from idp.login.next_step import Step as NextStep
from idp.machine import Answer, Request
from idp.oidc.claims import tells_seat, wishes
from idp.oidc.provider import Provider
from idp.oidc.request_checks import CheckedRequest, RequestRefused, check_request
from idp.redis_store import RedisStore

Fields = Sequence[tuple[str, str]]

REDIRECT_HEADERS = (
    ("Cache-Control", "no-store"),
    ("Referrer-Policy", "no-referrer"),
    ("X-Content-Type-Options", "nosniff"),
    ("X-Frame-Options", "DENY"),
    ("Content-Security-Policy", "default-src 'none'; frame-ancestors 'none'"),
)


class Authorization:
    """Decides and answers authorization requests."""

    def __init__(
        self,
        provider: Provider,
        store: RedisStore,
        attempts: Attempts,
        clock: Callable[[], float],
        session_cookie: Callable[[str], str | None],
    ) -> None:
        """``session_cookie`` finds our session cookie's value in a Cookie header."""
        self._provider = provider
        self._store = store
        self._attempts = attempts
        self._clock = clock
        self._session_cookie = session_cookie

    def answer(self, request: Request) -> Answer | None:
        """Answer ``GET /authorize`` if the session is live and nothing needs asking; else None: the page takes over."""
        cookie = self._session_cookie(request.headers.get("cookie", ""))
        if request.method != "GET" or cookie is None:
            return None
        try:
            checked = check_request(request.query, self._provider.clients)
        except RequestRefused:
            return None
        now = self._clock()
        session = find_session(self._store, cookie, now)
        if session is None or checked.response_mode != "query":
            return None
        step = self.decide(checked, session, Progress(), now)
        if not isinstance(step, Issue):
            return None
        receipt = self._attempts.start()
        self._attempts.step(
            receipt, Step.session_used, client_id=checked.client.client_id, account_id=session.account_id
        )
        fields = self.issue(checked, session, step.scopes, receipt, now)
        location = with_parameters(checked.redirect_uri, fields)
        return Answer(303, [("Location", location), *REDIRECT_HEADERS], b"")

    def decide(
        self,
        checked: CheckedRequest,
        session: Session | None,
        progress: Progress,
        now: float,
        *,
        company: str = "",
        provider: str = "",
    ) -> NextStep:
        """Put the facts before ``next_step``. ``company``, ``provider``: see there."""
        asked = Asked(
            client_id=checked.client.client_id,
            scopes=checked.scopes,
            prompt=checked.prompt,
            max_age=checked.max_age,
            essential_acr=checked.essential_acr,
            acr_values=checked.acr_values,
            needs_consent=not checked.client.first_party,
            company=company,
            provider=provider,
        )
        if session is None:
            return next_step(asked, None, progress, now)
        holder = Holder(
            key=session.key,
            proved_at=session.proved_at,
            acr=session.acr,
            consented=tuple(session.consents.get(checked.client.client_id, ())),
            is_the_hinted=self._is_the_hinted(checked, session),
            organizer_since=_organizer_since(checked, session),
        )
        return next_step(asked, holder, progress, now)

    def issue(
        self, checked: CheckedRequest, session: Session, scopes: tuple[str, ...], receipt: str, now: float
    ) -> Fields:
        """Issue a code; return the fields of the authorization response (RFC 6749 section 4.1.2, RFC 9207)."""
        code = self._provider.issue_code(checked, session, scopes, receipt, now)
        self._attempts.step(
            receipt, Step.code_issued, client_id=checked.client.client_id, account_id=session.account_id
        )
        return self.response_fields(checked.state, code=code)

    def response_fields(self, state: str | None, **fields: str) -> Fields:
        """The fields of a response, with ``state`` as it was sent and ``iss`` (RFC 9207 section 2)."""
        if state is not None:
            fields["state"] = state
        fields["iss"] = self._provider.issuer
        return tuple(fields.items())

    def _is_the_hinted(self, checked: CheckedRequest, session: Session) -> bool:
        """Whether the session's person is whom ``id_token_hint`` and a requested ``sub`` name (Core 3.1.2.1, 5.5.1).

        A hint that is not a genuine ID token of ours, or is of a client that is gone, is ignored: it names nobody (AZ-11).
        """
        mine = self._provider.subject_for(checked.client, session.account_id, session.sub)
        wanted: list[object] = []
        if checked.id_token_hint:
            hint = self._provider.check_id_token_hint(checked.id_token_hint)
            client = self._provider.clients.find(hint["aud"]) if hint is not None else None
            # Subjects of other clients may be pairwise: compare with what that client would see.
            if (
                hint is not None
                and client is not None
                and hint["sub"] != self._provider.subject_for(client, session.account_id, session.sub)
            ):
                return False
        for place in checked.claims.values():
            wish = place.get("sub")
            if wish is not None and "value" in wish:
                wanted.append(wish["value"])
            if wish is not None and "values" in wish and mine not in wish["values"]:
                return False
        return all(sub == mine for sub in wanted)


def _organizer_since(checked: CheckedRequest, session: Session) -> int:
    """When the person became an organizer of the product, if it is to be told; else 0."""
    since = organizer_since(session.person, checked.client.client_id)
    if not since:
        return 0
    return since if tells_seat(checked.scopes, wishes(checked.claims, checked.client, checked.scopes)) else 0


def with_parameters(uri: str, fields: Fields) -> str:
    """Append ``fields`` to a registered URI, keeping a query that it has (RFC 6749 section 3.1.2)."""
    return uri + ("&" if "?" in uri else "?") + urlencode(fields, quote_via=quote)
