"""OpenAPI: flask-smorest's `Api`, taught our error format and our reading of JSON."""

from __future__ import annotations

import contextlib
import functools
import json
import threading
from collections.abc import Callable, Iterator
from typing import Any, NoReturn, TypeVar

import gevent
import marshmallow as ma
from flask import Flask, Request, Response
from flask_smorest import Api, Blueprint
from gevent import get_hub, monkey
from gunicorn.http.errors import ParseException
from webargs import flaskparser
from werkzeug.exceptions import (
    BadRequest,
    HTTPException,
    RequestEntityTooLarge,
    RequestTimeout,
    UnsupportedMediaType,
)

from api import errors
from api.limits import HEADERS
from api.schemas import ProblemSchema

DESCRIPTION = """
A queue for AI replies. `POST /api/jobs` stores a message and answers at once with a job id; poll
`GET /api/jobs/{jobId}` until `status` is `completed`, `failed` or `cancelled`. `Retry-After` says how long to wait
between polls. Times are ISO 8601 in UTC. Every error is `application/problem+json` with a stable `code`.
"""
CONFIG = {
    "API_TITLE": "Parley",
    "API_VERSION": "1",
    "OPENAPI_VERSION": "3.1.0",
    "OPENAPI_URL_PREFIX": "/api",
    "OPENAPI_JSON_PATH": "openapi.json",
    "API_SPEC_OPTIONS": {
        "info": {"description": DESCRIPTION, "license": {"name": "MIT", "identifier": "MIT"}},
        "components": {
            "securitySchemes": {
                "operator": {"type": "http", "scheme": "bearer", "description": "ADMIN_TOKEN"},
                "bearer": {"type": "http", "scheme": "bearer", "description": "An access token, or an API key."},
                "session": {
                    "type": "apiKey",
                    "in": "cookie",
                    "name": "parley_refresh",
                    "description": "Set by registering and logging in; HttpOnly, for /api/auth only.",
                },
                "guest": {
                    "type": "apiKey",
                    "in": "cookie",
                    "name": "parley_guest",
                    "description": "Who a guest is, where guests are allowed; HttpOnly.",
                },
            }
        },
    },
}
_RETRY_AFTER = {"Retry-After": {"schema": {"type": "string"}, "description": "Seconds."}}
_HEADERS_OF = {429: {**_RETRY_AFTER, **HEADERS}, 503: _RETRY_AFTER}
BODY_SECONDS = 15.0
View = TypeVar("View", bound=Callable[..., Any])


class ProblemApi(Api):  # type: ignore[misc]
    """Answers errors as problem+json, and documents them as such.

    The document is made when it is first asked for. Making it is a good part of making the application, and few of
    the processes that make one are ever asked.
    """

    ERROR_SCHEMA = ProblemSchema

    def __init__(self, app: Flask) -> None:
        self.later: list[Callable[[], None]] = []
        """What is still to be put into the document."""
        self._writing = threading.Lock()
        super().__init__(app)

    def _write(self) -> None:
        with self._writing:
            for write in self.later:
                write()
            self.later.clear()  # last: until then whoever asks waits here, too

    def _openapi_json(self) -> Response:
        if self.later:
            # Half a second of a core: in a real thread, so that others are answered meanwhile.
            get_hub().threadpool.apply(self._write)
        answer: Response = super()._openapi_json()
        return answer

    def handle_http_exception(self, error: HTTPException) -> Response:
        """Registered by flask-smorest for every ``HTTPException``."""
        return errors.from_http_exception(error)

    DEFAULT_RESPONSE_CONTENT_TYPE = "application/json"

    def _register_responses(self) -> None:
        self.later.append(self._write_responses)

    def _write_responses(self) -> None:
        kept, self.DEFAULT_RESPONSE_CONTENT_TYPE = self.DEFAULT_RESPONSE_CONTENT_TYPE, "application/problem+json"
        try:
            super()._register_responses()
        finally:
            self.DEFAULT_RESPONSE_CONTENT_TYPE = kept


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not JSON")


