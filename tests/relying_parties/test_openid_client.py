"""openid-client (npm), the relying-party library of the Node world, goes the whole way: a confidential and a public client."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.needs import program
from tests.registrations import SECRET
from tests.running import Provider, running_provider
from tests.visitor import Visitor

HERE = Path(__file__).parent


@pytest.fixture(scope="module")
def provider(tmp_path_factory: pytest.TempPathFactory, made_once: Path) -> Iterator[Provider]:
    with running_provider(tmp_path_factory.mktemp("openid-client"), keys=made_once / "keys") as provider:
        provider.add_person("carol@example.org")
        yield provider


@pytest.mark.parametrize(
    ("client_id", "secret", "redirect_uri", "goodbye", "method"),
    [
        ("C1", SECRET, "https://rp1.example/cb", "https://rp1.example/bye", "basic"),
        ("C1", SECRET, "https://rp1.example/cb", "https://rp1.example/bye", "post"),
        ("P1", "", "https://spa.example/cb", "https://spa.example/", "none"),
    ],
    ids=["confidential-basic", "confidential-post", "public"],
)
def test_openid_client_goes_the_whole_way(
    provider: Provider, client_id: str, secret: str, redirect_uri: str, goodbye: str, method: str
) -> None:
    visitor = Visitor(provider)
    command = [
        program("node"),
        str(HERE / "openid_client.mjs"),
        provider.issuer,
        client_id,
        secret,
        redirect_uri,
        goodbye,
    ]
    with subprocess.Popen(
        [*command, method], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as library:
        assert library.stdin
        assert library.stdout
        assert library.stderr
        try:
            visit = json.loads(library.stdout.readline() or "{}").get("visit")
            assert visit, library.stderr.read()
            print(visitor.sign_in(visit), file=library.stdin, flush=True)
            leave = json.loads(library.stdout.readline() or "{}").get("leave")
            assert leave, library.stderr.read()
            print(visitor.open(leave).headers["Location"], file=library.stdin, flush=True)
            told = json.loads(library.stdout.readline() or "{}")
            assert told, library.stderr.read()
        finally:
            library.kill()
    assert told["claims"]["iss"] == provider.issuer
    assert told["claims"]["amr"] == ["pwd"]
    assert told["person"]["email"] == told["again"]["email"] == "carol@example.org"
    assert told["person"]["sub"] == told["claims"]["sub"]
    assert told["rotated"]
    assert told["revoked"] == 401
    if method != "none":
        assert told["seen"]["active"] is True
        assert told["seen"]["client_id"] == client_id
    assert told["left"] == f"{goodbye}?state=farewell"
