"""Verdicts: kind and code of each failure, written out. A test that asked `tasks.llm.failures` would agree with it."""

from __future__ import annotations

from tasks.llm.base import Kind

Verdict = tuple[Kind, str]
TIMEOUT = (Kind.TRANSIENT, "provider_timeout")
UNREACHABLE = (Kind.TRANSIENT, "provider_unreachable")
UNAVAILABLE = (Kind.TRANSIENT, "provider_unavailable")
CUT = (Kind.TRANSIENT, "provider_cut")
EMPTY = (Kind.TRANSIENT, "empty_response")
GARBAGE = (Kind.TRANSIENT, "provider_garbage")
THROTTLED = (Kind.THROTTLED, "provider_throttled")
OUT_OF_QUOTA = (Kind.PERMANENT, "provider_quota")
REFUSED_KEY = (Kind.PERMANENT, "provider_auth")
REJECTED = (Kind.PERMANENT, "provider_rejected")
CONTENT = (Kind.PERMANENT, "content_filtered")
