"""How the demo's own pages are served: on this machine only, without a log of requests (their queries carry codes)."""

from __future__ import annotations

from wsgiref.types import WSGIApplication

from werkzeug.serving import WSGIRequestHandler, make_server


class Quiet(WSGIRequestHandler):
    def log_request(self, code: int | str = "-", size: int | str = "-") -> None:
        """Say nothing."""


def serve(app: WSGIApplication, port: int) -> None:
    """Answer on ``port`` of this machine until the process is told to stop."""
    make_server("127.0.0.1", port, app, threaded=True, request_handler=Quiet).serve_forever()
