"""Which settings are right: what can be known without connecting is told before anything starts."""

from __future__ import annotations

from pathlib import Path

import pytest

from idp.config import read_config
from idp.errors import OperatorError

ISSUER = {"IDP_ISSUER": "https://login.example.com"}


def refusal(**settings: str) -> str:
    with pytest.raises(OperatorError) as refused:
        read_config({**ISSUER, **settings})
    lines = str(refused.value).splitlines()
    assert len(lines) == 3, lines  # one problem between the first line and the last
    return lines[1].strip()


@pytest.mark.parametrize(
    "issuer",
    [
        "https://login.example.com",
        "https://login.example.com:8443",
        "https://xn--bcher-kva.example",
        "https://intranet",
        "https://localhost:8443",
        "http://localhost:8000",
        "http://login.localhost:8000",
        "http://127.0.0.1:8000",
        "http://[::1]:8000",
    ],
)
def test_an_issuer_in_its_normal_form_is_taken_as_it_is(issuer: str) -> None:
    config = read_config({"IDP_ISSUER": issuer})
    assert config.issuer == issuer and config.secure == issuer.startswith("https:")


@pytest.mark.parametrize(
    ("issuer", "normal"),
    [
        ("HTTPS://login.example.com", "https://login.example.com"),
        ("https://Login.Example.com", "https://login.example.com"),
        ("https://login.example.com:443", "https://login.example.com"),
        ("https://login.example.com:0443", "https://login.example.com"),
        ("https://login.example.com:", "https://login.example.com"),
        ("https://login.example.com/", "https://login.example.com"),
        ("https://login.example.com?", "https://login.example.com"),
        ("https://login.example.com#", "https://login.example.com"),
        (" https://login.example.com\n", "https://login.example.com"),
        ("https://login.example.com:08443", "https://login.example.com:8443"),
        ("http://localhost:80", "http://localhost"),
        ("HTTP://LOCALHOST:8000/", "http://localhost:8000"),
        ("http://[0:0::1]:8000", "http://[::1]:8000"),
    ],
)
def test_an_issuer_in_another_form_is_refused_with_its_normal_form(issuer: str, normal: str) -> None:
    assert refusal(IDP_ISSUER=issuer) == f"IDP_ISSUER: must be written in its normal form: {normal}."


@pytest.mark.parametrize(
    "issuer",
    [
        "",
        "login.example.com",
        "//login.example.com",
        "ftp://login.example.com",
        "https://",
        "https://:443",
        "https://login.example.com/oidc",
        "https://login.example.com?x",
        "https://login.example.com#x",
        "https://login.example.com:abc",
        "https://login.example.com:0",
        "https://login.example.com:65536",
        "https://login.example.com.",
        "https://login_1.example.com",
        "https://a b.example",
        "https://a\tb.example",
        'https://a"><script>.example',
        "https://a.example\\x",
        "https://bücher.example",
        "https://me@login.example.com",
        "https://192.0.2.1",
        "https://2130706433",
        "https://[2001:db8::1]",
        "https://[login.example.com]",
        "http://a b.localhost",
        "http://[::1",
        "http://[::1%25lo]",
        "http://127.1",
    ],
)
def test_what_is_no_origin_of_a_name_is_no_issuer(issuer: str) -> None:
    assert refusal(IDP_ISSUER=issuer).startswith("IDP_ISSUER: must be scheme, host and, if it is not 443, port")


