"""mod_auth_openidc, as Debian ships it, in front of a page: discovery, code with PKCE, userinfo, refresh and logout."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote, urlsplit

import pytest
import requests
import trustme

from idp.client_record import hash_secret
from tests import canaries
from tests.backends import free_port, wait_until
from tests.needs import program
from tests.running import Provider, running_provider
from tests.visitor import Visitor

pytestmark = pytest.mark.needs("apache")

SECRET = canaries.register("apache-secret-0123456789-0123456789", "client secret")
MODULES = "mpm_event authn_core authz_core authz_user dir headers auth_openidc"

CLIENTS = """
clients:
  apache:
    name: Apache
    type: web
    redirect_uris: ["{address}/callback"]
    post_logout_redirect_uris: ["{address}/bye.html"]
    secrets: [{{hash: "{hash}"}}]
"""

CONFIGURATION = """
ServerRoot {folder}
ServerName localhost
Listen 127.0.0.1:{port}
PidFile {folder}/pid
ErrorLog {folder}/error.log
DocumentRoot {folder}/www
{modules}
OIDCProviderMetadataURL {issuer}/.well-known/openid-configuration
OIDCCABundlePath {ca}
OIDCClientID apache
OIDCClientSecret {secret}
OIDCPKCEMethod S256
OIDCScope "openid email profile offline_access"
OIDCRedirectURI {address}/callback
OIDCDefaultLoggedOutURL {address}/bye.html
OIDCCryptoPassphrase "{passphrase}"
OIDCPassRefreshToken On
OIDCUserInfoRefreshInterval 600
<Location "/">
  AuthType openid-connect
  Require valid-user
  Header always set X-Sub "%{{OIDC_CLAIM_sub}}e"
  Header always set X-Email "%{{OIDC_CLAIM_email}}e"
  Header always set X-Name "%{{OIDC_CLAIM_name}}e"
  Header always set X-Access-Token "%{{OIDC_access_token}}e"
</Location>
<Location "/bye.html">
  Require all granted
</Location>
"""


@dataclass
class Apache:
    provider: Provider
    address: str
    log: Path


@pytest.fixture(scope="module")
def apache(tmp_path_factory: pytest.TempPathFactory, made_once: Path) -> Iterator[Apache]:
    folder = tmp_path_factory.mktemp("apache")
    port = free_port()
    address = f"http://localhost:{port}"
    clients = CLIENTS.format(address=address, hash=hash_secret(SECRET))
    with running_provider(folder / "idp", tls=trustme.CA(), clients=clients, keys=made_once / "keys") as provider:
        provider.add_person("carol@example.org")
        (folder / "www").mkdir()
        (folder / "www" / "index.html").write_text("inside")
        (folder / "www" / "bye.html").write_text("bye")
        loading = "\n".join(
            f"LoadModule {module}_module /usr/lib/apache2/modules/mod_{module}.so" for module in MODULES.split()
        )
        (folder / "httpd.conf").write_text(
            CONFIGURATION.format(
                folder=folder,
                port=port,
                modules=loading,
                issuer=provider.issuer,
                ca=provider.ca,
                secret=SECRET,
                address=address,
                passphrase="a passphrase of the test",
            )
        )
        command = [program("apache2"), "-f", str(folder / "httpd.conf"), "-DFOREGROUND"]
        server = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
        try:
            wait_until(lambda: _answers(server, address), "apache answers")
            yield Apache(provider, address, folder / "error.log")
        finally:
            server.terminate()
            server.wait(20)
            assert server.stderr
            server.stderr.close()


def _answers(server: subprocess.Popen[bytes], address: str) -> bool:
    assert server.poll() is None, server.stderr and server.stderr.read()
    try:
        return requests.get(f"{address}/bye.html", timeout=5).status_code == 200
    except requests.ConnectionError:
        return False


def test_mod_auth_openidc_goes_the_whole_way(apache: Apache) -> None:
    visitor = Visitor(apache.provider)
    browser = requests.Session()  # the same person's browser, at Apache

    sent = browser.get(f"{apache.address}/", allow_redirects=False, timeout=20)
    assert sent.headers["Location"].startswith(f"{apache.provider.issuer}/authorize?"), apache.log.read_text()
    assert "code_challenge=" in sent.headers["Location"]
    back = visitor.sign_in(sent.headers["Location"])
    inside = browser.get(back, timeout=20)
    assert inside.text == "inside", apache.log.read_text()
    assert inside.headers["X-Email"] == "carol@example.org"
    assert inside.headers["X-Name"] == "Carol Example"
    first = canaries.register(inside.headers["X-Access-Token"], "access token")

    refreshed = f"{apache.address}/callback?refresh={quote(apache.address + '/')}&access_token={quote(first)}"
    again = browser.get(refreshed, timeout=20)
    assert again.text == "inside", apache.log.read_text()
    assert again.headers["X-Sub"] == inside.headers["X-Sub"]
    second = canaries.register(again.headers["X-Access-Token"], "access token")
    assert second != first

    out = f"{apache.address}/callback?logout={quote(apache.address + '/bye.html')}"
    leave = browser.get(out, allow_redirects=False, timeout=20)
    assert leave.headers["Location"].startswith(f"{apache.provider.issuer}/logout?")
    left = visitor.open(leave.headers["Location"])
    assert left.headers["Location"] == f"{apache.address}/bye.html", left.text
    anew = browser.get(f"{apache.address}/", allow_redirects=False, timeout=20)
    assert urlsplit(anew.headers["Location"]).path == "/authorize"
    assert 'id="username"' in visitor.open(anew.headers["Location"]).text
