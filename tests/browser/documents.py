"""Documents: jobs as the API shows them, and a small API description."""

from __future__ import annotations

import datetime as dt
from typing import Any

Job = dict[str, Any]


def ago(seconds: float) -> str:
    """The time so many seconds ago, as the API writes times; negative for the future."""
    moment = dt.datetime.now(dt.UTC) - dt.timedelta(seconds=seconds)
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def an_attempt(
    *, started: float, asked: float | None = None, finished: float | None = None, error_code: str | None = None
) -> dict[str, str | None]:
    """One row of `attempts`; every time is given as seconds ago."""
    outcome = None if finished is None else "failed" if error_code else "completed"
    return {
        "startedAt": ago(started),
        "askedAt": None if asked is None else ago(asked),
        "finishedAt": None if finished is None else ago(finished),
        "outcome": outcome,
        "errorCode": error_code,
    }


def a_job(status: str, **fields: Any) -> Job:
    """A job's document as `GET /api/jobs/<id>` answers it, without its id."""
    usual: Job = {
        "status": status,
        "type": "chat",
        "createdAt": ago(0.5),
        "updatedAt": ago(0),
        "result": None,
        "error": None,
        "attempt": 0,
        "failures": 0,
        "maxAttempts": 5,
        "nextAttemptAt": None,
        "deadlineAt": ago(-600),
        "runAt": None,
        "priority": 5,
        "queuePosition": None,
        "etaSeconds": None,
        "waitReason": "behind" if status in {"created", "retrying"} else None,
        "note": None,
        "batchId": None,
        "customId": None,
        "model": None,
        "degraded": None,
        "cached": None,
        "truncated": None,
        "usage": None,
        "attempts": [],
    }
    return usual | fields


def completed(result: str = "It is done.", **fields: Any) -> Job:
    """A job answered at its first attempt."""
    return a_job(
        "completed",
        result=result,
        createdAt=ago(2.9),
        attempt=1,
        model="test-model-1",
        degraded=False,
        truncated=False,
        usage={"promptTokens": 12, "completionTokens": 30, "totalTokens": 42},
        attempts=[an_attempt(started=2.7, asked=2.65, finished=0.1)],
    ) | (fields)


EXAMPLE_OPENAPI: dict[str, Any] = {
    "openapi": "3.1.0",
    "info": {"title": "Parley", "version": "1.0.0", "description": "A queue between people and models."},
    "paths": {
        "/api/jobs": {
            "post": {
                "tags": ["jobs"],
                "summary": "Accept a job.",
                "requestBody": {
                    "content": {"application/json": {"schema": {"$ref": "#/components/schemas/NewJob"}}},
                    "required": True,
                },
                "responses": {"201": {"description": "The job is stored."}},
            }
        },
        "/api/jobs/{job_id}": {
            "get": {
                "tags": ["jobs"],
                "summary": "Look at a job.",
                "parameters": [
                    {"name": "job_id", "in": "path", "required": True, "schema": {"type": "string", "format": "uuid"}}
                ],
                "responses": {"200": {"description": "The job as it stands."}},
            }
        },
    },
    "components": {
        "schemas": {
            "NewJob": {
                "type": "object",
                "required": ["message"],
                "properties": {
                    "message": {"type": "string", "maxLength": 32000, "examples": ["Hello"]},
                    "type": {"enum": ["chat", "summarize"], "default": "chat"},
                },
            }
        }
    },
}
