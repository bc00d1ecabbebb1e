"""Refusals: what the product will not do, in the words of the domain.

A refusal carries a stable ``code`` for programs and a sentence for people. It
knows nothing of HTTP: `api/errors.py` gives each class its status.
"""

from __future__ import annotations


class Refusal(Exception):
    """Base of everything the domain refuses."""

    code = "refused"

    def __init__(self, detail: str) -> None:
        super().__init__(detail)
        self.detail = detail


class JobNotFound(Refusal):
    """No such job, or not the caller's: nobody may learn which."""

    code = "job_not_found"

    def __init__(self) -> None:
        super().__init__("There is no job with this id.")


class DeadLetterNotFound(Refusal):
    """No failed job has this id."""

    code = "dead_letter_not_found"

    def __init__(self) -> None:
        super().__init__("There is no dead letter with this id.")


class IdempotencyKeyReused(Refusal):
    """The key was used before, for something else."""

    code = "idempotency_key_reused"

    def __init__(self) -> None:
        super().__init__("This Idempotency-Key was already used for another request. Use a new key for a new job.")
