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


class ChatBusy(Refusal):
    """So many write into one chat that this one's turn did not come in time."""

    code = "chat_busy"
    retry_seconds = 2

    def __init__(self) -> None:
        super().__init__("Too many write into this chat at this moment. Nothing was stored; send it again.")


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


class BudgetUsed(Refusal):
    """What may be spent on models today is spent, and jobs are not to wait until tomorrow."""

    code = "budget_used"

    def __init__(self) -> None:
        super().__init__("What may be spent on models on this day (UTC) is spent. Nothing was stored.")


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


class ChatNotFound(Refusal):
    """No such chat, or the caller is not in it: nobody may learn which."""

    code = "chat_not_found"

    def __init__(self) -> None:
        super().__init__("There is no chat with this id.")


class MessageNotFound(Refusal):
    """No such message, or one from before the caller joined."""

    code = "message_not_found"

    def __init__(self) -> None:
        super().__init__("There is no message with this number in this chat.")


class MessageDeleted(Refusal):
    """Only its place is left."""

    code = "message_deleted"

    def __init__(self) -> None:
        super().__init__("The message has been deleted.")


class NotYourMessage(Refusal):
    """Somebody else wrote it."""

    code = "not_your_message"

    def __init__(self) -> None:
        super().__init__("Somebody else wrote this message.")


class UnknownReplyTo(Refusal):
    """A reply to a message that is not there to be seen."""

    code, pointer = "unknown_reply_to", "/replyTo"

    def __init__(self) -> None:
        super().__init__("There is no message with this number in this chat.")


class UnknownMember(Refusal):
    """Nobody has this name or id."""

    code, pointer = "unknown_member", "/members"

    def __init__(self, named: str) -> None:
        super().__init__(f"There is nobody called {named}.")


class NotWithYourself(Refusal):
    """A pair is two people."""

    code, pointer = "not_with_yourself", "/members"

    def __init__(self) -> None:
        super().__init__("A chat of two needs somebody else.")


class TooManyMembers(Refusal):
    """More people than a group may have, in one request."""

    code, pointer = "too_many_members", "/members"

    def __init__(self, most: int) -> None:
        super().__init__(f"A group has at most {most} members. Nothing was stored.")


class GroupFull(Refusal):
    """With these there would be more than a group may have."""

    code = "group_full"

    def __init__(self, most: int) -> None:
        super().__init__(f"A group has at most {most} members. Nobody was added.")


class NotAGroup(Refusal):
    """A chat of two, or with the AI, has the members that it has."""

    code = "not_a_group"

    def __init__(self) -> None:
        super().__init__("Only a group can be changed so.")


class NotChatAdmin(Refusal):
    """A member without a say in it."""

    code = "not_chat_admin"

    def __init__(self) -> None:
        super().__init__("Only an admin of this chat may do this.")


class MemberNotFound(Refusal):
    """Nobody in this chat has this id."""

    code = "member_not_found"

    def __init__(self) -> None:
        super().__init__("Nobody in this chat has this id.")


class LastAdmin(Refusal):
    """Somebody must be able to let people in."""

    code = "last_admin"

    def __init__(self) -> None:
        super().__init__("A group needs an admin. Make somebody else one first.")


class SearchTooBroad(Refusal):
    """The words are in too much."""

    code = "search_too_broad"

    def __init__(self) -> None:
        super().__init__("Too many messages hold these words. Send more of them, or the chat to look in.")
