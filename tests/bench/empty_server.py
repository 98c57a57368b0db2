"""``python -m tests.bench.empty_server plain|flask PORT``: an empty application on the server of ``idp serve``."""

from __future__ import annotations

import sys
from types import SimpleNamespace
from typing import Any

from idp.app import Application
from idp.cli.serve_command import make_server
from idp.config import Config
from idp.front import Front


async def plain(_scope: Any, protocol: Any) -> None:
    """Answered on the loop, as the machine endpoints are."""
    protocol.response_bytes(200, [("Content-Type", "text/html")], b"")


def empty_flask(config: Config) -> Front:
    """Answered in the threads, as the pages are."""
    app = Application(__name__)
    no_endpoints = SimpleNamespace(serves=lambda path: False)
    app.extensions["idp"] = SimpleNamespace(endpoints=no_endpoints, config=config, close=lambda: None)
    app.add_url_rule("/", "empty", lambda: "")
    return Front(app, config.threads)


if __name__ == "__main__":
    kind, port = sys.argv[1:]
    config = Config(issuer=f"http://localhost:{port}")
    server = make_server(config, "127.0.0.1", int(port), config.workers)
    server.serve(target_loader=lambda: plain if kind == "plain" else empty_flask(config), wrap_loader=False)
