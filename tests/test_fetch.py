"""Promises of fetch.py: what an address that somebody else chose can never make us do (RG-05, LO-07, AD-14)."""

from __future__ import annotations

import itertools
import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterator, Sequence

import pytest
import trustme

from idp.config import Config, read_config
from idp.fetch import Fetcher, FetchError, check_url, system_resolver
from tests.fakes.product_server import NAME, Asked, ProductServer, product_server, reply

HERE = read_config({"IDP_ISSUER": "http://localhost:8000"})
ABROAD = read_config({"IDP_ISSUER": "https://login.example"})


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    return trustme.CA()


@pytest.fixture
def product(authority: trustme.CA) -> Iterator[ProductServer]:
    with product_server(authority) as server:
        yield server


class Names:
    """A resolver that gives the next of its answers each time, and counts."""

    def __init__(self, *answers: Sequence[str]) -> None:
        self.answers = itertools.chain(answers, itertools.repeat(answers[-1]))
        self.asked: list[tuple[str, int]] = []

    def __call__(self, host: str, port: int) -> Sequence[str]:
        self.asked.append((host, port))
        return next(self.answers)


def fetcher(
    authority: trustme.CA | None, names: Callable[[str, int], Sequence[str]] | None = None, config: Config = HERE
) -> Fetcher:
    trusted = ssl.create_default_context()
    if authority is not None:
        authority.configure_trust(trusted)
    return Fetcher(config, names or Names(["127.0.0.1"]), trusted)


def why(call: Callable[[], object]) -> tuple[bool, str]:
    with pytest.raises(FetchError) as caught:
        call()
    return caught.value.refused, caught.value.detail


def test_a_form_is_posted_under_the_name_to_the_pinned_address(authority: trustme.CA, product: ProductServer) -> None:
    names = Names(["127.0.0.1"], ["127.0.0.2"])

    assert fetcher(authority, names).post(product.url("/bc?x=1"), {"logout_token": "a+b&c"}) == 200

    [asked] = product.asked
    assert asked.line == "POST /bc?x=1 HTTP/1.1"
    assert asked.headers["host"] == f"{NAME}:{product.port}"
    assert asked.server_name == NAME
    assert asked.headers["content-type"] == "application/x-www-form-urlencoded"
    assert asked.body == b"logout_token=a%2Bb%26c"
    assert names.asked == [(NAME, product.port)]


def test_json_is_fetched(authority: trustme.CA, product: ProductServer) -> None:
    product.answer = reply(200, b'{"keys": []}')

    assert fetcher(authority).get_json(product.url("/jwks")) == {"keys": []}
    assert product.asked[0].line == "GET /jwks HTTP/1.1"


def test_what_is_there_is_got_with_its_status_and_no_more_than_wanted(
    authority: trustme.CA, product: ProductServer
) -> None:
    product.answer = reply(301, b"0123456789", Location="https://elsewhere.example/")
    assert fetcher(authority).get(product.url("/file.txt"), 4) == (301, b"0123")
    assert [asked.line for asked in product.asked] == ["GET /file.txt HTTP/1.1"]
    with pytest.raises(FetchError) as caught:
        fetcher(None).get(product.url("/file.txt"), 4)
    assert isinstance(caught.value.__cause__, ssl.SSLError)  # by which a caller knows a bad certificate


def test_http_is_spoken_on_loopback_while_the_issuer_is_there() -> None:
    with product_server(None) as product:
        assert fetcher(None).post(f"http://localhost:{product.port}/", {}) == 200
        assert why(lambda: fetcher(None, config=ABROAD).post(f"http://localhost:{product.port}/", {}))[0]
        assert why(lambda: fetcher(None, Names(["198.41.0.4"])).post(f"http://{NAME}:{product.port}/", {}))[0]
    assert len(product.asked) == 1


