"""``idp config``: the settings, right or wrong, and never a secret."""

from __future__ import annotations

import json
from pathlib import Path
from urllib.parse import quote

import pytest
from click.testing import CliRunner

from idp.cli.config_command import config_command
from idp.config import Config
from idp.errors import OperatorError
from tests import canaries
from tests.registrations import CLIENTS

PASSWORD = canaries.register("p4ss/w0rd@of:the-servers", "password in a URL")
SECRETS = {
    "IDP_DATABASE_URL": f"postgresql+psycopg://idp:{quote(PASSWORD)}@db.example/idp?sslpassword=p4ss-w0rd",
    "IDP_REDIS_URL": f"rediss://:{quote(PASSWORD, safe='')}@redis.example:6379/0",
    "IDP_SMTP_PASSWORD": PASSWORD,
    "IDP_METRICS_TOKEN": PASSWORD,
}


def run(environ: dict[str, str], *arguments: str) -> str:
    result = CliRunner(env={"IDP_ISSUER": "https://login.example", **environ}).invoke(config_command, arguments)
    canaries.show(result.output, "idp config")
    if result.exception is not None:
        raise result.exception
    return result.stdout


def test_right_settings_are_said_to_be_right(tmp_path: Path) -> None:
    (tmp_path / "clients.yaml").write_text(CLIENTS)
    assert run({"IDP_CLIENTS": str(tmp_path / "clients.yaml")}, "check") == "The settings are right.\n"
    assert run({"IDP_ISSUER": "http://localhost:8000"}, "check") == "The settings are right.\n"


def test_wrong_settings_are_listed_all_at_once() -> None:
    with pytest.raises(OperatorError) as wrong:
        run({"IDP_ISSUER": "http://login.example", "IDP_WORKERS": "many", "IDP_WROKERS": "2"}, "check")
    for name in ("IDP_ISSUER", "IDP_WORKERS", "IDP_WROKERS"):
        assert name in str(wrong.value)


def test_the_clients_file_is_checked_too(tmp_path: Path) -> None:
    with pytest.raises(OperatorError, match=r"clients.yaml:1: the file cannot be read"):
        run({"IDP_CLIENTS": str(tmp_path / "clients.yaml")}, "check")
    (tmp_path / "clients.yaml").write_text("clients:\n  app:\n    nmae: App\n")
    with pytest.raises(OperatorError, match=r"clients.yaml:3: app: `nmae` is unknown. Did you mean `name`\?(\n|$)"):
        run({"IDP_CLIENTS": str(tmp_path / "clients.yaml")}, "check")


def test_the_providers_file_is_checked_too(tmp_path: Path) -> None:
    path = tmp_path / "providers.yaml"
    environ = {"IDP_ISSUER": "http://localhost:8000", "IDP_PROVIDERS": str(path)}
    with pytest.raises(OperatorError, match=r"providers.yaml:1: the file cannot be read"):
        run(environ, "check")
    path.write_text("providers:\n  google:\n    client_id: us\n    client_sercet: ${GOOGLE_SECRET}\n")
    with pytest.raises(OperatorError, match=r"providers.yaml:4: google: `client_sercet` is unknown. Did you mean"):
        run(environ, "check")
    path.write_text("providers:\n  google:\n    client_id: us\n    client_secret: ${GOOGLE_SECRET}\n")
    assert run({**environ, "GOOGLE_SECRET": PASSWORD}, "check") == "The settings are right.\n"
    assert run(environ, "check") == (
        f"{path}:4: google: is left out, because ${{GOOGLE_SECRET}} is not set. Set GOOGLE_SECRET and start again.\n"
        "The settings are right.\n"
    )


def test_every_setting_is_shown_and_defaults_are_marked() -> None:
    lines = {line.split()[0]: line for line in run({"IDP_WORKERS": "3"}, "show").splitlines()}
    assert set(lines) == {f"IDP_{name.upper()}" for name in Config.model_fields}
    assert lines["IDP_WORKERS"].split() == ["IDP_WORKERS", "3"]
    assert lines["IDP_THREADS"].split() == ["IDP_THREADS", "80", "(default)"]


def test_secrets_are_masked_wherever_they_stand() -> None:
    for output in (run(SECRETS, "show"), run(SECRETS, "show", "--json")):
        assert "p4ss" not in output and "w0rd" not in output
        assert "db.example/idp" in output and "redis.example:6379/0" in output


def test_a_secret_from_a_file_is_masked_too(tmp_path: Path) -> None:
    (tmp_path / "token").write_text(PASSWORD + "\n")
    shown = json.loads(run({"IDP_METRICS_TOKEN_FILE": str(tmp_path / "token")}, "show", "--json"))
    assert shown["IDP_METRICS_TOKEN"] == "•••"


def test_every_setting_that_sounds_like_a_secret_is_masked() -> None:
    secret = {name for name in Config.model_fields if any(word in name for word in ("password", "token", "secret"))}
    assert secret == {name for name, field in Config.model_fields.items() if not field.repr}


def test_lists_read_like_they_are_written() -> None:
    shown = json.loads(run({"IDP_TRUSTED_PROXIES": "10.0.0.0/8, 192.0.2.0/24"}, "show", "--json"))
    assert shown["IDP_TRUSTED_PROXIES"] == "10.0.0.0/8 192.0.2.0/24"
