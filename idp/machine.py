"""Machine endpoints: what relying parties call without a browser, answered before Flask's routing (docs/speed.md).

Each endpoint is a plain function ``Request → Answer``. This file is the one place that checks such requests as a whole, and
the one policy for their headers, methods, CORS, logs and errors. It knows no protocol: the list of URLs is made in
``oidc/machine_endpoints.py``.
"""

from __future__ import annotations

import ipaddress
import json
import traceback
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from http import HTTPStatus
from io import BytesIO
from time import perf_counter
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote_plus, unquote_to_bytes

import structlog

from idp.attempts import Step
from idp.errors import OAuthError, Unavailable

if TYPE_CHECKING:
    from idp.attempts import Attempts
    from idp.config import Network

MAX_BODY = 16 * 1024  # bytes; the largest request that we answer is far smaller
MAX_FIELDS = 60

FORM = "application/x-www-form-urlencoded"

# The headers that are read, by their names in WSGI.
_HEADERS = {
    "HTTP_HOST": "host",
    "HTTP_AUTHORIZATION": "authorization",
    "CONTENT_LENGTH": "content-length",
    "CONTENT_TYPE": "content-type",
    "HTTP_X_FORWARDED_FOR": "x-forwarded-for",
    "HTTP_CONTENT_ENCODING": "content-encoding",
    "HTTP_COOKIE": "cookie",
    "HTTP_ORIGIN": "origin",
    "HTTP_USER_AGENT": "user-agent",
    "HTTP_ACCEPT_LANGUAGE": "accept-language",
    "HTTP_ACCESS_CONTROL_REQUEST_METHOD": "access-control-request-method",
}

# On every answer: nothing here is a page, and an error must not become one (attacks.md, I7).
_POLICY = [
    ("X-Content-Type-Options", "nosniff"),
    ("Content-Security-Policy", "default-src 'none'; frame-ancestors 'none'"),
    ("X-Frame-Options", "DENY"),
    ("Referrer-Policy", "no-referrer"),
]
NO_STORE = [("Cache-Control", "no-store"), ("Pragma", "no-cache")]

# ASCII only, so that no text of a person ends a string early in whatever reads it.
_JSON = json.JSONEncoder(separators=(",", ":"))  # made once: json.dumps with arguments makes a new one every time
_log = structlog.get_logger(__name__)


@dataclass(slots=True)
class Request:
    """One request. Header names are lower-case; ``peer`` is the client's network address; ``refused`` is what made it unreadable."""

    method: str
    path: str
    headers: Mapping[str, str] = field(default_factory=dict)
    query: str = ""
    body: bytes = b""
    peer: str = ""
    refused: OAuthError | None = None

    def take(self, body: bytes) -> None:
        """Take what was read of the body: all of it, or more than ``MAX_BODY`` bytes."""
        if len(body) > MAX_BODY:
            self.refused = _too_large()
        else:
            self.body = body

    def form(self) -> dict[str, str]:
        """Read the body as a form.

        :raises OAuthError: it is not one, or :func:`form_fields` refuses it.
        """
        kind, _, parameters = self.headers.get("content-type", "").partition(";")
        charset = parameters.strip().lower()
        if kind.strip().lower() != FORM or charset not in ("", "charset=utf-8", 'charset="utf-8"'):
            raise OAuthError(
                "invalid_request", "The body must be a form in UTF-8.", reason="content_type_unsupported", status=415
            )
        if self.headers.get("content-encoding", "identity").lower() != "identity":
            raise OAuthError(
                "invalid_request", "The body must not be compressed.", reason="content_type_unsupported", status=415
            )
        return form_fields(self.body)


@dataclass(slots=True)
class Answer:
    """The answer to a request."""

    status: int
    headers: list[tuple[str, str]]
    body: bytes

    @property
    def status_line(self) -> str:
        """As WSGI wants it: ``200 OK``."""
        return f"{self.status} {HTTPStatus(self.status).phrase}"


def json_answer(value: Any, status: int = 200, headers: Iterable[tuple[str, str]] = ()) -> Answer:
    """An answer in JSON that nobody may store."""
    body = _JSON.encode(value).encode()
    return Answer(status, [("Content-Type", "application/json"), *NO_STORE, *headers], body)


def form_fields(data: bytes) -> dict[str, str]:
    """Read ``name=value&…`` strictly: at most 60 fields, none repeated, UTF-8, no NUL; an empty value counts as absent
    (RFC 6749 section 3.2).

    :raises OAuthError: ``invalid_request``; it never repeats what was sent.
    """
    if data.count(b"&") >= MAX_FIELDS:
        raise OAuthError("invalid_request", "The request has too many parameters.", reason="request_unreadable")
    fields: dict[str, str] = {}
    try:
        for pair in data.decode("ascii").split("&"):
            if not pair:
                continue
            written, _, value = pair.partition("=")
            name, value = _decoded(written), _decoded(value)
            if "\x00" in name or "\x00" in value:
                raise ValueError
            if name in fields:
                raise OAuthError("invalid_request", "A parameter is given more than once.", reason="parameter_repeated")
            fields[name] = value
    except ValueError:
        raise OAuthError(
            "invalid_request", "The request is not readable as a form.", reason="request_unreadable"
        ) from None
    return {name: value for name, value in fields.items() if value}


