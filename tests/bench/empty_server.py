"""``python -m tests.bench.empty_server wsgi|flask PORT``: an empty application on the server of ``idp serve``."""

from __future__ import annotations

import sys
from typing import Any

from flask import Flask

from idp.cli.serve_command import make_server
from idp.config import Config


def empty_wsgi(_environ: Any, start_response: Any) -> list[bytes]:
    start_response("200 OK", [("Content-Type", "text/html")])
    return [b""]


def empty_flask() -> Flask:
    app = Flask(__name__)
    app.add_url_rule("/", "empty", lambda: "")
    return app


if __name__ == "__main__":
    kind, port = sys.argv[1:]
    server = make_server(Config(issuer=f"http://localhost:{port}"), "127.0.0.1", int(port))
    server.serve(target_loader=lambda: empty_wsgi if kind == "wsgi" else empty_flask(), wrap_loader=False)
