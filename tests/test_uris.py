"""Which URIs an operator may register."""

from __future__ import annotations

from urllib.parse import urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st

from idp.uris import BadUri, check_uri, is_host_name

GOOD = [
    "https://rp1.example/cb",
    "https://rp1.example",
    "https://rp1.example/?x=1&y=%2Fz",
    "https://rp1.example:8443/a/b;c",
    "https://xn--bcher-kva.example/cb",
    "https://intranet/cb",
    "https://1.rp.example/~me/it's(ok)",
]
NATIVE = [
    "com.example.app:/cb",
    "com.example.app:/",
    "http://127.0.0.1/cb",
    "http://127.0.0.1:5000/cb",
    "http://[::1]/cb",
]
LOOPBACK = [
    "http://localhost:8002/callback",
    "https://localhost/cb",
    "http://127.0.0.1:8002/",
    "http://[::1]:8002/",
    "http://rp.localhost/cb",
]
# Attacks RG-03, RG-05 and AZ-04: never, whoever asks, wherever the issuer is.
NEVER = [
    "",
    " ",
    "rp1.example/cb",
    "/cb",
    "//rp1.example/cb",
    "https:/rp1.example/cb",
    "https:rp1.example",
    "https://",
    "https:///cb",
    "https://?x",
    "javascript:alert(1)//",
    "javascript://rp1.example/%0aalert(1)",
    "data:text/html,x",
    "vbscript:x",
    "file:///etc/passwd",
    "gopher://rp1.example/",
    "ftp://rp1.example/",
    "ws://rp1.example/",
    "about:blank",
    "blob:https://rp1.example/1",
    "http://rp1.example/cb",
    "HTTPS://rp1.example/cb",
    "https://RP1.example/cb",
    "https://rp1.example:443/cb",
    "https://rp1.example:/cb",
    "https://rp1.example:0/cb",
    "https://rp1.example:08443/cb",
    "https://rp1.example:99999/cb",
    "https://rp1.example:a/cb",
    "https://rp1.example/cb#",
    "https://rp1.example/cb#frag",
    "https://user@rp1.example/cb",
    "https://user:pw@rp1.example/cb",
    "https://@rp1.example/cb",
    "https://rp1.example@evil.example/cb",
    "https://*.rp1.example/cb",
    "https://rp1.example/*",
    "https://rp1.example./cb",
    "https://.rp1.example/cb",
    "https://rp1..example/cb",
    "https://-rp1.example/cb",
    "https://rp_1.example/cb",
    "https://bücher.example/cb",
    "https://rp1.example/bücher",
    "https://rp1%2eexample/cb",
    "https://rp1.example\\@evil.example/cb",
    "https://rp1.example\\cb",
    "https://rp1.example/c b",
    "https://rp1.example/cb\n",
    "\thttps://rp1.example/cb",
    "https://rp1.example/cb\r\nSet-Cookie: x=1",
    "https://rp1.example/cb%0d%0aSet-Cookie:x=1",
    "https://rp1.example/cb%00",
    "https://rp1.example/cb%7f",
    "https://rp1.example/cb%",
    "https://rp1.example/cb%zz",
    "https://rp1.example/cb\x00",
    "https://rp1.example/cb\u2028",
    "https://rp1.example/../cb",
    "https://rp1.example/a/./cb",
    "https://rp1.example/a/..",
    "https://rp1.example/%2e%2e/cb",
    "https://rp1.example/a%2F..%2Fcb",
    "https://rp1.example/a%5ccb",
    'https://rp1.example/"><script>',
    "https://rp1.example/`x`",
    "https://rp1.example/{x}",
    "https://rp1.example/|x",
    "https://10.0.0.1/cb",
    "https://93.184.216.34/cb",
    "https://169.254.169.254/latest",
    "https://0/cb",
    "https://0.0.0.0/cb",
    "https://2130706433/cb",
    "https://0x7f000001/cb",
    "https://0x7f.1/cb",
    "https://127.1/cb",
    "https://017700000001/cb",
    "https://[::]/cb",
    "https://[fe80::1]/cb",
    "https://[2001:db8::1]/cb",
    "https://[::1/cb",
    "https://[::1].example/cb",
    "https://rp1.example/" + "a" * 2000,
    "https://" + "a" * 64 + ".example/cb",
    "https://" + "a." * 127 + "example/cb",
    "myapp:/cb",
    "com.example.app:cb",
    "com.example.app:",
    "com.example.app://cb",
    "com.example.app://evil.example/cb",
    "com.example.app:/../cb",
    "com.example.app:/cb#x",
    "Com.Example.App:/cb",
    "com..app:/cb",
    ".app:/cb",
    "urn:ietf:wg:oauth:2.0:oob",
]


@pytest.mark.parametrize("uri", GOOD)
def test_https_on_a_dns_name_may_be_registered_by_everybody(uri: str) -> None:
    for native in (False, True):
        for loopback in (False, True):
            assert check_uri(uri, loopback=loopback, native=native) == uri


@pytest.mark.parametrize("uri", NATIVE)
def test_native_products_have_private_schemes_and_loopback_addresses(uri: str) -> None:
    assert check_uri(uri, loopback=False, native=True) == uri
    with pytest.raises(BadUri):
        check_uri(uri, loopback=False)


@pytest.mark.parametrize("uri", LOOPBACK)
def test_this_machine_may_be_registered_only_while_the_issuer_is_here(uri: str) -> None:
    assert check_uri(uri, loopback=True) == uri
    with pytest.raises(BadUri, match="IDP_ISSUER"):
        check_uri(uri, loopback=False)


def test_a_native_product_may_not_use_the_name_localhost() -> None:
    with pytest.raises(BadUri, match="must be http on an address") as refused:
        check_uri("http://localhost/cb", loopback=False, native=True)
    assert "http://127.0.0.1/" in refused.value.remedy


@pytest.mark.parametrize("uri", NEVER)
def test_rg_03_rg_05_az_04_what_may_never_be_registered(uri: str) -> None:
    for native in (False, True):
        for loopback in (False, True):
            with pytest.raises(BadUri) as refused:
                check_uri(uri, loopback=loopback, native=native)
            assert str(refused.value) and refused.value.remedy


SPICES = [
    "https",
    "http",
    "://",
    ":",
    "/",
    "//",
    "\\",
    "@",
    "#",
    "?",
    "%",
    "%2e",
    "..",
    "localhost",
    "127.0.0.1",
    "[::1]",
]
SPICES += ["rp1.example", ".", "\n", "\t", " ", "*", "com.example", "javascript", "é", "0x7f", "1", "A", "a", ":443"]


@given(st.lists(st.sampled_from(SPICES) | st.characters(), max_size=8).map("".join), st.booleans())
def test_whatever_is_accepted_means_the_same_to_everybody(uri: str, native: bool) -> None:
    try:
        check_uri(uri, loopback=False, native=native)
    except BadUri:
        return
    parts = urlsplit(uri)
    assert uri.isascii() and uri.isprintable() and not set(uri) & set(' "\\#<>*^`{|}')
    assert parts.geturl() == uri.removesuffix("?") and parts.username is None and not parts.fragment
    assert ".." not in parts.path.split("/")
    if parts.scheme == "https":
        assert is_host_name(parts.hostname or "") and parts.netloc.partition(":")[0] == parts.hostname
    elif parts.scheme == "http":
        assert native and parts.hostname in ("127.0.0.1", "::1")
    else:
        assert native and "." in parts.scheme and not parts.netloc