def _decoded(part: str) -> str:
    # Most parts, tokens above all, hold nothing to decode, and looking for it takes a tenth of the time.
    return unquote_plus(part, errors="strict") if "%" in part or "+" in part else part


def client_address(remote: str, forwarded: str, trusted_proxies: Iterable[Network]) -> str:
    """The network address of the client: the last one in X-Forwarded-For that is not one of our own proxies.

    ``remote`` is the peer of the connection; without a trusted proxy there the header counts for nothing.
    """
    proxies = tuple(trusted_proxies)
    address = remote
    hops = [hop.strip() for hop in forwarded.split(",")] if proxies and forwarded else []
    while hops and _is_within(address, proxies):
        hop = hops.pop()
        try:
            address = str(ipaddress.ip_address(hop))
        except ValueError:
            break  # a proxy of ours wrote something else: the nearest address that is sure counts
    return address


def _is_within(address: str, networks: tuple[Network, ...]) -> bool:
    try:
        parsed = ipaddress.ip_address(address)
    except ValueError:
        return False
    return any(parsed in network for network in networks)


def read_request(
    method: str, path: str, query: str, headers: Mapping[str, str], remote: str, trusted_proxies: Iterable[Network] = ()
) -> Request:
    """A request whose body has not been read yet, and may only be where nothing is ``refused``. Never raises for what was
    sent.

    ``headers`` have lower-case names, a repeated one has its values joined with commas; ``remote`` is the peer of the
    connection.
    """
    request = Request(
        method, path, headers, query, peer=client_address(remote, headers.get("x-forwarded-for", ""), trusted_proxies)
    )
    length = headers.get("content-length", "") if method == "POST" else ""
    if "," in headers.get("host", ""):  # given twice
        request.refused = OAuthError("invalid_request", "The Host header is given twice.", reason="request_unreadable")
    elif length and not (length.isascii() and length.isdigit()):
        request.refused = OAuthError(
            "invalid_request", "The Content-Length is not a number.", reason="request_unreadable"
        )
    elif int(length[:10] or 0) > MAX_BODY:
        request.refused = _too_large()
    return request


def wsgi_request(environ: dict[str, Any], trusted_proxies: Iterable[Network] = ()) -> Request:
    """Read a request from WSGI, with its body, as :func:`read_request` does.

    The body is put back into the environment, because ``/authorize`` may be left to Flask.
    """
    headers = {name: environ[key] for key, name in _HEADERS.items() if key in environ}
    request = read_request(
        environ["REQUEST_METHOD"],
        environ["PATH_INFO"],
        environ.get("QUERY_STRING", ""),
        headers,
        environ.get("REMOTE_ADDR", ""),
        trusted_proxies,
    )
    length = headers.get("content-length")
    # Without a length the body comes in chunks, and some servers tell where they end.
    if request.method == "POST" and not request.refused and (length or environ.get("wsgi.input_terminated")):
        body = environ["wsgi.input"].read(int(length) if length else MAX_BODY + 1)
        environ["wsgi.input"] = BytesIO(body)
        request.take(body)
    return request


def _too_large() -> OAuthError:
    return OAuthError("invalid_request", "The body is too large.", reason="request_too_large", status=413)


@dataclass(frozen=True, slots=True)
class Route:
    """An endpoint. ``cors``: whom a script may be from: "any", "registered" (origins of redirect URIs) or "none".
    ``challenge`` is the scheme of WWW-Authenticate on refusals. ``slow_field``: with this field in its form, answering
    may have to ask another server of somebody else's.
    """

    handle: Callable[[Request], Answer]
    methods: tuple[str, ...]
    cors: str = "none"
    challenge: str = ""
    slow_field: bytes = b""


