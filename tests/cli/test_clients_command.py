"""``idp clients``: what an operator types, reads and gets as exit code."""

from __future__ import annotations

import json
import sqlite3
from contextlib import chdir, closing
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from idp.cli.idp_command import idp
from idp.client_record import hash_secret
from idp.clients import read_file
from idp.config import Config
from idp.database import Database
from idp.errors import OperatorError
from idp.keys import create_keys
from tests import canaries

SECRET = canaries.register("a-secret-of-the-shop-that-nobody-reads", "client secret")
TEXT = f"""\
clients:
  shop:  # ours
    name: Shop
    type: web
    redirect_uris: [https://shop.example/cb]
    secrets:
      - hash: {hash_secret(SECRET)}
  gadget:
    name: Gadget
    type: web
    first_party: false
    redirect_uris: [https://gadget.example/cb]
    secrets:
      - ${{GADGET_SECRET}}
"""


@pytest.fixture
def config(tmp_path: Path) -> Config:
    (tmp_path / "clients.yaml").write_text(TEXT)
    return Config(
        issuer="https://login.example",
        data=tmp_path / "data",
        keys=tmp_path / "keys",
        clients=tmp_path / "clients.yaml",
    )


def run(config: Config, *words: str, code: int = 0, **settings: str | None) -> Result:
    env = {
        "IDP_ISSUER": config.issuer,
        "IDP_DATA": str(config.data),
        "IDP_KEYS": str(config.keys),
        "IDP_CLIENTS": str(config.clients),
        **settings,
    }
    result = CliRunner(env=env).invoke(idp, ["clients", *words])
    if result.exception and not isinstance(result.exception, SystemExit):
        raise result.exception
    assert result.exit_code == code, result.output
    return result


def as_json(config: Config, *words: str, code: int = 0, **settings: str) -> Any:
    return json.loads(run(config, *words, "--json", code=code, **settings).stdout)


def write(config: Config, text: str) -> None:
    assert config.clients
    config.clients.write_text(text)


def read(config: Config) -> str:
    assert config.clients
    return config.clients.read_text()


def test_check_names_what_is_off_and_is_content_otherwise(config: Config) -> None:
    said = run(config, "check").stdout.splitlines()
    assert said == [
        f"warning: {config.clients}:14: gadget: is off, because ${{GADGET_SECRET}} is not set. Set GADGET_SECRET and start again.",
        f"{config.clients}: 2 clients, and the file is right.",
    ]
    assert as_json(config, "check", GADGET_SECRET="x" * 32) == {
        "file": str(config.clients),
        "clients": 2,
        "problems": [],
    }


def test_check_fails_with_file_line_and_remedy(config: Config, tmp_path: Path) -> None:
    write(config, TEXT.replace("https://shop", "http://shop").replace("name: Gadget", "nmae: Gadget"))
    said = run(config, "check", code=1).stdout
    assert f"{config.clients}:5: shop: redirect_uris: is http. Use https" in said
    assert ":9: gadget: `nmae` is unknown. Did you mean `name`?" in said
    problems = as_json(config, "check", code=1)["problems"]
    assert problems[0] == {
        "line": 5,
        "message": "shop: redirect_uris: is http",
        "remedy": "use https; http is only for localhost while IDP_ISSUER is on localhost",
        "warning": False,
    }
    draft = tmp_path / "draft.yaml"
    draft.write_text(TEXT)
    assert "the file is right" in run(config, "check", str(draft)).stdout


def test_check_says_when_an_algorithm_has_no_keys_yet(config: Config) -> None:
    write(config, TEXT.replace("    name: Shop", "    name: Shop\n    id_token_signed_response_alg: ES256"))
    assert "the file is right" in run(config, "check").stdout  # the first start will make them
    create_keys(config.keys, [], 0)
    assert (
        ":2: shop: there is no key for ES256 yet. Run: idp keys rotate --alg ES256"
        in run(config, "check", code=1).stdout
    )
    create_keys(config.keys, ["ES256"], 0)
    assert "the file is right" in run(config, "check").stdout


def test_list_shows_who_is_on(config: Config) -> None:
    said = [line.split() for line in run(config, "list").stdout.splitlines()]
    assert said == [["shop", "web", "on", "Shop"], ["gadget", "web,", "third-party", "off", "Gadget"]]
    rows = as_json(config, "list")["clients"]
    assert [(row["client_id"], row["enabled"], row["first_party"]) for row in rows] == [
        ("shop", True, True),
        ("gadget", False, False),
    ]


