"""Relying parties: what is said about a file that is wrong, and what happens when it changes."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from idp.clients import Clients, read_content, read_file
from idp.errors import OperatorError
from tests.records import HASH, NOW, SECRET, SPA, WEB, only, said, wrong

ROOT = Path(__file__).parents[1]


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "clients.yaml"
    path.write_text(WEB)
    return path


# --- reading ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            wrong("redirect_uri: https://rp1.example/cb"),
            "9: C1: `redirect_uri` is unknown. Did you mean `redirect_uris`?",
        ),
        (wrong("trusted: true"), "9: C1: `trusted` is unknown"),
        (wrong("skip_consent: true"), "9: C1: `skip_consent` is unknown"),
        (wrong("__proto__: {}"), "9: C1: `__proto__` is unknown"),
        (wrong("client_id: C2"), "9: C1: client_id: is said twice"),
        (wrong("code_lifetime: '60'"), "9: C1: code_lifetime: must be a whole number"),
        (wrong("code_lifetime: 86400"), "9: C1: code_lifetime: input should be less than or equal to 600"),
        (wrong("access_token_lifetime: -1"), "9: C1: access_token_lifetime: input should be greater"),
        (wrong("enabled: yes"), "9: C1: enabled: must be true or false"),
        (wrong("scopes: openid"), "9: C1: scopes: must be a list"),
        (wrong("scopes: [email]"), "9: C1: scopes: lacks openid"),
        (wrong("scopes: [openid, 'admin:all']"), "9: C1: scopes: input should be 'openid'"),
        (wrong("scopes: [openid, openid]"), "9: C1: scopes: lists something twice"),
        (wrong("grant_types: [refresh_token]"), "9: C1: grant_types: lacks authorization_code"),
        (wrong("grant_types: [authorization_code, password]"), "9: C1: grant_types: input should be"),
        (wrong("response_modes: [fragment]"), "9: C1: response_modes: input should be"),
        (wrong("response_modes: []"), "9: C1: response_modes: is empty"),
        (wrong("jwks: {keys: []}"), "9: C1: jwks: is no JWK Set"),
        (wrong("jwks_uri: https://rp1.example/jwks"), "9: C1: jwks_uri: has no effect"),
        (wrong("sector_identifier: rp1.example"), "9: C1: sector_identifier: has no effect"),
        (wrong("introspects: [C9]"), "9: C1: introspects: there is no client `C9`"),
        (wrong("default_max_age: -1"), "9: C1: default_max_age: input should be greater"),
        (wrong("profile: fapi2"), "9: C1: profile: input should be 'openid'"),
        (wrong('contacts: ["a\\u0007b"]'), "9: C1: contacts: holds a character"),
        (wrong("token_endpoint_auth_method: none"), "9: C1: token_endpoint_auth_method: is `none`, but a web product"),
        (wrong("token_endpoint_auth_method: tls"), "9: C1: token_endpoint_auth_method: input should be"),
        (wrong("token_endpoint_auth_method: private_key_jwt"), "7: C1: secrets: have no effect"),
        (
            wrong("token_endpoint_auth_method: client_secret_post", base=SPA),
            "7: C1: token_endpoint_auth_method: is not poss",
        ),
        (wrong("pkce: optional", base=SPA), "7: C1: pkce: is `optional`, but this client has no secret"),
        (wrong(f"secrets: [{{hash: '{HASH}'}}]", base=SPA), "7: C1: secrets: have no effect"),
        (WEB.replace("    name: One\n", ""), "2: C1: `name` is missing"),
        (WEB.replace("name: One", "name: 42"), "3: C1: name: must be text"),
        (WEB.replace("name: One", 'name: "a\\nb"'), "3: C1: name: holds a character"),
        (WEB.replace("name: One", f"name: {'x' * 201}"), "3: C1: name: string should have at most 200"),
        (WEB.replace("type: web", "type: app"), "4: C1: type: input should be"),
        (WEB.partition("    secrets")[0], "2: C1: secrets: are missing. Run: idp clients rotate-secret C1"),
        (WEB.replace("C1", "C 1"), "2: C 1: client_id: holds a character"),
        (WEB.replace("C1", "C*"), "client_id: holds a character"),
        (WEB.replace("C1", "C:1"), "client_id: holds a character"),
        (WEB.replace("C1", '"C\\n1"'), "client_id: holds a character"),
        (WEB.replace("C1", "x" * 129), "client_id: holds a character"),
        ("clients:\n  C1:\n", "2: C1: has no settings"),
        ("clients:\n  C1: web\n", "2: C1: has no settings"),
        ("clients:\n", "1: no client is listed"),
        ("clients: []\n", "1: no client is listed"),
        ("C1:\n  name: x\n", "1: there must be `clients:`"),
        ("- C1\n", "1: there must be `clients:`"),
        (WEB + "defaults: {}\n", "1: there must be `clients:` and nothing beside it"),
    ],
)
def test_what_is_wrong_is_told_with_line_and_remedy(text: str, message: str) -> None:
    [problem] = said(text)
    assert message in problem
    assert problem.startswith("clients.yaml:") and problem[-1] in ".?" and problem[-2] not in ".?" and ". " in problem


def test_all_problems_are_told_at_once_in_the_order_of_the_lines() -> None:
    text = WEB.replace("name: One", "nmae: One").replace("https://rp1", "http://rp1") + "  C2:\n    name: Two\n"
    lines = [int(problem.split(":")[1]) for problem in said(text)]
    assert lines == sorted(lines) and len(lines) >= 4


def test_what_is_not_utf_8_or_too_large_is_refused() -> None:
    [problem] = read_content(WEB.encode() + b"# \xff\n", "clients.yaml", {}, loopback=False).errors
    assert (problem.line, problem.message) == (9, "this is not UTF-8")
    [problem] = read_content(b"#" * (16 * 2**20 + 1), "clients.yaml", {}, loopback=False).errors
    assert "larger" in problem.message


@pytest.mark.parametrize("when", ["tomorrow", "2027-01-15", "2027-01-15T08:00:10", "1800000000", "''", "null", "true"])
def test_an_expiry_needs_its_zone(when: str) -> None:
    [problem] = said(f"{WEB}        expires: {when}\n")
    assert "8: C1: secrets: `expires` is no time with its zone" in problem


def test_a_secret_never_stands_in_the_file_nor_in_a_message() -> None:
    for item in (
        SECRET,
        f"'{SECRET}'",
        f"${{A}}{SECRET}",
        f"{{value: {SECRET}}}",
        f"{{hash: {SECRET}}}",
        f"[{SECRET}]",
        "42",
    ):
        [problem] = said(WEB.replace(f"hash: {HASH}", item))
        assert "clients.yaml:8: C1: secrets" in problem
        assert SECRET not in problem
    assert HASH not in repr(only(WEB)) and HASH not in str(only(WEB))


def test_a_secret_may_come_from_the_environment() -> None:
    text = WEB.replace(f"hash: {HASH}", "${C1_SECRET}")
    client = only(text, C1_SECRET=SECRET)
    assert client.enabled and client.secret_matches(SECRET, NOW)
    [problem] = said(text, C1_SECRET="short")
    assert "shorter than 32 characters" in problem and "openssl rand" in problem
    assert (
        "is one of our own settings"
        in said(text.replace("C1_SECRET", "IDP_SMTP_PASSWORD"), IDP_SMTP_PASSWORD=SECRET)[0]
    )


def test_a_client_whose_reference_is_not_set_is_off_and_the_others_are_not(tmp_path: Path) -> None:
    off = WEB.replace(f"hash: {HASH}", "${C1_SECRET}")
    text = off + WEB.removeprefix("clients:\n").replace("C1", "C2")
    [problem] = said(text)
    assert (
        problem == "warning clients.yaml:8: C1: is off, because ${C1_SECRET} is not set. Set C1_SECRET and start again."
    )
    path = tmp_path / "clients.yaml"
    path.write_text(text)
    clients = Clients(path, {}, loopback=False)
    assert clients.find("C1") is None and clients.find("C2") is not None
    assert set(clients.all()) == {"C1", "C2"} and clients.problem is None
    assert [warning.line for warning in clients.warnings] == [8]
    assert not clients.all()["C1"].secret_matches("", NOW)
    assert said(off + "    enabled: false\n") == []


# --- the file changes -------------------------------------------------------------------------------------------------


def test_a_changed_file_is_taken_without_a_restart_and_looked_at_once_a_second(file: Path, clock: Clock) -> None:
    clients = Clients(file, {}, loopback=False, clock=clock)
    file.write_text(WEB.replace("C1", "C2"))
    clock.now = 0.9
    assert clients.find("C1") is not None
    clock.now = 1.0
    assert clients.find("C1") is None and clients.find("C2") is not None


def test_the_last_good_file_stays_when_the_new_one_is_wrong_or_gone(file: Path, clock: Clock) -> None:
    clients = Clients(file, {}, loopback=False, clock=clock)
    for broken in ("", "clients:", WEB + "  C2: {}\n", WEB.replace("https", "http"), None):
        file.unlink() if broken is None else file.write_text(broken)
        clock.now += 1
        assert clients.find("C1") is not None
        assert clients.problem and str(file) in clients.problem
    file.write_text(WEB.replace("One", "Uno"))
    clock.now += 1
    found = clients.find("C1")
    assert found is not None and found.name == "Uno" and clients.problem is None


def test_a_wrong_file_stops_the_start_with_every_problem(file: Path) -> None:
    file.write_text(WEB.replace("type: web", "type: app").replace("https", "http"))
    with pytest.raises(OperatorError) as refused:
        Clients(file, {}, loopback=False)
    assert str(refused.value).count(str(file)) == 2
    with pytest.raises(OperatorError, match="cannot be read"):
        Clients(file.parent / "none.yaml", {}, loopback=False)


def test_a_worker_that_starts_while_the_file_is_wrong_serves_the_last_good_one(file: Path, tmp_path: Path) -> None:
    kept = tmp_path / "kept.yaml"
    Clients(file, {}, loopback=False, last_good=kept)
    file.write_text("clients: oh no\n")
    restarted = Clients(file, {}, loopback=False, last_good=kept)
    assert restarted.find("C1") is not None
    assert restarted.problem is not None
    kept.unlink()
    with pytest.raises(OperatorError):
        Clients(file, {}, loopback=False, last_good=kept)


def test_a_new_algorithm_waits_for_its_keys_and_breaks_nothing_meanwhile(file: Path, clock: Clock) -> None:
    present = {"RS256"}
    clients = Clients(file, {}, loopback=False, signable=lambda: present, clock=clock)
    file.write_text(WEB + "    id_token_signed_response_alg: ES256\n")
    clock.now += 1
    found = clients.find("C1")
    assert found is not None and found.id_token_signed_response_alg == "RS256"
    assert (
        clients.problem and ":2: C1: there is no key for ES256 yet. Run: idp keys rotate --alg ES256" in clients.problem
    )
    present.add("ES256")
    clock.now += 1
    found = clients.find("C1")
    assert found is not None and found.id_token_signed_response_alg == "ES256"
    assert clients.problem is None and clients.algorithms() == {"RS256", "ES256"}


def test_a_disabled_client_is_not_found_but_listed(file: Path) -> None:
    file.write_text(WEB + "    enabled: false\n")
    clients = Clients(file, {}, loopback=False)
    assert clients.find("C1") is None and not clients.all()["C1"].enabled


@pytest.mark.parametrize(
    "client_id", ["", "c1", "C1 ", "C1\n", "C*", "C1\x00", "C1:x", "../C1", "' OR 1=1 --", "x" * 100_000]
)
def test_ij_04_an_odd_client_id_finds_nobody(file: Path, client_id: str) -> None:
    assert Clients(file, {}, loopback=False).find(client_id) is None


def test_a_thousand_clients_load_within_the_start_budget(tmp_path: Path) -> None:
    def blocks() -> Iterator[str]:
        for number in range(1000):
            yield WEB.removeprefix("clients:\n").replace("C1", f"C{number}") + "    scopes: [openid, email]\n"

    path = tmp_path / "clients.yaml"
    path.write_text("clients:\n" + "".join(blocks()))
    before = time.process_time()
    reading = read_file(path, {}, loopback=False)
    assert len(reading.clients) == 1000 and reading.problems == []
    assert time.process_time() - before < 1  # 0.13 s measured on the machine of speed.md


def test_the_shipped_examples_are_right_and_hold_one_of_each_kind() -> None:
    environ = {"GOTOWEBINAR_SECRET": SECRET, "ADMIN_CENTER_SECRET": SECRET}
    reading = read_file(ROOT / "clients.yaml", environ, loopback=True)
    assert reading.problems == []
    clients = reading.clients
    assert clients["gotowebinar"].type == "web" and not clients["gotowebinar"].is_public
    assert clients["gotomeeting"].type == "spa" and clients["gotomeeting"].is_public
    assert "native" in {client.type for client in clients.values()}
    assert clients["admin-center"].first_party
    assert [client.client_id for client in clients.values() if not client.first_party]
    assert all(not problem.warning for problem in read_file(ROOT / "clients.yaml", environ, loopback=False).problems)
    assert read_file(ROOT / "clients.yaml", environ, loopback=False).errors
