"""The providers: one file for each, behind one contract (`tasks.llm.base`)."""

from __future__ import annotations

from models.settings import OFFLINE, Settings
from tasks.llm.base import Provider
from tasks.llm.chain import Chain
from tasks.llm.offline import Offline

__all__ = ["provider_from"]


def provider_from(settings: Settings) -> Provider:
    """The provider that the settings choose; to be opened once a process.

    Raises:
        models.settings.SettingRefused: the environment names a proxy that cannot be used.
    """
    if not settings.llm_configured:
        return Offline(settings)
    # The SDK takes 0.6 s to import, which a worker without a model need not pay.
    from tasks.llm.openai_compatible import OpenAICompatible  # noqa: PLC0415

    server = OpenAICompatible(settings)
    return Chain(server, Offline(settings)) if OFFLINE in settings.llm_chain else server