def test_show_tells_every_setting_and_no_secret(config: Config) -> None:
    said = run(config, "show", "shop").stdout
    assert "https://shop.example/cb\n" in said and "(default)" in said and "id_token_lifetime" in said
    values = as_json(config, "show", "gadget")
    assert values["secrets"] == [{"from": "${GADGET_SECRET}", "expires": None}]
    assert values["refresh_token_lifetime"] == 2_592_000
    assert "sha256" not in said and "sha256" not in json.dumps(values)
    with pytest.raises(OperatorError, match="There is no client 'nobody'"):
        run(config, "show", "nobody")


@pytest.mark.parametrize("words", [("list",), ("show", "shop")])
def test_a_wrong_file_is_told_by_every_command(config: Config, words: tuple[str, ...]) -> None:
    write(config, "clients: [")
    with pytest.raises(OperatorError, match=r"clients.yaml:\d: this is not YAML"):
        run(config, *words)


def test_an_added_client_gets_its_secret_once_and_the_file_its_hash(config: Config) -> None:
    said = run(
        config, "add", "new", "--name", "New", "--type", "web", "--redirect-uri", "https://new.example/cb"
    ).stdout
    [secret] = [line.split()[1] for line in said.splitlines() if line.startswith("client_secret")]
    assert "issuer         https://login.example\nclient_id      new\n" in said and "shown only now" in said
    assert secret not in read(config) and hash_secret(secret) in read(config)
    assert read(config).startswith(TEXT)
    assert len(secret) == 43


def test_a_public_client_gets_none(config: Config) -> None:
    made = as_json(
        config, "add", "app", "--name", "App", "--type", "native", "--third-party",
        "--redirect-uri", "com.example.app:/cb", "--redirect-uri", "http://127.0.0.1/cb",
        "--post-logout-redirect-uri", "com.example.app:/bye",
    )  # fmt: skip
    assert made == {"client_id": "app", "client_secret": None, "file": str(config.clients)}
    values = as_json(config, "show", "app")
    assert values["redirect_uris"] == ["com.example.app:/cb", "http://127.0.0.1/cb"]
    assert values["post_logout_redirect_uris"] == ["com.example.app:/bye"]
    assert (values["first_party"], values["token_endpoint_auth_method"]) == (False, "none")


def test_the_first_client_is_written_into_the_working_folder_never_into_the_examples(
    config: Config, tmp_path: Path
) -> None:
    folder = tmp_path / "elsewhere"
    folder.mkdir()
    with chdir(folder):
        words = ("add", "new", "--name", "New", "--type", "spa", "--redirect-uri", "https://new.example/cb")
        run(config, *words, IDP_CLIENTS=None)
        assert set(read_file(folder / "clients.yaml", {}, loopback=False).clients) == {"new"}


def test_a_rotated_secret_is_shown_once_and_the_old_one_overlaps(config: Config) -> None:
    said = run(config, "rotate-secret", "shop").stdout
    [secret] = [line.split()[1] for line in said.splitlines() if line.startswith("client_secret")]
    assert "The old one is valid until 2" in said
    assert secret not in read(config) and "# ours" in read(config)
    [old, new] = as_json(config, "show", "shop")["secrets"]
    assert old["expires"] and new["expires"] is None
    with pytest.raises(OperatorError, match="two secrets are valid already"):
        run(config, "rotate-secret", "shop")
    made = as_json(config, "rotate-secret", "shop", "--overlap", "0")
    assert made["old_secret_until"] is None and hash_secret(made["client_secret"]) in read(config)
    assert read(config).count("hash:") == 1
    assert "No other secret is valid" in run(config, "rotate-secret", "shop", "--overlap", "0").stdout


@pytest.mark.parametrize("overlap", ["7", "a week", "-1d", "1y", ""])
def test_an_overlap_that_is_no_duration_is_refused(config: Config, overlap: str) -> None:
    assert "write it like 7d" in run(config, "rotate-secret", "shop", "--overlap", overlap, code=2).stderr


def test_what_was_done_stands_in_the_audit_without_secrets(config: Config) -> None:
    with closing(Database(config)) as database:
        database.upgrade()
    words = ("add", "new", "--name", "New", "--type", "web", "--redirect-uri", "https://new.example/cb")
    made = as_json(config, *words)
    rotated = as_json(config, "rotate-secret", "new", "--overlap", "12h")
    with closing(sqlite3.connect(config.data / "idp.sqlite")) as db:
        rows = db.execute("SELECT event, actor, facts FROM audit_events ORDER BY id").fetchall()
    assert [(event, json.loads(facts)) for event, _, facts in rows] == [
        ("clients.added", {"client_id": "new", "type": "web", "first_party": True}),
        ("clients.secret_rotated", {"client_id": "new", "overlap": 43_200}),
    ]
    assert made["client_secret"] not in str(rows) and rotated["client_secret"] not in str(rows)