@pytest.mark.parametrize(
    "url",
    [
        "http://rp.example/",
        "gopher://rp.example/",
        "file:///etc/passwd",
        "ftp://rp.example/",
        "//rp.example/",
        "rp.example",
        "",
        "https://",
        "https:///x",
        "https://a@rp.example/",
        "https://a:b@rp.example/",
        "https://@rp.example/",
        "https://rp.example/#f",
        "https://rp.example/#",
        "https://rp.example\\@127.0.0.1/",
        "https://rp.example/a b",
        "https://rp.example/\r\nHost: evil",
        "https://rp.example/\u2028",
        "https://rp.\texample/",
        "https://bücher.example/",
        "https://rp.example:0/",
        "https://rp.example:/",
        "https://rp.example:99999/",
        "https://rp.example:4x3/",
        "https://rp..example/",
        "https://.rp.example/",
        "https://rp.example./",
        "https://-rp.example/",
        "https://rp.example%2eevil/",
        "https://0/",
        "https://2130706433/",
        "https://017700000001/",
        "https://0x7f000001/",
        "https://0x7f.0.0.1/",
        "https://127.1/",
        "https://127.0.0.01/",
        "https://0127.0.0.1/",
        "https://127.0.0.1./",
        "https://rp.example.127/",
        "https://127.0.0.1/",
        "https://10.0.0.1/",
        "https://169.254.169.254/latest/meta-data/",
        "https://0.0.0.0/",
        "https://[::]/",
        "https://[::1]/",
        "https://[::ffff:127.0.0.1]/",
        "https://[::ffff:7f00:1]/",
        "https://[fe80::1%25eth0]/",
        "https://[fe80::1%eth0]/",
        "https://[fd00::1]/",
        "https://[::1",
        "https://[v1.x]/",
        "https://[198.41.0.4]/",
        "https://[rp.example]/",
        "https://" + "a" * 64 + ".example/",
        "https://" + "a." * 127 + "example/",
        "https://rp.example/" + "x" * 2048,
    ],
)
def test_rg_05_a_url_that_leads_astray_is_refused_before_anything_is_resolved(url: str) -> None:
    names = Names(["198.41.0.4"])

    assert why(lambda: check_url(url, loopback=False))[0]
    assert why(lambda: fetcher(None, names, ABROAD).post(url, {}))[0]
    assert names.asked == []


@pytest.mark.parametrize(
    "url", ["https://rp.example", "https://RP.example:8443/x?y=z", "https://198.41.0.4/", "https://[2606:4700::1111]/"]
)
def test_an_ordinary_url_is_accepted(url: str) -> None:
    assert check_url(url, loopback=False).secure


@pytest.mark.parametrize(
    "address",
    [
        "127.0.0.1",
        "127.8.8.8",
        "::1",
        "0.0.0.0",
        "::",
        "10.0.0.1",
        "172.16.0.1",
        "192.168.1.1",
        "100.64.0.1",
        "169.254.169.254",
        "192.0.0.8",
        "192.0.2.1",
        "198.18.0.1",
        "224.0.0.1",
        "240.0.0.1",
        "255.255.255.255",
        "::ffff:127.0.0.1",
        "::ffff:198.41.0.4",
        "::127.0.0.1",
        "64:ff9b::7f00:1",
        "64:ff9b:1::7f00:1",
        "2002:7f00:1::",
        "2001:0:7f00:1::",
        "2001:db8::1",
        "100::1",
        "fc00::1",
        "fd12:3456::1",
        "fe80::1",
        "fec0::1",
        "ff02::1",
        "4000::1",
    ],
)
def test_rg_05_a_name_with_a_forbidden_address_is_refused_also_beside_a_public_one(
    address: str, product: ProductServer
) -> None:
    for addresses in ([address], ["198.41.0.4", address]):
        refused, detail = why(lambda: fetcher(None, Names(addresses), ABROAD).post(product.url(), {}))  # noqa: B023 called at once
        assert refused, detail
    assert product.connections == 0


def test_rg_05_a_name_that_changes_its_address_is_called_where_it_was_checked(
    authority: trustme.CA, product: ProductServer
) -> None:
    with product_server(authority, address="127.0.0.2") as rebound:
        names = Names(["127.0.0.1"], ["127.0.0.2"])
        fetcher(authority, names).post(product.url(), {})
    assert len(names.asked) == len(product.asked) == 1
    assert rebound.connections == 0


def test_rg_05_a_redirect_is_not_followed(authority: trustme.CA, product: ProductServer) -> None:
    with product_server(None) as inside:
        product.answer = reply(302, Location=f"http://127.0.0.1:{inside.port}/")
        caller = fetcher(authority)

        assert caller.post(product.url(), {}) == 302
        assert why(lambda: caller.get_json(product.url())) == (False, "status 302")
    assert inside.connections == 0


def test_a_private_network_is_reached_only_when_it_is_listed() -> None:
    config = read_config({"IDP_ISSUER": "https://login.example", "IDP_ALLOWED_NETWORKS": "10.1.2.0/24 127.0.0.0/8"})

    assert check_url("https://10.1.2.3/", loopback=False, allowed=config.allowed_networks).host == "10.1.2.3"
    refused, _ = why(
        lambda: fetcher(None, Names(["10.1.2.3"]), config).post("https://intra.example/", {}, seconds=0.05)
    )
    assert not refused
    for address in ("10.1.3.3", "127.0.0.1"):  # the latter goes with an issuer on loopback only
        assert why(lambda: fetcher(None, Names([address]), config).post("https://intra.example/", {}))[0]  # noqa: B023 called at once


