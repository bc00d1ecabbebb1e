"""AI errors: what the AI will not do in a chat. (`models.errors` has the other refusals.)"""

from __future__ import annotations

from models.errors import Refusal


class AiOff(Refusal):
    """The AI takes no part in this chat."""

    code = "ai_off"

    def __init__(self) -> None:
        super().__init__("The AI takes no part in this chat.")


class AiNotForYou(Refusal):
    """In this chat the AI answers admins only."""

    code = "ai_not_for_you"

    def __init__(self) -> None:
        super().__init__("In this chat only admins may call the AI.")


class NothingToAnswer(Refusal):
    """The message is no answer of the AI, or what it answers is gone."""

    code = "nothing_to_answer"

    def __init__(self) -> None:
        super().__init__("Only an answer of the AI can be given anew, while the message that it answers is there.")


class NothingToName(Refusal):
    """A title says what was said first, and nothing was."""

    code = "nothing_to_name"

    def __init__(self) -> None:
        super().__init__("Nobody has said anything in this chat that a title could be made of.")


class OvertakenReply(Refusal):
    """The chat waits for a later answer already."""

    code = "overtaken"

    def __init__(self) -> None:
        super().__init__("Its chat waits for a later answer already.")


class Unanswerable(Exception):
    """A call that the AI cannot answer any more: its job fails, and says why."""

    code = "unanswerable"
    detail = ""


class AskerLeft(Unanswerable):
    """Nobody of those who called is in the chat any more."""

    code = "asker_left"
    detail = "Whoever called the AI has left the chat."


class AiShutOut(Unanswerable):
    """It takes no part in the chat any more."""

    code = "ai_off"
    detail = "The AI takes no part in this chat any more."


class RequestWithdrawn(Unanswerable):
    """What was to be answered has been deleted."""

    code = "request_withdrawn"
    detail = "The message that called the AI has been deleted."


class NothingToSummarize(Unanswerable):
    """Nothing was said in the time that was asked for."""

    code = "nothing_to_summarize"
    detail = "There is nothing to summarize: nothing was said in that time."
