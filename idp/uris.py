"""URIs that operators register: each in its one normal form, so that a comparison byte for byte is enough."""

from __future__ import annotations

import ipaddress
import re
from urllib.parse import urlsplit


class BadUri(ValueError):
    """A URI that may not be registered: what is wrong with it, and what to write instead."""

    def __init__(self, message: str, remedy: str) -> None:
        super().__init__(message)
        self.message = message
        self.remedy = remedy


_HOST_LABEL = re.compile(r"(?!-)[a-z0-9-]{1,63}(?<!-)\Z")
_NUMBER_LABEL = re.compile(r"([0-9]+|0x[0-9a-f]*)\Z")
_URI_CHARACTERS = re.compile(r"[A-Za-z0-9\-._~:/?\[\]@!$&'()+,;=%#]+\Z")
_BAD_ESCAPE = re.compile(r"%(?![0-9A-Fa-f]{2})|%[01][0-9A-Fa-f]|%7[Ff]")
_HIDDEN_STEP = re.compile(r"%2[EeFf]|%5[Cc]")
_ORIGIN = re.compile(r"(https?)://(\[[0-9a-f:.]+\]|[^][:/?#@\s]+)(?::([0-9]*))?[/?#]*\Z", re.IGNORECASE)
_PRIVATE_SCHEME = re.compile(r"[a-z][a-z0-9-]*(\.[a-z0-9-]+)+\Z")


def check_uri(value: str, *, loopback: bool, native: bool = False) -> str:
    """A URI that we may redirect to, call or link to, in its one normal form (attacks AZ-04, RG-03, RG-05).

    https on a DNS name; http or https on this machine only while the issuer is here (``loopback``); for a native
    product also http on 127.0.0.1 or [::1], and a private-use scheme with a dot (RFC 8252 section 7).

    :raises BadUri: with message and remedy.
    """
    if len(value) > 2000:
        raise BadUri("is longer than 2000 characters", "shorten it")
    if not _URI_CHARACTERS.match(value):
        raise BadUri(
            "holds a character that no URI may hold here (space, control, quote, backslash, * or non-ASCII)",
            "write out each address; encode other characters as %XX, and a host name in its xn-- form",
        )
    if "#" in value:
        raise BadUri("has a fragment (#…)", "remove everything from the # on")
    if _BAD_ESCAPE.search(value):
        raise BadUri(
            "has a % that encodes a control character or nothing", "remove it, or write %25 for the sign itself"
        )
    scheme, colon, rest = value.partition(":")
    if not colon:
        raise BadUri("is not an absolute URI", "begin it with https://")
    path = rest.partition("?")[0]
    if _HIDDEN_STEP.search(path) or not {".", ".."}.isdisjoint(path.split("/")):
        raise BadUri("has a . or .. in its path, or hides a dot, slash or backslash as %XX", "write the path plainly")
    if native and _PRIVATE_SCHEME.match(scheme):
        if not rest.startswith("/") or rest.startswith("//"):
            raise BadUri(
                "must have exactly one slash after its scheme", f"write {scheme}:/callback (RFC 8252 section 7.1)"
            )
        return value
    if scheme not in ("https", "http"):
        remedy = "use https://"
        if native:
            remedy += ", or the reversed name of a domain of yours as scheme, such as com.example.app:/callback"
        raise BadUri(f"has the scheme {scheme!r}, which is not allowed here", remedy)
    if not rest.startswith("//"):
        raise BadUri("has no host", f"write {scheme}://host/path")
    _check_authority(scheme, value, loopback=loopback, native=native)
    return value


def _check_authority(scheme: str, value: str, *, loopback: bool, native: bool) -> None:
    try:
        parts = urlsplit(value)
        host, port = parts.hostname or "", parts.port
    except ValueError:
        raise BadUri("has a host or port that cannot be read", "write host or host:port") from None
    if "@" in parts.netloc:
        raise BadUri("has a user name before its host", "remove everything up to the @")
    shown = f"[{host}]" if ":" in host else host
    default = {"https": 443, "http": 80}[scheme]
    if parts.netloc != shown + ("" if port in (None, default) else f":{port}") or port == 0:
        raise BadUri("is not in normal form", f"write the host in lower case and no default port: {scheme}://{shown}/…")
    if is_loopback(host):
        if loopback or (native and scheme == "http" and host in ("127.0.0.1", "::1")):
            return
        if native:
            raise BadUri(
                "must be http on an address of loopback",
                "write http://127.0.0.1/… or http://[::1]/… (RFC 8252 section 7.3)",
            )
        raise BadUri(
            "is on this machine, which is allowed only while IDP_ISSUER is on localhost",
            "give the https address that people reach; a native product has `type: native`",
        )
    if scheme == "http":
        raise BadUri("is http", "use https; http is only for localhost while IDP_ISSUER is on localhost")
    if ":" in host or _NUMBER_LABEL.match(host.rpartition(".")[2]):
        raise BadUri("has an IP address as host", "use a DNS name")
    if not is_host_name(host):
        raise BadUri("has a host that is no DNS name", "check the spelling; no dot at the end, no underscore")


def normal_origin(value: str) -> str | None:
    """The normal form of ``scheme://host:port``: lower case, no default port, nothing after it (RFC 6454 section 6.2).

    :returns: None when it is none of http or https, on a DNS name or an address of this machine.
    """
    found = _ORIGIN.match(value.strip())
    if found is None:
        return None
    scheme, host, port = found[1].lower(), found[2].lower(), found[3]
    if host.startswith("["):
        try:
            host = f"[{ipaddress.IPv6Address(host[1:-1])}]"
        except ValueError:
            return None
    if not is_host_name(host) and (host.endswith(".localhost") or not is_loopback(host)):
        return None
    default = {"https": 443, "http": 80}[scheme]
    number = default if not port else int(port)
    if not 0 < number < 65536:
        return None
    return f"{scheme}://{host}" + ("" if number == default else f":{number}")


def is_loopback(host: str) -> bool:
    """Whether a host name or address means this machine."""
    if host == "localhost" or host.endswith(".localhost"):
        return True
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False


def is_host_name(value: str) -> bool:
    """Whether this is a DNS name in lower case (IDN as xn--), and no IP address in any spelling."""
    labels = value.split(".")
    return len(value) <= 253 and all(map(_HOST_LABEL.match, labels)) and not _NUMBER_LABEL.match(labels[-1])
