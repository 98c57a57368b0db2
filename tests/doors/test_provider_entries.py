"""Promises of providers.yaml: what is written holds, what is wrong has a line and a remedy, no secret is repeated."""

from __future__ import annotations

import json
import re
import textwrap
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec

from idp.config import read_config
from idp.doors.oauth import redeem
from idp.doors.provider_documents import ProviderDocuments
from idp.doors.provider_entries import ProvidersReading, read_providers
from idp.doors.providers import PROVIDERS, Provider, Registered
from idp.errors import OperatorError
from idp.fetch import Fetcher
from idp.parts import build
from tests import canaries
from tests.fakes.product_server import Asked, product_server, reply

DOCS = Path(__file__).parents[2] / "docs" / "operators"
SECRET = canaries.register("secret-of-an-entry-0123", "client secret in the environment")


def pem(curve: ec.EllipticCurve) -> str:
    """A private key as Apple's .p8 file has it."""
    return (
        ec.generate_private_key(curve)
        .private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
        .decode()
    )


APPLE_KEY = canaries.register(pem(ec.SECP256R1()), "private key for Apple")
ENVIRON = {"SECRET": SECRET, "APPLE_KEY": APPLE_KEY, "EMPTY": "", "IDP_SMTP_PASSWORD": SECRET}
GOOGLE = "google: {client_id: us, client_secret: '${SECRET}'}"
OIDC = """\
example:
  protocol: openid_connect
  name: Example ID
  issuer: https://id.example.com
  client_id: us
  client_secret: ${SECRET}"""
OAUTH2 = """\
forum:
  protocol: oauth2
  name: Forum
  authorization_endpoint: https://forum.example/authorize
  token_endpoint: https://forum.example/token
  userinfo_endpoint: https://forum.example/me
  client_id: us
  client_secret: ${SECRET}
  subject: id"""


def read(folder: Path, text: str | bytes, environ: dict[str, str] = ENVIRON, **more: Any) -> ProvidersReading:
    """Read a file; no secret may stand in what is said of it."""
    path = folder / "providers.yaml"
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    reading = read_providers(path, environ, loopback=more.pop("loopback", False), **more)
    canaries.show("\n".join(map(str, reading.problems)) + repr(reading.providers), "problems of providers.yaml")
    return reading


def entries(*blocks: str) -> str:
    return "providers:\n" + textwrap.indent("\n".join(blocks), "  ") + "\n"


def test_an_entry_says_who_we_are_there(tmp_path: Path) -> None:
    found = read(tmp_path, entries(GOOGLE)).take()
    assert found == {"google": Registered(PROVIDERS["google"], "us", SECRET)}


def test_the_order_of_the_file_stays(tmp_path: Path) -> None:
    blocks = [f"{key}: {{client_id: 1, client_secret: '${{SECRET}}'}}" for key in ("linkedin", "github", "facebook")]
    assert list(read(tmp_path, entries(*blocks, GOOGLE)).take()) == ["linkedin", "github", "facebook", "google"]


@pytest.mark.parametrize(
    ("tenant", "stands"),
    [("", "common"), ("organizations", "organizations"), ("72f988bf-86f1-41af-91ab-2d7cd011db47",) * 2],
)
def test_microsofts_tenant_stands_in_its_addresses(tenant: str, stands: str, tmp_path: Path) -> None:
    block = "microsoft: {client_id: us, client_secret: '${SECRET}'" + (f", tenant: {tenant}" if tenant else "") + "}"
    found = read(tmp_path, entries(block)).take()["microsoft"]
    assert found.tenant == stands
    assert found.provider.issuer == PROVIDERS["microsoft"].issuer
    assert found.provider.token_endpoint == f"https://login.microsoftonline.com/{stands}/oauth2/v2.0/token"
    assert found.provider.authorization_endpoint == f"https://login.microsoftonline.com/{stands}/oauth2/v2.0/authorize"
    assert found.provider.jwks_uri == f"https://login.microsoftonline.com/{stands}/discovery/v2.0/keys"


@pytest.mark.parametrize("key", [APPLE_KEY, APPLE_KEY.replace("\n", "\\n")])
def test_apples_key_is_read_also_when_the_environment_has_no_lines(key: str, tmp_path: Path) -> None:
    block = "apple: {client_id: us, team_id: T, key_id: K, private_key: '${APPLE_KEY}'}"
    found = read(tmp_path, entries(block), {"APPLE_KEY": key}).take()["apple"]
    assert (found.client_secret, found.team_id, found.key_id) == (APPLE_KEY, "T", "K")


