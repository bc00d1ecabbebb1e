"""Pages: what a browser asks for."""

from __future__ import annotations

from typing import cast

from flask import Blueprint, Response, current_app

from api import access, dashboard_page
from api.assets import WithAssets
from api.dashboard import standing

bp = Blueprint("pages", __name__)


@bp.get("/")
@access.public
def index() -> Response:
    """The chat page. It asks for chats by itself, as whoever is signed in."""
    return current_app.send_static_file("index.html")


@bp.get("/jobs")
@access.public
def jobs() -> Response:
    """The page that sends single messages and shows the way of each; for guests, too."""
    return current_app.send_static_file("jobs.html")


@bp.get("/keys")
@access.public
def keys() -> Response:
    """The page of API keys. It asks for them by itself, as whoever is signed in."""
    return current_app.send_static_file("keys.html")


@bp.get("/dashboard")
@access.public
def dashboard() -> Response:
    """The page of operators. There is no number in it: it asks for them by itself, as whoever may see them."""
    return current_app.send_static_file("dashboard.html")


@bp.get("/dashboard/numbers")
@access.operator
def dashboard_with_numbers() -> Response:
    """The same page with its numbers already in it: for whoever runs no scripts, and can send a token."""
    page = cast("WithAssets", current_app).assets.page("dashboard.html")
    written = dashboard_page.with_numbers(page, standing())
    return current_app.response_class(written, mimetype="text/html", headers={"Cache-Control": "no-store"})


@bp.get("/sw.js")
@access.public
def worker() -> Response:
    """What keeps the chat page for a time without a network. Its place says which pages it may answer for."""
    return current_app.send_static_file("sw.js")


@bp.get("/api/docs")
@access.public
def docs() -> Response:
    """Swagger UI, from vendored files: it works offline and under our Content-Security-Policy."""
    return current_app.send_static_file("docs/index.html")


@bp.get("/favicon.ico")
@access.public
def favicon() -> Response:
    """Browsers ask here when no page has told them better."""
    return current_app.send_static_file("favicon.svg")
