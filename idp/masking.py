"""Values that may name a person, masked before they are kept or shown: addresses of mail and of networks, URIs, text with either."""

from __future__ import annotations

import ipaddress
import re
from urllib.parse import urlsplit

from idp.logs import printable

_DOMAIN = re.compile(r"([\w-]{1,63}\.)+[^\W\d_]{2,63}\Z")
_ADDRESS = re.compile(r"[^\s@<>\"',;:()]+@[^\s<>\"',;:()]*")


def mask_email(text: str) -> str:
    """``carol@example.org`` → ``c•••l@example.org``. What is no address (a password in the wrong field, say) goes whole."""
    name, at, domain = text.strip().rpartition("@")
    if not (at and name and _DOMAIN.match(domain)):
        return "•••"
    ends = (name[0], name[-1]) if len(name) > 3 else ("", "")
    return printable(f"{ends[0]}•••{ends[1]}@{domain.lower()}")


def mask_address(text: str) -> str:
    """A network address, shortened to its network: ``192.0.2.7`` → ``192.0.2.0/24``, IPv6 to /48."""
    try:
        address = ipaddress.ip_address(text)
    except ValueError:
        return "•••"
    if isinstance(address, ipaddress.IPv6Address) and address.ipv4_mapped:
        address = address.ipv4_mapped
    prefix = 24 if address.version == 4 else 48
    return str(ipaddress.ip_network((address, prefix), strict=False))


def mask_uri(text: str) -> str:
    """A URI without what it may carry: user name, query and fragment go."""
    try:
        parts = urlsplit(text)
        host = f"//{parts.hostname}{f':{parts.port}' if parts.port else ''}" if parts.hostname else ""
    except ValueError:
        return "•••"
    return printable(f"{parts.scheme}:{host}{parts.path}{'?•••' if parts.query or parts.fragment else ''}")


def mask_text(text: str) -> str:
    """Text in which something may be an e-mail address; what else it tells was made to be read."""
    return _ADDRESS.sub(lambda found: mask_email(found[0]), printable(text))
