"""Chain: the models that are asked in turn, those of a server and, where it is the last, the offline one.

Which of them a job gets is not decided here: its prompt says it.
"""

from __future__ import annotations

from models.settings import OFFLINE
from tasks.llm.base import Call, Prompt, Provider, Reply


class Chain:
    """A provider made of two.

    Args:
        server: for all models but the offline one.
    """

    def __init__(self, server: Provider, offline: Provider) -> None:
        self.name, self.model = server.name, server.model
        self._server, self._offline = server, offline

    def reply(self, prompt: Prompt, call: Call) -> Reply:
        """Ask the model that the prompt names.

        Raises:
            ProviderError: for whatever goes wrong.
        """
        return (self._offline if prompt.model == OFFLINE else self._server).reply(prompt, call)

    def close(self) -> None:
        """Give back what both hold."""
        self._server.close()
        self._offline.close()