def test_an_issuer_without_tls_is_only_for_loopback() -> None:
    assert "must be https" in refusal(IDP_ISSUER="http://login.example.com")


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("IDP_LISTEN", "x"),
        ("IDP_LISTEN", ":8000"),
        ("IDP_LISTEN", "127.0.0.1:99999"),
        ("IDP_LISTEN", "127.0.0.1:0"),
        ("IDP_LISTEN", "::1:8000"),
        ("IDP_LISTEN", "http://127.0.0.1:8000"),
        ("IDP_DATABASE_URL", "canary"),
        ("IDP_DATABASE_URL", "mysql://idp:canary@host/idp"),
        ("IDP_DATABASE_URL", "postgresql://idp:canary@host/idp"),
        ("IDP_DATABASE_URL", "postgresql+psycopg:/idp:canary@host/idp"),
        ("IDP_DATABASE_URL", "postgresql+psycopg://idp:canary@host:port/idp"),
        ("IDP_REDIS_URL", "canary"),
        ("IDP_REDIS_URL", "http://:canary@host"),
        ("IDP_REDIS_URL", "redis://:canary@host:port"),
        ("IDP_REDIS_URL", "redis://:canary@:6379"),
        ("IDP_REDIS_URL", "redis://:canary@host/first"),
        ("IDP_REDIS_URL", "rediss://:canary@host/0?ssl_cert_reqs=none"),
        ("IDP_REDIS_URL", "unix://host/redis.sock"),
        ("IDP_KEYS", "/dev/null"),
        ("IDP_DATA", "/dev/null"),
        ("IDP_TEMPLATES", "/nope"),
        ("IDP_TEMPLATES", "/dev/null"),
        ("IDP_SUPPORT", "javascript:alert(1)"),
        ("IDP_SUPPORT", "javascript:alert(1)//@example.com"),
        ("IDP_SUPPORT", "http://support.example.com"),
        ("IDP_SUPPORT", "support"),
        ("IDP_SUPPORT", "help@login.example.com?cc=x@example.com"),
        ("IDP_SUPPORT", 'help@"><script>.example'),
        ("IDP_DNS_SERVER", "ns.example:53"),
        ("IDP_DNS_SERVER", "192.0.2.53"),
        ("IDP_DNS_SERVER", "192.0.2.53:0"),
        ("IDP_DNS_SERVER", "192.0.2.53:65536"),
        ("IDP_DNS_SERVER", "192.0.2.53:٥٣"),
        ("IDP_DNS_SERVER", "2001:db8::53:53"),
        ("IDP_DNS_SERVER", "[192.0.2.53]:53"),
    ],
)
def test_a_setting_that_cannot_work_is_refused_by_its_name(name: str, value: str) -> None:
    said = refusal(**{name: value})
    assert said.startswith(f"{name}: ") and "canary" not in said


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("IDP_LISTEN", "[::]:8000"),
        ("IDP_LISTEN", "0.0.0.0:80"),
        ("IDP_DNS_SERVER", "127.0.0.1:5353"),
        ("IDP_DNS_SERVER", "[2001:db8::53]:53"),
        ("IDP_DATABASE_URL", "postgresql+psycopg://idp:p/w#?@db.example:5432/idp?sslmode=verify-full"),
        ("IDP_DATABASE_URL", "postgresql+psycopg://idp@[2001:db8::1]/idp"),
        ("IDP_DATABASE_URL", "postgresql+psycopg:///idp?host=/run/postgresql"),
        ("IDP_REDIS_URL", "redis://localhost"),
        ("IDP_REDIS_URL", "rediss://:p%2Fw@redis.example:6379/0"),
        ("IDP_REDIS_URL", "unix:///run/redis.sock?db=1"),
        ("IDP_SUPPORT", "Help.desk+idp@example.com"),
        ("IDP_SUPPORT", "https://support.example.com/@login?x=1"),
    ],
)
def test_a_setting_that_can_work_is_taken(name: str, value: str) -> None:
    assert getattr(read_config({**ISSUER, name: value}), name.removeprefix("IDP_").lower()) == value


def test_files_that_settings_name_must_be_there(tmp_path: Path) -> None:
    missing = str(tmp_path / "missing.pem")
    tls = {"IDP_TLS_CERTIFICATE": __file__, "IDP_TLS_KEY": __file__}
    read_config({**ISSUER, **tls})
    for name in tls:
        assert refusal(**{**tls, name: missing}).startswith(f"{name}: there is no file {missing}")
    assert refusal(IDP_REDIS_URL="rediss://host", IDP_REDIS_CA=missing).startswith("IDP_REDIS_CA: there is no file")
    assert "rediss://" in refusal(IDP_REDIS_URL="redis://host", IDP_REDIS_CA=__file__)


def test_the_address_to_listen_on_comes_without_brackets() -> None:
    assert read_config({**ISSUER, "IDP_LISTEN": "[::1]:8001"}).address == ("::1", 8001)


def test_the_terms_are_complete_or_none() -> None:
    terms = {
        "IDP_TERMS_URL": "https://example.org/terms",
        "IDP_PRIVACY_URL": "https://example.org/privacy",
        "IDP_TERMS_VERSION": "2026-11",
    }
    issuer = {"IDP_ISSUER": "https://login.example"}
    assert read_config(issuer | terms).terms_version == "2026-11"
    for name in terms:
        with pytest.raises(OperatorError, match="go together"):
            read_config(issuer | {key: value for key, value in terms.items() if key != name})
    for wrong in ({"IDP_TERMS_URL": "javascript:alert(1)"}, {"IDP_TERMS_VERSION": "the newest one"}):
        with pytest.raises(OperatorError, match=next(iter(wrong))):
            read_config(issuer | terms | wrong)
