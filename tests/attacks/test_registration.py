"""attacks.md section 4 as far as it asks for registration: there is none but the file of the operator."""

from __future__ import annotations

import socket

import pytest

from idp.clients import read_content
from tests.journey import Walker
from tests.records import WEB

PATHS = ("/register", "/registration", "/connect/register", "/oidc/register", "/clients", "/register/C1")


def test_rg_01_nobody_can_register_a_client(walker: Walker) -> None:
    before = dict(walker.parts.clients.all())
    for path in PATHS:
        for method in ("GET", "POST", "PUT", "DELETE"):
            answer = walker.open(method, path, json={"redirect_uris": ["https://evil.example/cb"]})
            assert answer.status_code == 404, (method, path)
    assert "registration_endpoint" not in walker.get("/.well-known/openid-configuration").get_json()
    assert walker.parts.clients.all() == before


@pytest.mark.parametrize(
    "member",
    [
        *("client_id: other", "client_secret: x", "trusted: true", "skip_consent: true", "tenant: B"),
        *(
            "allowed_scopes: [admin]",
            "__proto__: {}",
            "request_uris: [https://rp1.example/r]",
            "jku: https://x.example/",
        ),
    ],
)
def test_rg_02_members_that_nobody_knows_are_refused(member: str) -> None:
    reading = read_content(f"{WEB}    {member}\n".encode(), "clients.yaml", {}, loopback=False)
    assert [problem for problem in reading.problems if not problem.warning]
    assert member.partition(":")[0] in str(reading.problems[0])


@pytest.mark.parametrize("name", ["sector_identifier_uri", "request_uris", "software_statement"])
def test_rg_04_nothing_that_we_would_have_to_fetch_can_be_registered(name: str) -> None:
    """A sector is a host name that the operator writes; nothing is asked for it."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.settimeout(0.05)
        uri = f"https://127.0.0.1:{listener.getsockname()[1]}/x"
        reading = read_content(f"{WEB}    {name}: {uri}\n".encode(), "clients.yaml", {}, loopback=False)
        assert name in str(reading.problems[0])
        with pytest.raises(TimeoutError):
            listener.accept()


def test_rg_04_several_hosts_share_no_sector_by_themselves() -> None:
    text = WEB.replace(
        "      - https://rp1.example/cb\n", "      - https://rp1.example/cb\n      - https://rp2.example/cb\n"
    )
    reading = read_content(f"{text}    subject_type: pairwise\n".encode(), "clients.yaml", {}, loopback=False)
    assert "sector_identifier" in str(reading.problems[0])


@pytest.mark.parametrize(
    "member",
    [
        *(
            "logo_uri: javascript:alert(1)",
            "logo_uri: 'data:image/svg+xml,<svg onload=alert(1)>'",
            "logo_uri: http://x.example/l.png",
        ),
        *(
            "policy_uri: javascript:alert(1)",
            "tos_uri: '//evil.example'",
            "client_uri: 'https://x.example/\"><script>'",
        ),
        *("css: 'body{background:url(//evil.example)}'", "colour: red", "custom_text: <b>x</b>", "logo_svg: <svg/>"),
    ],
)
def test_ij_03_what_a_product_looks_like_is_a_name_and_https_addresses(member: str) -> None:
    """No styles, no texts, no markup of a product ever stand on our pages; its logo is an image of its own origin."""
    reading = read_content(f"{WEB}    {member}\n".encode(), "clients.yaml", {}, loopback=False)
    assert [problem for problem in reading.problems if not problem.warning]
