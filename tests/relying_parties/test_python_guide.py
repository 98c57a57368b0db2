"""The guide for Python developers, done step by step: its commands, its files, a real browser."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import requests

from tests import canaries
from tests.backends import free_port, wait_until
from tests.browser import chromium
from tests.journey import PASSWORD
from tests.needs import program
from tests.running import Provider, running_provider

GUIDE = Path(__file__).parents[2] / "docs/relying-parties/python-flask"
TEXT = (GUIDE / "README.md").read_text(encoding="utf-8")


def commands(step: str) -> list[str]:
    """The command lines of the guide's step that begins with this heading."""
    section = TEXT[TEXT.index(f"## {step}") :].split("\n## ")[0]
    return [line for block in re.findall(r"```sh\n(.*?)```", section, re.DOTALL) for line in block.splitlines()]


def test_every_snippet_is_a_piece_of_the_files() -> None:
    files = [(GUIDE / name).read_text(encoding="utf-8") for name in ("app.py", "sign_in.py")]
    snippets = re.findall(r"```python\n(.*?)```", TEXT, re.DOTALL)
    assert snippets
    for snippet in snippets:
        assert any(snippet in file for file in files), snippet


def test_what_it_asks_to_install_is_what_its_files_import() -> None:
    asked = {re.split(r"[>=<]", line)[0].lower() for line in (GUIDE / "requirements.txt").read_text().splitlines()}
    imported = set()
    for name in ("app.py", "sign_in.py"):
        imported |= set(re.findall(r"^(?:from|import) (\w+)", (GUIDE / name).read_text(), re.MULTILINE))
    own = {"sign_in", "markupsafe"}  # MarkupSafe comes with Flask
    assert {name for name in imported if name not in sys.stdlib_module_names} - own == asked


@pytest.fixture(scope="module")
def provider(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Provider]:
    with running_provider(tmp_path_factory.mktemp("provider")) as running:
        running.add_person("carol@example.org")
        yield running


@pytest.fixture(scope="module")
def product(provider: Provider, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The application of the guide, registered and started by the guide's own commands; only the ports are moved."""
    port = free_port()

    def moved(text: str) -> str:
        text = text.replace("localhost:5000", f"localhost:{port}").replace("--port 5000", f"--port {port}")
        return text.replace("http://localhost:8000", provider.issuer)

    (add,) = commands("1.")
    told = provider.idp(*shlex.split(moved(add))[1:])
    secret = re.search(r"client_secret +(\S+)", told)
    assert secret
    canaries.register(secret[1], "client secret")
    file = provider.folder / "clients.yaml"
    text = file.read_text()
    mine = text.index("  my-product:\n") + len("  my-product:\n")
    file.write_text(
        f"{text[:mine]}    backchannel_logout_uri: http://localhost:{port}/backchannel-logout\n{text[mine:]}"
    )

    folder = tmp_path_factory.mktemp("product")
    for name in ("app.py", "sign_in.py"):
        shutil.copy(GUIDE / name, folder)
    *exports, run = [shlex.split(moved(line)) for line in commands("3.")]
    environment = dict(words[1].split("=", 1) for words in exports)
    environment["OIDC_CLIENT_SECRET"] = secret[1]
    with (folder / "log").open("wb") as log:
        running = subprocess.Popen(
            [program("setpriv"), "--pdeathsig", "TERM", sys.executable, "-m", *run[0].rsplit("/", 1)[1:], *run[1:]],
            cwd=folder,
            env={"PATH": os.environ["PATH"], **environment},
            stdout=log,
            stderr=log,
        )
    address = f"http://localhost:{port}"

    def is_up() -> bool:
        assert running.poll() is None
        try:
            return requests.get(address, timeout=10).ok
        except requests.ConnectionError:
            return False

    try:
        wait_until(is_up, "the guide's application answers")
        yield address
    finally:
        running.send_signal(signal.SIGTERM)
        running.wait(30)


@pytest.mark.needs("chromium")
def test_a_person_signs_in_and_out_and_hears_of_a_logout_elsewhere(product: str, provider: Provider) -> None:
    with chromium() as browser:
        first, second = browser.new_context().new_page(), browser.new_context().new_page()
        for page in (first, second):
            page.goto(product)
            page.click("#sign-in")
            page.fill("#username", "carol@example.org")
            page.click("#login-submit")
            page.fill("#password", PASSWORD)
            page.click("#login-submit")
            assert "Signed in as carol@example.org" in page.inner_text("#person")

        first.click("#sign-out")
        first.wait_for_selector("#sign-in")
        assert first.url == f"{product}/"

        second.goto(f"{provider.issuer}/me")
        second.click("#sign-out-everywhere")
        second.wait_for_load_state()

        def heard() -> bool:
            second.goto(product)
            return second.query_selector("#sign-in") is not None

        wait_until(heard, "the logout has reached the application")


def test_an_answer_that_this_browser_did_not_ask_for_signs_nobody_in(product: str) -> None:
    answer = requests.get(f"{product}/callback?code=x&state=y&iss=z", timeout=10)
    assert answer.status_code == 400
    assert "state_mismatch" in answer.text


def test_a_logout_token_that_is_none_ends_no_session(product: str) -> None:
    for token in ("", "x", "eyJhbGciOiJub25lIn0.e30."):
        answer = requests.post(f"{product}/backchannel-logout", data={"logout_token": token}, timeout=10)
        assert answer.status_code == 400
        assert "token_not_trusted" in answer.text
