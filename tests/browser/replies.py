"""Replies: how the stand-in writes its answers on the wire, and reads what came."""

from __future__ import annotations

import json
import mimetypes
import pathlib
from http.cookies import SimpleCookie
from http.server import BaseHTTPRequestHandler
from typing import Any

from .accounts import Answer
from .script import Drop, Hold, Page, Refuse, Reply

STATIC = pathlib.Path(__file__).resolve().parents[2] / "static"

CSP = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; "
    "font-src 'self'; manifest-src 'self'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'"
)


class Replies(BaseHTTPRequestHandler):
    """What has nothing to do with jobs."""

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the name is the base class's
        """Tests read `seen`, not a log."""

    def _answer(self, answer: Answer) -> None:
        self.send_response(answer.status)
        for name, value in answer.cookies.items():
            path = "/api/auth" if name == "parley_refresh" else "/api"
            kept = "" if value else "; Max-Age=0"
            self.send_header("Set-Cookie", f"{name}={value}; HttpOnly; SameSite=Strict; Path={path}{kept}")
        body = b"" if answer.body is None else json.dumps(answer.body).encode()
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def _body(self) -> Any:
        length = int(self.headers["Content-Length"] or 0)
        return json.loads(self.rfile.read(length)) if length else None

    def _cookies(self) -> dict[str, str]:
        return {name: morsel.value for name, morsel in SimpleCookie(self.headers["Cookie"] or "").items()}

    def _scripted(self, reply: Reply | None) -> bool:
        """Answer as scripted; false when the usual answer is still to be given."""
        if isinstance(reply, Hold):
            reply.release.wait(30)
        elif isinstance(reply, Refuse):
            self._problem(reply)
        elif isinstance(reply, Page):
            self._send(reply.status, "text/html", b"<h1>Bad gateway</h1>", {})
        return isinstance(reply, Drop | Refuse | Page)

    def _problem(self, refusal: Refuse) -> None:
        document = {
            "type": "about:blank",
            "title": "Refused",
            "status": refusal.status,
            "detail": refusal.detail,
            "code": refusal.code,
            "requestId": "req-1",
            "errors": list(refusal.errors),
        }
        headers = {} if refusal.retry_after is None else {"Retry-After": str(refusal.retry_after)}
        self._send(refusal.status, "application/problem+json", json.dumps(document).encode(), headers)

    def _json(self, status: int, document: Any, headers: dict[str, str] | None = None) -> None:
        self._send(status, "application/json", json.dumps(document).encode(), headers or {})

    def _file(self, name: str) -> None:
        path = (STATIC / name).resolve()
        if not path.is_relative_to(STATIC) or not path.is_file():
            self._problem(Refuse(404, "not_found"))
            return
        kind = mimetypes.guess_type(path.name)[0] or "application/octet-stream"
        self._send(200, kind, path.read_bytes(), {"Content-Security-Policy": CSP, "X-Content-Type-Options": "nosniff"})

    def _send(self, status: int, kind: str, body: bytes, headers: dict[str, str]) -> None:
        self.send_response(status)
        for name, value in {"Content-Type": kind, "Content-Length": str(len(body)), **headers}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)
