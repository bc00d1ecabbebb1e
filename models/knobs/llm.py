"""Which model is asked, and how patiently."""

from __future__ import annotations

from dataclasses import dataclass

from models import forms
from models.knobs.knob import knob


@dataclass(frozen=True, kw_only=True)
class ModelKnobs:
    """The model's server."""

    llm_base_url: str = knob(
        "LLM_BASE_URL",
        forms.url("http", "https"),
        default="",
        example="http://127.0.0.1:11434/v1",
        meaning="Any OpenAI-compatible server. Set, it selects the `openai` provider.",
    )
    llm_api_key: str = knob(
        "LLM_API_KEY",
        forms.text,
        default="",
        example="sk-…",
        meaning="Key for that server. Set, it selects the `openai` provider.",
        secret=True,
    )
    llm_model: str = knob(
        "LLM_MODEL",
        forms.text,
        default="",
        example="llama3.2",
        meaning="Model to ask; required as soon as `LLM_BASE_URL` or `LLM_API_KEY` is set.",
    )
    llm_fallbacks: str = knob(
        "LLM_FALLBACKS",
        forms.models,
        default="",
        example="gpt-4o-mini,offline",
        meaning="Models to ask, in turn, while those before are out of order; same server, or `offline` as the last.",
    )
    breaker_calls: int = knob(
        "BREAKER_CALLS",
        forms.whole(0, 100),
        default=20,
        example="20",
        meaning="A model whose newest calls, at least so many in 30 s, failed by half is given a rest; 0: never.",
    )
    llm_connect_seconds: float = knob(
        "LLM_CONNECT_SECONDS",
        forms.seconds(0.1, 60),
        default=3.0,
        example="3",
        meaning="Longest wait for a connection to the model's server.",
    )
    llm_read_seconds: float = knob(
        "LLM_READ_SECONDS",
        forms.seconds(0.1, 600),
        default=20.0,
        example="20",
        meaning="Longest silence of the model's server within one call.",
    )
    llm_total_seconds: float = knob(
        "LLM_TOTAL_SECONDS",
        forms.seconds(0.1, 3600),
        default=120.0,
        example="120",
        meaning="Longest a whole call may take, however it drips.",
    )
    llm_max_response_bytes: int = knob(
        "LLM_MAX_RESPONSE_BYTES",
        forms.whole(1024, 64 * 1024 * 1024),
        default=1024 * 1024,
        example="1048576",
        meaning="Reply text beyond this is cut off and the job marked `truncated`.",
    )
    llm_context_tokens: int = knob(
        "LLM_CONTEXT_TOKENS",
        forms.whole(1000, 10_000_000),
        default=8000,
        example="8000",
        meaning="What a prompt made of a chat may have, by our estimate; the oldest messages are left out first.",
    )
