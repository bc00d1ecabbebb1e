"""Refusals: what the product will not do, in the words of the domain.

A refusal carries a stable ``code`` for programs and a sentence for people. It
knows nothing of HTTP: `api/errors.py` gives each class its status.
"""

from __future__ import annotations


class Refusal(Exception):
    """Base of everything the domain refuses."""

    code = "refused"
    retry_seconds: int | None = None
    """When to come again, if this refusal knows."""
    pointer: str | None = None
    """The field of the request that is to blame, where it is one."""
    anothers: str | None = None
    """What is there, but not for this caller (``job:<id>``). For the audit log alone: the answer does not tell."""

    def __init__(self, detail: str) -> None:
        super().__init__(detail)
        self.detail = detail


class JobNotFound(Refusal):
    """No such job, or not the caller's: nobody may learn which."""

    code = "job_not_found"

    def __init__(self) -> None:
        super().__init__("There is no job with this id.")


class BatchNotFound(Refusal):
    """No such batch, or not the caller's: nobody may learn which."""

    code = "batch_not_found"

    def __init__(self) -> None:
        super().__init__("There is no batch with this id.")


class BatchGone(Refusal):
    """There was such a batch; the last of its jobs has been removed."""

    code = "batch_gone"

    def __init__(self) -> None:
        super().__init__("All jobs of this batch finished long ago and have been removed.")


class BatchCancelled(Refusal):
    """What its owner has cancelled is not tried again."""

    code = "batch_cancelled"

    def __init__(self) -> None:
        super().__init__("The batch has been cancelled. Hand its prompts in anew.")


class JobGone(Refusal):
    """There was such a job; it has been kept long enough."""

    code = "job_gone"

    def __init__(self) -> None:
        super().__init__("This job finished long ago and has been removed.")


class AlreadyFinished(Refusal):
    """What has completed or failed cannot be cancelled."""

    code = "already_finished"

    def __init__(self, status: str) -> None:
        super().__init__(f"The job is {status} already.")


class BacklogFull(Refusal):
    """More waits than the workers can get through in reasonable time."""

    code = "backlog_full"

    def __init__(self) -> None:
        super().__init__("Too many jobs are waiting already. Nothing was stored; send it again later.")


class OwnerBacklogFull(Refusal):
    """One caller has handed in more than its share of what may wait."""

    code = "owner_backlog_full"

    def __init__(self, most: int) -> None:
        super().__init__(f"{most} of your jobs are waiting already, which is the limit. Nothing was stored.")


class RateLimited(Refusal):
    """One caller asks more often than it may."""

    code = "rate_limited"

    def __init__(self, *, most: int, window_seconds: int, retry_seconds: int) -> None:
        super().__init__(f"That is more than {most} in {window_seconds} s. Nothing was done; send it again later.")
        self.retry_seconds = retry_seconds


class DailyQuotaUsed(Refusal):
    """One caller's jobs have used what they may use in a day."""

    code = "daily_quota_used"

    def __init__(self, *, most: int, retry_seconds: int) -> None:
        super().__init__(f"Your jobs have used the {most} tokens of this day (UTC). Nothing was stored.")
        self.retry_seconds = retry_seconds


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


class RegistrationClosed(Refusal):
    """Nobody may make an account here."""

    code = "registration_closed"

    def __init__(self) -> None:
        super().__init__("Accounts are not made here. Ask whoever runs this server.")


class InvitationRequired(Refusal):
    """An account is made by invitation only."""

    code = "invitation_required"

    def __init__(self) -> None:
        super().__init__("Accounts are made by invitation only. Send its code as invitation.")


class InvitationInvalid(Refusal):
    """No such code, or it was used, or its time is over: nobody may learn which."""

    code = "invitation_invalid"

    def __init__(self) -> None:
        super().__init__("This invitation is not valid, or no longer.")


class UsernameTaken(Refusal):
    """Somebody else has it."""

    code, pointer = "username_taken", "/username"

    def __init__(self) -> None:
        super().__init__("This username is taken.")


class WeakPassword(Refusal):
    """A guesser would soon have it."""

    code, pointer = "weak_password", "/password"


class WrongCredentials(Refusal):
    """No such user, or another password: nobody may learn which."""

    code = "wrong_credentials"

    def __init__(self) -> None:
        super().__init__("Username or password is wrong.")


class WrongPassword(Refusal):
    """Whoever is signed in has not given their present password."""

    code = "wrong_password"

    def __init__(self) -> None:
        super().__init__("This is not your present password.")


class SessionEnded(Refusal):
    """Signed out, expired, revoked, or never there."""

    code = "session_ended"

    def __init__(self) -> None:
        super().__init__("This session has ended. Sign in again.")


class UserNotFound(Refusal):
    """No such user, or none any more."""

    code = "user_not_found"

    def __init__(self) -> None:
        super().__init__("There is no user with this id.")


class KeyNotFound(Refusal):
    """No such API key, or not the caller's, or revoked before."""

    code = "key_not_found"

    def __init__(self) -> None:
        super().__init__("You have no API key with this id.")


class TooManyKeys(Refusal):
    """Nobody can keep watch over so many."""

    code = "too_many_keys"

    def __init__(self, most: int) -> None:
        super().__init__(f"You have {most} API keys, which is the limit. Revoke one first.")


class ScopeRefused(Refusal):
    """A key would be good for more than its user."""

    code = "scope_refused"

    def __init__(self, scope: str) -> None:
        super().__init__(f"Your account may not do what {scope} allows, so no key of yours can.")
