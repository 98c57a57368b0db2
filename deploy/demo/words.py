"""The words of the demo's pages, and which language a browser gets."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import yaml
from flask import Flask, Response, g, request

WORDS: dict[str, dict[str, str]] = yaml.safe_load(Path(__file__).with_name("words.yaml").read_text(encoding="utf-8"))


def speak(app: Flask, cookie: str) -> None:
    """Give every template of a Flask application ``say(key)`` and ``language``; ``?language=fr`` is remembered in a cookie."""

    @app.before_request
    def choose() -> None:
        wish = request.args.get("language") or request.cookies.get(cookie)
        g.language = wish if wish in ("en", "fr") else request.accept_languages.best_match(("en", "fr"), "en")

    @app.after_request
    def remember(response: Response) -> Response:
        if "language" in request.args:
            response.set_cookie(cookie, g.language, max_age=365 * 86400, httponly=True, samesite="Lax")
        response.headers["Content-Language"] = g.language
        return response

    @app.context_processor
    def words() -> dict[str, str | Callable[[str], str]]:
        return {"language": g.language, "say": lambda key: WORDS[key][g.language]}
