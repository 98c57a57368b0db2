"""Promises of dns_lookup.py, with a real name server: all strings found at exactly the name, or what went wrong in a word."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from idp.dns_lookup import LONGEST_TEXT, MOST_RECORDS, txt_lookup
from tests.backends import free_port
from tests.fakes.dns_server import DnsServer, dns_server


@pytest.fixture
def server() -> Iterator[DnsServer]:
    with dns_server() as running:
        yield running


def test_every_record_is_found_with_its_strings_joined(server: DnsServer) -> None:
    server.records["acme.example"] = ['"v=spf1 -all"', '"idp-verification-" "code=1"', '"caf\\195\\169 \\255"']
    answer = txt_lookup(server.address)("acme.example")
    assert set(answer.texts) == {"v=spf1 -all", "idp-verification-code=1", "café \ufffd"}
    assert answer.problem == "" and not answer.unsure


def test_an_answer_too_long_for_udp_is_asked_for_by_tcp(server: DnsServer) -> None:
    server.records["acme.example"] = [f'"{number:0200}"' for number in range(20)]
    assert len(txt_lookup(server.address)("acme.example").texts) == 20
    assert ("tcp", "acme.example") in server.asked


def test_a_flood_of_records_is_bounded(server: DnsServer) -> None:
    server.records["acme.example"] = [f'"{number:0200}" "{"x" * 250}" "{"y" * 250}"' for number in range(80)]
    texts = txt_lookup(server.address)("acme.example").texts
    assert len(texts) == MOST_RECORDS
    assert {len(text) for text in texts} == {LONGEST_TEXT}


def test_a_name_without_such_a_record_is_not_a_name_that_is_missing(server: DnsServer) -> None:
    server.records["acme.example"] = []
    lookup = txt_lookup(server.address)
    assert (lookup("acme.example").texts, lookup("acme.example").problem) == ((), "")
    assert lookup("nobody.example").problem == "NXDOMAIN"
    assert not lookup("nobody.example").unsure


def test_what_is_found_by_way_of_an_alias_is_not_at_the_name(server: DnsServer) -> None:
    """Whoever runs the target could prove a domain that is not theirs."""
    server.aliases["shop.acme.example"] = "acme.shops.example"
    server.records["acme.shops.example"] = ['"idp-verification-code=1"']
    answer = txt_lookup(server.address)("shop.acme.example")
    assert (answer.texts, answer.problem) == ((), "CNAME")


@pytest.mark.parametrize(
    ("failure", "problem"),
    [("SERVFAIL", "SERVFAIL"), ("REFUSED", "REFUSED"), ("NOTIMP", "NOTIMP"), ("YXDOMAIN", "unreadable")],
)
def test_a_server_that_fails_is_told_by_its_response_code(server: DnsServer, failure: str, problem: str) -> None:
    server.failures["acme.example"] = failure
    answer = txt_lookup(server.address)("acme.example")
    assert (answer.texts, answer.problem, answer.unsure) == ((), problem, True)


def test_garbage_and_silence_are_told(server: DnsServer) -> None:
    server.failures |= {"garbage.example": "garbage", "silent.example": "silence"}
    lookup = txt_lookup(server.address)
    assert lookup("garbage.example").problem in ("unreadable", "timeout")
    assert lookup("silent.example").problem == "timeout"


def test_no_server_at_all_is_told() -> None:
    answer = txt_lookup(f"127.0.0.1:{free_port()}")("acme.example")
    assert answer.unsure and answer.texts == ()


@pytest.mark.parametrize("name", ["", "a" * 64 + ".example", ("a" * 60 + ".") * 5 + "example", "a..example"])
def test_a_name_that_cannot_be_asked_for_raises_nothing(server: DnsServer, name: str) -> None:
    assert txt_lookup(server.address)(name).texts == ()
