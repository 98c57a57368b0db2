"""Requests that a product sends by POST to ``/authorize`` or ``/logout``. A companion of these two pages.

Such a POST comes from another site, so the browser leaves our cookies (SameSite=Lax) at home. The request is parked and
the browser comes back by GET, with them. The parked request is bound to no browser: whoever could send it by POST could
send it by GET as well.
"""

from __future__ import annotations

from flask import Response, g, request

from idp.errors import PageError
from idp.login import pending as pendings
from idp.oidc.request_checks import MAX_QUERY
from idp.parts import parts
from idp.redirects import go

ANY_BROWSER = ""


def come_back_by_get() -> Response:
    """Park the form that was posted and send the browser back to the same address by GET.

    :raises PageError: it is not a form, or too large.
    """
    here = parts()
    if request.mimetype != "application/x-www-form-urlencoded":
        raise PageError("request_unreadable", status=415)
    raw = request.get_data().decode("latin-1")
    if len(raw) > MAX_QUERY:
        raise PageError("request_too_large", status=413)
    handle = pendings.park(
        here.store,
        purpose="posted",
        browser=ANY_BROWSER,
        receipt=g.receipt,
        now=here.clock(),
        random=here.random,
        request=raw,
    )
    return go(request.path, posted=handle)


def posted_or_query() -> str:
    """The request that was posted before, else the query string.

    :raises PageError: ``pending_unknown``: the posted request has been taken already.
    """
    handle = request.args.get("posted")
    if handle is None or len(request.args) > 1:  # beside others it is some product's own parameter, to be ignored
        return request.query_string.decode("latin-1")
    posted = pendings.take(parts().store, handle, ANY_BROWSER, parts().clock())
    g.receipt = posted.receipt
    return posted.request
