"""A single-page product on another site signs a person in by itself: oidc-client-ts in Chromium, cross-origin, no secret."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
import trustme
from flask import Flask, Response
from playwright.sync_api import Browser, expect
from werkzeug.serving import make_server

from tests import canaries
from tests.fakes.relying_party import Quiet
from tests.journey import PASSWORD
from tests.running import running_provider

pytestmark = pytest.mark.needs("chromium")

LIBRARY = Path(__file__).parents[1] / "node_modules/oidc-client-ts/dist/browser/oidc-client-ts.min.js"

CLIENTS = """
clients:
  single:
    name: Single Page
    type: spa
    redirect_uris: ["{address}/"]
    post_logout_redirect_uris: ["{address}/"]
"""

PAGE = """<!doctype html><html lang="en"><title>Single page</title><main id="said"></main>
<script src="/oidc-client-ts.js"></script><script>
const manager = new oidc.UserManager({
  authority: %s, client_id: 'single', redirect_uri: location.origin + '/', post_logout_redirect_uri: location.origin + '/',
  scope: 'openid email offline_access', loadUserInfo: true, revokeTokensOnSignout: true,
})
async function run() {
  if (!location.search.includes('code=')) return manager.signinRedirect()
  const user = await manager.signinRedirectCallback()
  const renewed = await manager.signinSilent()
  return { email: user.profile.email, sub: user.profile.sub, again: renewed.profile.sub,
           renewed: renewed.access_token !== user.access_token, tokens: [user.access_token, renewed.access_token, renewed.refresh_token] }
}
const leaving = location.search.includes('state=') && !location.search.includes('code=')
if (leaving) { document.getElementById('said').textContent = 'left' }
else run().then(told => { if (told) document.getElementById('said').textContent = JSON.stringify(told) })
          .catch(error => { document.getElementById('said').textContent = String(error) })
</script></html>"""


@pytest.fixture
def authority() -> trustme.CA:
    return trustme.CA()


@pytest.fixture
def single_page(authority: trustme.CA) -> Iterator[tuple[str, list[str]]]:
    """The product's own site: its address, and a place for the issuer that its page names."""
    import ssl

    issuer: list[str] = []
    app = Flask(__name__, static_folder=None)
    app.add_url_rule("/", view_func=lambda: Response(PAGE % json.dumps(issuer[0]), content_type="text/html"))
    app.add_url_rule(
        "/oidc-client-ts.js", "library", lambda: Response(LIBRARY.read_bytes(), content_type="text/javascript")
    )
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("spa.single.test").configure_cert(tls)
    server = make_server("127.0.0.1", 0, app, threaded=True, request_handler=Quiet, ssl_context=tls)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield f"https://spa.single.test:{server.port}", issuer
    server.shutdown()
    server.server_close()


def test_a_public_client_signs_in_across_origins(
    single_page: tuple[str, list[str]], authority: trustme.CA, tmp_path: Path, made_once: Path, browser: Browser
) -> None:
    address, issuer = single_page
    with running_provider(
        tmp_path / "idp",
        name="login.provider.test",
        tls=authority,
        clients=CLIENTS.format(address=address),
        keys=made_once / "keys",
    ) as provider:
        issuer.append(provider.issuer)
        provider.add_person("carol@example.org")
        context = browser.new_context(ignore_https_errors=True)
        page = context.new_page()
        page.goto(address)
        page.locator("#username").fill("carol@example.org")
        page.locator("#login-submit").click()
        page.locator("#password").fill(PASSWORD)
        page.locator("#login-submit").click()
        expect(page.locator("#said")).to_contain_text("email", timeout=15_000)
        told = json.loads(page.locator("#said").inner_text())
        for token in told["tokens"]:
            canaries.register(token, "token")
        assert told["email"] == "carol@example.org"
        assert told["sub"] == told["again"]
        assert told["renewed"]
        page.evaluate("() => { setTimeout(() => manager.signoutRedirect({ state: 'x' }), 0) }")
        expect(page.locator("#said")).to_have_text("left")
        seen = page.evaluate(
            "([url, token]) => fetch(url, { headers: { Authorization: 'Bearer ' + token } }).then(r => r.status)",
            [f"{provider.issuer}/userinfo", told["tokens"][1]],
        )
        assert seen == 401  # the sign-out revoked them
        context.close()
