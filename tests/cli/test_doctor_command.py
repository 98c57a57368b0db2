"""``idp doctor``, as an operator runs it beside a provider: what runs here is looked at, and nothing that lasts is touched."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from idp.config import Config
from tests import canaries
from tests.registrations import CLIENTS, REFERENCES

PROVIDERS = 'providers:\n  google: {client_id: one, client_secret: "${GOOGLE_SECRET}"}\n'


@pytest.fixture
def clients(tmp_path: Path) -> Path:
    (tmp_path / "clients.yaml").write_text(CLIENTS, encoding="utf-8")
    return tmp_path / "clients.yaml"


def doctor(folder: Path, *words: str, **settings: str) -> subprocess.CompletedProcess[str]:
    environ = {name: value for name, value in os.environ.items() if not name.startswith("IDP_")}
    environ |= {"IDP_ISSUER": "https://login.example", "IDP_CLIENTS": str(folder / "clients.yaml"), **REFERENCES}
    command = [sys.executable, "-m", "idp", "doctor", "enumeration", *words]
    done = subprocess.run(command, cwd=folder, env=environ | settings, capture_output=True, text=True, check=False)
    canaries.show(done.stdout + done.stderr, "idp doctor")
    return done


def test_no_form_tells_who_has_an_account_here(clients: Path) -> None:
    (clients.parent / "providers.yaml").write_text(PROVIDERS, encoding="utf-8")
    done = doctor(clients.parent, "--without-times", "--json", GOOGLE_SECRET="s" * 20)
    assert done.returncode == 0, done.stdout + done.stderr
    assert json.loads(done.stdout) == {"differences": [], "uncovered": []}


def test_nothing_is_made_or_changed_where_it_runs(clients: Path) -> None:
    done = doctor(clients.parent, "--without-times")
    assert done.returncode == 0 and "0 differences" in done.stdout
    assert [path.name for path in clients.parent.iterdir()] == ["clients.yaml"]


def test_the_operators_own_templates_are_looked_at(clients: Path) -> None:
    """Here they hide a form, so that nothing of it can be compared: that is no success either."""
    own = clients.parent / "templates" / "login"
    own.mkdir(parents=True)
    (own / "password.html").write_text("no form here", encoding="utf-8")
    done = doctor(clients.parent, "--without-times", IDP_TEMPLATES=str(own.parent))
    assert done.returncode == 1
    assert "/login/password: its page does not show it" in done.stdout


def test_wrong_settings_are_one_message(config: Config, tmp_path: Path) -> None:
    done = doctor(tmp_path, IDP_ISSUER="http://login.example")
    assert done.returncode == 1 and done.stderr.startswith("idp: ") and "Traceback" not in done.stderr