class JsonParser(flaskparser.FlaskParser):
    """Reads a JSON body by the letter: right content type, UTF-8, no NaN, bounded depth."""

    # webargs would pass over a query parameter it does not know.
    DEFAULT_UNKNOWN_BY_LOCATION = {"json": None, "query": ma.RAISE}  # noqa: RUF012

    def load_json(self, req: Request, schema: ma.Schema) -> Any:
        """The parsed body.

        Raises:
            UnsupportedMediaType, BadRequest, RequestTimeout, RequestEntityTooLarge
        """
        del schema
        if req.mimetype != "application/json":
            raise UnsupportedMediaType("Send the body as application/json.")
        with arriving_within(BODY_SECONDS):
            body = _read(req)
        return parsed(body)


def parsed(raw: bytes, *, what: str = "body") -> Any:
    """What some JSON says.

    Raises:
        BadRequest: it is none; its ``data["code"]`` says why.
    """
    try:
        return json.loads(raw.decode("utf-8"), parse_constant=_refuse_constant)
    except UnicodeDecodeError:
        raise _bad("invalid_utf8", f"The {what} is not valid UTF-8.") from None
    except RecursionError:
        raise _bad("json_too_deep", f"The {what} is nested too deeply.") from None
    except ValueError as error:
        where = f" (line {error.lineno}, column {error.colno})" if isinstance(error, json.JSONDecodeError) else ""
        raise _bad("malformed_json", f"The {what} is not valid JSON{where}.") from None


@contextlib.contextmanager
def arriving_within(seconds: float) -> Iterator[None]:
    """Bound the reading of a body, however it drips.

    A time-out of the socket would bound each read only: one byte every few
    seconds would hold a connection for days.

    Raises:
        RequestTimeout, BadRequest
    """
    timer = gevent.Timeout(seconds)
    if monkey.is_module_patched("socket"):
        timer.start()
    try:
        yield
    except gevent.Timeout:
        raise RequestTimeout("The body did not arrive in time.") from None
    except (ParseException, OSError):
        raise _bad("malformed_body", "The body is not framed as its headers say.") from None
    finally:
        timer.close()


def _read(req: Request) -> bytes:
    if req.content_length is not None or not req.environ.get("wsgi.input_terminated"):
        return req.get_data(cache=False)
    # Chunked: werkzeug would stop at the limit without a word and hand over what it has.
    limit = req.max_content_length or 0
    body: bytes = req.environ["wsgi.input"].read(limit + 1)
    if len(body) > limit:
        raise RequestEntityTooLarge
    return body


def _bad(code: str, detail: str) -> BadRequest:
    error = BadRequest(detail)
    error.data = {"code": code}  # type: ignore[attr-defined]
    return error


class Noun(Blueprint):  # type: ignore[misc]
    """A blueprint whose bodies are read by `JsonParser`."""

    ARGUMENTS_PARSER = JsonParser()

    def alt_response(self, status_code: int, **described: Any) -> Callable[[View], View]:
        """Document another answer of a view, which stays as it is.

        flask-smorest would wrap it in a function that only calls it: one each, for every request to pass through;
        and copy, each time, all that is documented so far.
        """

        @super().alt_response(status_code, **described)
        def alone() -> None:
            pass

        [[answer]] = alone._apidoc["response"]["responses"].values()  # noqa: SLF001

        def documented(view: View) -> View:
            answers = vars(view).setdefault("_apidoc", {}).setdefault("response", {}).setdefault("responses", {})
            answers.setdefault(status_code, []).append(answer)
            return view

        return documented

    def register_views_in_doc(self, api: ProblemApi, *given: Any, **named: Any) -> None:
        """Put it off until somebody reads it."""
        api.later.append(functools.partial(super().register_views_in_doc, api, *given, **named))


def problems(bp: Noun, *statuses: int) -> Callable[[View], View]:
    """Document that a view may answer these statuses as problem+json."""

    def documented(view: View) -> View:
        for status in reversed(statuses):
            view = bp.alt_response(
                status,
                schema=ProblemSchema,
                content_type="application/problem+json",
                headers=_HEADERS_OF.get(status),
            )(view)
        return view

    return documented