def test_addresses_of_a_known_provider_may_be_others(tmp_path: Path) -> None:
    block = GOOGLE.replace("}'}", "}', issuer: http://localhost:8004/google, token_endpoint: http://localhost:8004/t}")
    found = read(tmp_path, entries(block), loopback=True).take()["google"].provider
    assert (found.issuer, found.token_endpoint) == ("http://localhost:8004/google", "http://localhost:8004/t")
    assert found.jwks_uri == PROVIDERS["google"].jwks_uri
    (problem,) = read(tmp_path, entries(block)).errors
    assert "cannot be called: not https" in problem.message


@pytest.mark.parametrize(("said", "believed"), [("", False), ("never", False), ("by_claim", True)])
def test_any_openid_connect_provider(said: str, believed: bool, tmp_path: Path) -> None:
    block = OIDC + (f"\n  email_verified: {said}" if said else "")
    provider = read(tmp_path, entries(block)).take()["example"].provider
    assert (provider.name, provider.issuer, provider.scopes) == (
        "Example ID", "https://id.example.com", ("openid", "email", "profile"),
    )  # fmt: skip
    told = provider.read({"sub": "1", "email": "a@b.example", "email_verified": True})
    assert told.email_verified is believed


def test_any_oauth2_provider(tmp_path: Path) -> None:
    block = OAUTH2.replace("subject: id", "subject: uid\n  email: mail\n  name_field: nick\n  scopes: [profile, a:b]")
    provider = read(tmp_path, entries(block)).take()["forum"].provider
    told = provider.read({"uid": 7, "mail": "a@b.example", "nick": "Al", "email_verified": True, "verified": True})
    assert (told.subject, told.email, told.name, told.email_verified) == ("7", "a@b.example", "Al", False)
    assert (provider.issuer, provider.scopes) == ("https://forum.example", ("profile", "a:b"))


@pytest.mark.parametrize(
    ("block", "line", "says"),
    [
        ("googel: {client_id: us}", 2, "googel: is none of the providers that we know.*Did you mean `google`"),
        ("mine: {client_id: us}", 2, "mine: is none of the providers that we know, and has no `protocol`"),
        ("Google: {client_id: us}", 2, "cannot be the name of a provider"),
        ("social: {client_id: us}", 2, "cannot be the name of a provider"),
        ("company: {client_id: us}", 2, "cannot be the name of a provider"),
        ("a/b: {client_id: us}", 2, "cannot be the name of a provider"),
        ("google:", 2, "google: has no settings"),
        ("google: us", 2, "google: has no settings"),
        ("google: {client_secret: '${SECRET}'}", 2, "google: `client_id` is missing"),
        ("google: {client_id: us}", 2, "google: `client_secret` is missing"),
        ("google:\n  client_id: us\n  client_sercet: x", 4, "`client_sercet` is unknown. Did you mean `client_secret`"),
        (f"google:\n  client_id: us\n  client_secret: {SECRET}", 4, r"client_secret: this is not the \$\{NAME\}"),
        ("google:\n  client_id: us\n  client_secret: a${SECRET}", 4, "client_secret: this is not"),
        ("google:\n  client_id: us\n  client_secret: ${IDP_SMTP_PASSWORD}", 4, "is one of our own settings"),
        ("google:\n  client_id: [us]\n  client_secret: ${SECRET}", 3, "client_id: must be text"),
        ("google:\n  client_id: true\n  client_secret: ${SECRET}", 3, "client_id: must be text"),
        ('google:\n  client_id: "a\\nb"\n  client_secret: ${SECRET}', 3, "client_id: must be text"),
        ("google: {client_id: us, client_secret: '${SECRET}', tenant: common}", 2, "`tenant` is unknown"),
        ("google: {client_id: us, client_secret: '${SECRET}', protocol: oauth2}", 2, "`protocol` is unknown"),
        ("google: {client_id: us, client_secret: '${SECRET}', userinfo_endpoint: 'https://x.example'}", 2, "is unknown"),
        ("microsoft: {client_id: us, client_secret: '${SECRET}', tenant: contoso.com}", 2, "tenant: must be common,"),
        ("microsoft: {client_id: us, client_secret: '${SECRET}', tenant: '*'}", 2, "tenant: must be common,"),
        ("apple: {client_id: us, client_secret: '${SECRET}'}", 2, "`client_secret` is unknown"),
        ("apple: {client_id: us, team_id: T, key_id: K, private_key: '${SECRET}'}", 2, "is not a P-256 key in PEM"),
        ("apple: {client_id: us, key_id: K, private_key: '${APPLE_KEY}'}", 2, "`team_id` is missing"),
        ("x: {protocol: saml}", 2, "protocol: must be one of openid_connect, oauth2"),
        (OIDC.replace("https:", "http:"), 5, "issuer: cannot be called: not https"),
        (OIDC.replace("id.example.com", "10.0.0.1"), 5, "issuer: cannot be called: not a public address"),
        (OIDC.replace("id.example.com", "id.example.com/?a=b"), 5, "issuer: has a query"),
        (OIDC.replace("id.example.com", "id.example.com/#a"), 5, "issuer: cannot be called"),
        (OIDC.replace("id.example.com", "accounts.google.com"), 5, "issuer: is that of `google`"),
        (OIDC + "\n  email_verified: true", 8, "email_verified: must be"),
        (OIDC + "\n  email_verified: always", 8, "email_verified: must be one of by_claim, never"),
        (OIDC + "\n  scopes: [email]", 8, "scopes: lacks openid"),
        (OIDC + "\n  scopes: openid", 8, "scopes: must be a list"),
        (OIDC + "\n  scopes: ['a b', openid]", 8, "scopes: must be a list"),
        (OIDC + "\n  subject: id", 8, "`subject` is unknown"),
        (OIDC.replace("Example ID", "x" * 61), 4, "name: is longer than 60"),
        (OAUTH2.replace("\n  subject: id", ""), 2, "`subject` is missing"),
        (OAUTH2.replace("subject: id", "subject: a b"), 10, "subject: must be the name of a member"),
        (OAUTH2.replace("https://forum.example/me", "ftp://forum.example"), 7, "userinfo_endpoint: cannot be called"),
        (OAUTH2 + "\n  issuer: https://github.com/login/oauth", 11, "issuer: is that of `github`"),
        (OAUTH2 + "\n  issuer: https://GitHub.com/login/oauth/", 11, "issuer: is that of `github`"),
        (
            OAUTH2 + "\n  issuer: https://login.microsoftonline.com/9188040d-6c67-4c5b-b112-36a304b66dad/v2.0",
            11,
            "issuer: is that of `microsoft`",
        ),
        (OAUTH2 + "\n  email_verified: by_claim", 11, "`email_verified` is unknown"),
    ],
)  # fmt: skip
def test_what_is_wrong_has_its_line_and_a_remedy(block: str, line: int, says: str, tmp_path: Path) -> None:
    reading = read(tmp_path, entries(block))
    (problem,) = reading.errors
    assert problem.line == line
    assert re.search(says, str(problem)), str(problem)
    assert str(problem).startswith(f"{tmp_path / 'providers.yaml'}:{line}: ")
    assert problem.remedy
    with pytest.raises(OperatorError, match=re.escape(str(problem))):
        reading.take()


