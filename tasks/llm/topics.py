"""Topics: what the offline provider can say about Parley itself. Facts only, with the numbers of this installation."""

from __future__ import annotations

import re
from dataclasses import dataclass

MAX_QUOTED = 5


@dataclass(frozen=True, kw_only=True)
class Topic:
    """Something to be asked about, the words that ask about it, and the answer.

    ``{name}`` in the answer stands for that field of `models.settings.Settings`.
    """

    asked: re.Pattern[str]
    answer: str
    is_courtesy: bool

    def words_in(self, message: str) -> list[str]:
        """The distinct words of ``message`` that ask about this, as they stand there."""
        found = {match[0].lower(): match[0] for match in self.asked.finditer(message)}
        return list(found.values())[:MAX_QUOTED]


def topic_of(message: str) -> tuple[Topic, list[str]] | None:
    """The topic that most words of ``message`` ask about, and those words; the earlier in `TOPICS` if equal."""
    counted = [(topic, topic.words_in(message)) for topic in TOPICS]
    best = max(counted, key=lambda pair: len(pair[1]))
    return best if best[1] else None


def _topic(asked: str, answer: str, *, is_courtesy: bool = False) -> Topic:
    return Topic(asked=re.compile(rf"\b(?:{asked})\b", re.IGNORECASE), answer=answer, is_courtesy=is_courtesy)


# Only words that hardly anybody uses about anything else: a question about the
# world must not be answered with the manual.
TOPICS = (
    _topic(
        r"retr(?:y|ies|ied|ying)|back-?offs?|jitter|reliab\w+|resilien\w+|fault[- ]toleran\w+|failures?"
        r"|failed jobs?|crash\w*|dead[- ]letters?|redriven?",
        "An accepted job is a row in PostgreSQL and reaches exactly one final status. A failed call to the model "
        "is tried again after a random wait of up to {retry_base_seconds:g} s, a range that doubles with each "
        "failure up to {retry_max_seconds:g} s; never earlier than the model's server asks by Retry-After. After "
        "{max_attempts} failures, or one that can never succeed, the job is `failed`: that is the dead letter, "
        "and an operator can redrive it. A worker that vanishes loses its claim after {lease_seconds:g} s, and "
        "the job is taken over.",
    ),
    _topic(
        r"scal(?:e|es|ed|able|ability|ing)|throughput|concurren\w+|workers?|celery|redis|postgres(?:ql)?"
        r"|job queues?|dispatchers?|load[- ]balanc\w+|bottlenecks?",
        "It scales by adding processes. The API, the dispatcher and the workers keep nothing that matters: what "
        "is true is in PostgreSQL, and Redis holds only hints that may be erased at any moment. One worker "
        "process makes up to {worker_slots} model calls at once; more workers take more jobs. The dispatcher "
        "announces jobs to Celery only as fast as workers have room, and by turns among owners, so that nobody's "
        "backlog blocks the others.",
    ),
    _topic(
        r"(?:long-?)?poll(?:s|ed|ing)?|status(?:es)?|progress|websockets?",
        "GET /api/jobs/<jobId> tells how a job stands: `created`, `processing`, `analyzing`, perhaps `retrying`, "
        "and finally `completed`, `failed` or `cancelled`. `result` holds the reply once it is `completed`. Poll "
        "after the seconds in Retry-After.",
    ),
    _topic(
        r"idempoten\w+|duplicat\w+|exactly[- ]once|at[- ]least[- ]once",
        "Send an Idempotency-Key header with POST /api/jobs, and sending the request again returns the first job "
        "instead of making another. A result is stored once. Calls to the model itself may happen more than "
        "once; each is an attempt that is counted and shown.",
    ),
    _topic(
        r"summar(?:y|ies|ize|ise|izes|ises|izing|ising|ization)",
        'A job with `"type": "summarize"` condenses its message. Without a language model that is an extract: '
        "the sentences that share most with the rest of the text, word for word.",
    ),
    _topic(
        r"configur\w+|language models?|llms?|openai|ollama|api[- ]keys?|chatgpt|gpt\S*",
        "Any server that speaks OpenAI's chat completions will do. Set LLM_MODEL, and LLM_BASE_URL for a server "
        "of your own or LLM_API_KEY for OpenAI's (both, if your server wants a key); then start Parley again.",
    ),
    _topic(
        r"parley|apis?|endpoints?|jobs?|curl|openapi|documentation|docs",
        'POST /api/jobs with {{"message": "...", "type": "chat"}} creates a job and returns its `jobId`; a '
        "message has at most 32,000 characters. GET /api/jobs/<jobId> shows its status and result. GET /health "
        "tells how the service is. /api/docs describes all of it.",
    ),
    _topic(
        r"help|what can you do|(?:what|who) are you|what is this|are you (?:an? )?(?:ai|bot|human|real)\w*",
        "This is Parley's built-in replier, a small program. It can say how Parley works (jobs and their status, "
        "retries, scaling, idempotency, how to configure a model) and pick the main sentences out of a long text.",
        is_courtesy=True,
    ),
    _topic(
        r"hello|hi|hey|good (?:morning|afternoon|evening|day)|greetings|test message|testing|ping",
        "Hello. Your message went through the queue and came back, so Parley works. Ask how it does, or send a "
        "long text to get its main sentences.",
        is_courtesy=True,
    ),
    _topic(r"thanks?|thank you|thx|cheers|bye|goodbye", "You are welcome.", is_courtesy=True),
)