def test_the_proxies_of_the_environment_do_not_count(
    authority: trustme.CA, product: ProductServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("HTTPS_PROXY", "https_proxy", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")

    assert fetcher(authority).post(product.url(), {}) == 200


def test_a_certificate_must_be_trusted_and_for_the_name(authority: trustme.CA, product: ProductServer) -> None:
    assert "CERTIFICATE_VERIFY_FAILED" in why(lambda: fetcher(None).post(product.url(), {}))[1]
    other = product.url(name="other.example")
    assert "CERTIFICATE_VERIFY_FAILED" in why(lambda: fetcher(authority).post(other, {}))[1]
    assert product.asked == []


def test_another_address_of_the_name_is_tried_when_the_first_is_dead(
    authority: trustme.CA, product: ProductServer
) -> None:
    assert fetcher(authority, Names(["127.0.0.3", "127.0.0.1"])).post(product.url(), {}) == 200


def test_a_document_that_is_too_long_is_given_up(authority: trustme.CA, product: ProductServer) -> None:
    written = 0

    def endless(_: Asked, write: Callable[[bytes], None]) -> None:
        nonlocal written
        write(b"HTTP/1.1 200 OK\r\n\r\n")
        while not product.released.is_set():
            write(b" " * 65536)
            written += 65536

    product.answer = endless

    assert why(lambda: fetcher(authority).get_json(product.url(), limit=1000)) == (False, "longer than 1000 bytes")
    assert written < 10_000_000  # what fits into the buffers on the way


@pytest.mark.parametrize("body", [b"", b"{", b"<html>", b"\xff", b"[" * 60_000])
def test_what_is_not_json_is_an_error_of_theirs(authority: trustme.CA, product: ProductServer, body: bytes) -> None:
    product.answer = reply(200, body)

    assert why(lambda: fetcher(authority).get_json(product.url())) == (False, "not JSON")


def test_lo_07_one_deadline_bounds_the_whole_call(authority: trustme.CA, product: ProductServer) -> None:
    def dripping(start: bytes) -> Callable[[Asked, Callable[[bytes], None]], None]:
        def answer(_: Asked, write: Callable[[bytes], None]) -> None:
            write(start)
            while not product.released.wait(0.02):  # each byte alone is in time
                write(b"x")

        return answer

    head = b"HTTP/1.1 200 OK\r\n"
    # The last two end with their connection, or in pieces: http.client keeps the socket of each in another place.
    for start in (
        b"",
        head + b"X: ",
        head + b"Content-Length: 60000\r\n\r\n",
        head + b"\r\n",
        head + b"Connection: close\r\nTransfer-Encoding: chunked\r\n\r\nffff\r\n",
    ):
        product.answer = dripping(start)
        began = time.monotonic()
        assert why(lambda: fetcher(authority).get_json(product.url(), seconds=0.3)) == (False, "the deadline passed")
        assert time.monotonic() - began < 5


def test_lo_07_a_server_that_accepts_and_says_nothing_ends_at_the_deadline(authority: trustme.CA) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:  # the kernel takes connections, and nobody speaks
        url = f"https://{NAME}:{silent.getsockname()[1]}/"
        assert why(lambda: fetcher(authority).post(url, {}, seconds=0.3)) == (False, "the deadline passed")


def test_lo_07_a_name_server_that_says_nothing_ends_at_the_deadline() -> None:
    over = threading.Event()

    def silent(host: str, port: int) -> Sequence[str]:
        over.wait(60)
        return ["198.41.0.4"]

    assert why(lambda: fetcher(None, silent, ABROAD).post("https://rp.example/", {}, seconds=0.1)) == (
        False,
        "the name was not resolved in time",
    )
    over.set()


def test_a_name_that_does_not_exist_is_an_error_of_theirs() -> None:
    def unknown(host: str, port: int) -> Sequence[str]:
        raise OSError("no such name")

    assert why(lambda: fetcher(None, unknown, ABROAD).post("https://rp.example/", {})) == (
        False,
        "the name does not resolve",
    )
    assert (
        why(lambda: fetcher(None, Names([]), ABROAD).post("https://rp.example/", {}))[1] == "the name does not resolve"
    )


def test_the_system_resolver_gives_addresses() -> None:
    assert "127.0.0.1" in system_resolver("localhost", 443)