@pytest.mark.parametrize(
    ("text", "line", "says"),
    [
        ("", 1, "the file is empty.*`providers:`"),
        ("# nothing\n", 1, "the file is empty.*`providers:`"),
        ("providers:\n", 1, "no provider is listed"),
        ("providers: []\n", 1, "no provider is listed"),
        ("clients: {}\n", 1, "there must be `providers:`"),
        ("providers: {}\nmore: 1\n", 1, "there must be `providers:`"),
        ("- google\n", 1, "there must be `providers:`"),
        (b"providers:\n  google: \xff\n", 2, "not UTF-8"),
        ("providers:\n  google: {}\n  google: {}\n", 3, "`google` stands on line 2 already"),
        ("providers:\n  google: &a {}\n", 2, "anchors"),
        ("providers:\n google: {\n", 3, "not YAML"),
        (b"#" * (2**20 + 1), 1, "larger than 1 MiB"),
    ],
)
def test_a_file_that_is_none_has_its_line_and_a_remedy(text: str | bytes, line: int, says: str, tmp_path: Path) -> None:
    (problem,) = read(tmp_path, text).errors
    assert problem.line == line
    assert re.search(says, str(problem))


def test_a_file_that_is_named_must_be_there(tmp_path: Path) -> None:
    (problem,) = read_providers(tmp_path / "providers.yaml", {}, loopback=False).errors
    assert "cannot be read" in problem.message
    assert "IDP_PROVIDERS" in problem.remedy


def test_all_that_is_wrong_is_said_at_once(tmp_path: Path) -> None:
    reading = read(tmp_path, entries("google: {}", "github: {}", OIDC))
    assert [problem.line for problem in reading.errors] == [2, 3]