class Endpoints:
    """All machine endpoints by path. ``authorize`` answers /authorize when nobody needs to be asked anything, else None."""

    def __init__(
        self,
        routes: Mapping[str, Route],
        *,
        authorize: Callable[[Request], Answer | None],
        origin_is_registered: Callable[[str], bool],
        attempts: Attempts,
        issuer: str,
        count: Callable[[str, int, float], None] | None = None,
    ) -> None:
        """``count`` is told the path, the status and the seconds of each answer."""
        self._routes = dict(routes)
        self._count = count
        self._authorize = authorize
        self._origin_is_registered = origin_is_registered
        self._attempts = attempts
        self._realm = issuer
        self._policy = list(_POLICY)
        if issuer.startswith("https://"):
            self._policy.append(("Strict-Transport-Security", "max-age=31536000"))

    def serves(self, path: str) -> bool:
        """Whether :meth:`answer` may know this path. Exact: no slash at the end, no other case."""
        return path in self._routes or path == "/authorize"

    def is_quick(self, request: Request) -> bool:
        """Whether :meth:`answer` asks nobody but our own store, however the names in the form are written."""
        route = self._routes.get(request.path)
        if route is None or not route.slow_field:
            return True
        body = request.body
        return route.slow_field not in (unquote_to_bytes(body) if b"%" in body else body)

    def answer(self, request: Request) -> Answer | None:
        """Answer a request; None: a page must (an unknown path, or /authorize with something to ask or to refuse)."""
        if self._count is None:
            return self._answered(request)
        started = perf_counter()
        answer = self._answered(request)
        if answer is not None:
            self._count(request.path, answer.status, perf_counter() - started)
        return answer

    def _answered(self, request: Request) -> Answer | None:
        if request.path == "/authorize":
            return self._authorize_quickly(request)
        route = self._routes.get(request.path)
        if route is None:
            return None
        if request.method == "OPTIONS" and "access-control-request-method" in request.headers:
            answer = Answer(204, [("Cache-Control", "no-store")], b"")
        else:
            answer = self._answer(route, request)
        answer.headers += self._policy
        if route.cors != "none":
            answer.headers += self._cors(route, request)
        if request.method == "HEAD":
            answer.body = b""
        return answer

    def _authorize_quickly(self, request: Request) -> Answer | None:
        if request.refused is not None:
            return None
        try:
            return self._authorize(request)
        except Exception:  # noqa: BLE001 whatever it is: the page meets it again, and shows it to the person with a receipt
            return None

    def _answer(self, route: Route, request: Request) -> Answer:
        try:
            if request.refused is not None:
                raise request.refused
            if request.method not in route.methods:
                answer = _error(
                    OAuthError(
                        "invalid_request", "This method is not allowed here.", reason="method_not_allowed", status=405
                    )
                )
                answer.headers.append(("Allow", ", ".join(route.methods)))
                return answer
            return route.handle(request)
        except OAuthError as error:
            _log.info("request_refused", path=request.path, error=error.error, reason=error.reason, detail=error.detail)
            answer = _error(error)
            challenge = self._challenge(route, error)
            if challenge:
                answer.headers.append(("WWW-Authenticate", challenge))
            return answer
        except Unavailable as error:
            _log.error("unavailable", path=request.path, reason=error.reason, detail=error.detail)
            answer = json_answer(
                {"error": "temporarily_unavailable", "error_description": "Please try again shortly."}, 503
            )
            answer.headers.append(("Retry-After", str(error.retry_after)))
            return answer
        except Exception as error:  # noqa: BLE001 the last net: a relying party must never read a traceback
            return self._broken(request, error)

    def _broken(self, request: Request, error: Exception) -> Answer:
        receipt = self._attempts.start()
        self._attempts.step(receipt, Step.request_refused, reason="internal", detail=request.path)
        # The kind of the error and where it happened, never its text, which may hold what was sent (P-29).
        frames = traceback.extract_tb(error.__traceback__)
        where = f"{frames[-1].filename}:{frames[-1].lineno}"
        _log.error("broken", path=request.path, kind=type(error).__name__, where=where, receipt=receipt)
        return json_answer({"error": "server_error", "error_description": f"Our fault. Please quote {receipt}."}, 500)

    def _challenge(self, route: Route, error: OAuthError) -> str:
        if route.challenge == "Bearer":  # RFC 6750 section 3.1: no error code where no token was given
            return f'Bearer realm="{self._realm}"' + (
                f', error="{error.error}"' if error.reason != "token_missing" else ""
            )
        if route.challenge and error.status == 401:
            return f'{route.challenge} realm="{self._realm}"'
        return ""

    def _cors(self, route: Route, request: Request) -> list[tuple[str, str]]:
        headers = []
        if route.cors == "any":
            allowed = "*"
        else:
            headers.append(("Vary", "Origin"))
            origin = request.headers.get("origin", "")
            allowed = origin if origin and self._origin_is_registered(origin) else ""
        if not allowed:
            return headers
        headers.append(("Access-Control-Allow-Origin", allowed))
        if request.method == "OPTIONS":
            headers.append(("Access-Control-Allow-Methods", ", ".join(route.methods)))
            headers.append(("Access-Control-Allow-Headers", "Authorization, Content-Type"))
            headers.append(("Access-Control-Max-Age", "600"))
        else:
            headers.append(("Access-Control-Expose-Headers", "WWW-Authenticate, Retry-After"))
        return headers


def _error(error: OAuthError) -> Answer:
    return json_answer({"error": error.error, "error_description": error.public}, error.status)
