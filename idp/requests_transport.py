"""What lets a client library on ``requests`` call out under our rules: its sessions send everything by the Fetcher."""

from __future__ import annotations

import io
import time
from collections.abc import Mapping
from typing import Any

from requests import PreparedRequest, Response, Session
from requests.adapters import BaseAdapter

from idp.fetch import TOTAL_SECONDS, Fetcher

LARGEST = 64 * 1024  # bytes of an answer
# They belong to the connection, which is the Fetcher's.
_NOT_PASSED_ON = {"connection", "user-agent", "accept-encoding", "content-length"}


def bind(session: Session, fetcher: Fetcher, ends: float) -> None:
    """Have a session call out by ``fetcher`` and in no other way, until ``ends`` (of time.monotonic)."""
    session.trust_env = False  # no proxies, no .netrc
    session.adapters.clear()
    session.mount("", _Transport(fetcher, ends))


class _Transport(BaseAdapter):
    def __init__(self, fetcher: Fetcher, ends: float) -> None:
        super().__init__()
        self._fetcher, self._ends = fetcher, ends

    def send(
        self,
        request: PreparedRequest,
        stream: bool = False,
        timeout: float | tuple[float, float] | tuple[float, None] | None = None,
        verify: bool | str = True,
        cert: bytes | str | tuple[bytes | str, bytes | str] | None = None,
        proxies: Mapping[str, str] | None = None,
    ) -> Response:
        """One request; all that ``requests`` could change in how it is sent is left aside.

        :raises FetchError: refused, no answer in time, or too long.
        """
        body: Any = request.body
        answer = self._fetcher.send(
            request.method or "GET",
            request.url or "",
            {name: value for name, value in request.headers.items() if name.lower() not in _NOT_PASSED_ON},
            body.encode("utf-8") if isinstance(body, str) else body,
            limit=LARGEST,
            seconds=max(0.01, min(TOTAL_SECONDS, self._ends - time.monotonic())),
        )
        response = Response()
        response.status_code = answer.status
        response.headers["Content-Type"] = answer.content_type  # and no other: no redirect is followed, no cookie kept
        response.encoding = "utf-8"
        response.raw = io.BytesIO(answer.body)
        response.url = request.url or ""
        response.request = request
        return response

    def close(self) -> None:
        """Nothing stays open."""