@pytest.mark.parametrize("environ", [{}, {"SECRET": ""}])
def test_a_provider_without_its_secret_is_left_out_and_the_others_stay(environ: dict[str, str], tmp_path: Path) -> None:
    other = "github: {client_id: us, client_secret: '${OTHER}'}"
    reading = read(tmp_path, entries(GOOGLE, other), {**environ, "OTHER": SECRET})
    assert list(reading.take()) == ["github"]
    (problem,) = reading.problems
    assert str(problem).endswith(":2: google: is left out, because ${SECRET} is not set. Set SECRET and start again.")


def test_our_own_people_are_nobody_elses(tmp_path: Path) -> None:
    (problem,) = read(tmp_path, entries(OIDC), own_issuer="https://id.example.com").errors
    assert "issuer: is that of `IDP_ISSUER`" in problem.message


def test_two_entries_never_name_the_same_people(tmp_path: Path) -> None:
    (problem,) = read(tmp_path, entries(OIDC, OIDC.replace("example:", "other:"))).errors
    assert "is that of `example`" in problem.message


# --- in the whole --------------------------------------------------------------------------------------------------------------


def test_without_a_file_there_are_no_providers(parts: Any) -> None:
    assert parts.providers == {}


def test_a_wrong_file_stops_the_start_and_a_right_one_is_there(config: Any, embedded: Any, tmp_path: Path) -> None:
    path = tmp_path / "providers.yaml"
    named = config.model_copy(update={"providers": path})
    with pytest.raises(OperatorError, match=r"providers.yaml:1: the file cannot be read"):
        build(named, ENVIRON, redis_url=embedded.url)
    path.write_text(entries(GOOGLE))
    made = build(named, ENVIRON, redis_url=embedded.url)
    assert list(made.providers) == ["google"]
    made.close()


# --- the documentation -------------------------------------------------------------------------------------------------------------


def blocks(page: str, language: str) -> list[str]:
    return re.findall(
        rf"^```{language}\n(.*?)^```$", (DOCS / page).read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL
    )


def test_the_example_of_the_documentation_is_right(tmp_path: Path) -> None:
    (example,) = blocks("social.md", "yaml")
    names = dict.fromkeys(re.findall(r"\$\{(\w+)\}", example), SECRET) | {"APPLE_KEY": APPLE_KEY}
    found = read(tmp_path, example, names).take()
    assert {*PROVIDERS, "example-id", "example-forum"} == set(found)


def test_the_documentation_has_a_section_and_a_rule_for_each_provider() -> None:
    text = (DOCS / "social.md").read_text(encoding="utf-8")
    for provider in PROVIDERS.values():
        assert f"\n## {provider.name}\n" in text
        assert f"\n| {provider.name} | " in text


def test_adding_a_provider_is_one_entry_and_one_function(tmp_path: Path) -> None:
    """The documentation's example, from its Python and its YAML to a person, at a stand-in that answers as Discord does."""
    made: dict[str, Any] = {}
    (program,) = blocks("add-provider.md", "python")
    exec(compile(program, "add-provider.md", "exec"), made)
    discord = made["DISCORD"]
    assert isinstance(discord, Provider)
    (example,) = blocks("add-provider.md", "yaml")
    told = {
        "id": "80351110224678912",
        "username": "nelly",
        "global_name": "Nelly",
        "email": "N@Example.com",
        "verified": True,
    }

    def answer(asked: Asked, write: Any) -> None:
        path = urlsplit(asked.line.split(" ")[1]).path
        tokens = {
            "access_token": "access-at-discord",
            "token_type": "Bearer",
            "expires_in": 604800,
            "scope": "identify",
        }
        said = {"/api/oauth2/token": tokens, "/api/users/@me": told}[path]
        reply(200, json.dumps(said).encode(), Content_Type="application/json")(asked, write)

    with product_server(None) as server:
        server.answer = answer
        here = f"http://127.0.0.1:{server.port}"
        where = [
            f"    {name}: {here}{urlsplit(getattr(discord, name)).path}\n"
            for name in ("token_endpoint", "userinfo_endpoint")
        ]
        reading = read(
            tmp_path, example + "".join(where), {"DISCORD_SECRET": SECRET}, loopback=True, known={"discord": discord}
        )
        documents = ProviderDocuments(Fetcher(read_config({"IDP_ISSUER": "http://localhost:8000"})))
        found = redeem(
            reading.take()["discord"], documents, code="c", iss="https://discord.com", redirect_uri=f"{here}/return", nonce="n",
            verifier="v" * 43, sent_at=0, now=1_800_000_000,
        )  # fmt: skip
    assert (found.door, found.issuer, found.subject) == ("discord", "https://discord.com", "80351110224678912")
    assert (found.email, found.email_verified, found.name) == ("n@example.com", True, "Nelly")
