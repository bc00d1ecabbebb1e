"""Summary: what `make run` prints when everything is up."""

from __future__ import annotations

import pathlib
from typing import Final

from local.readiness import reachable
from models.settings import Settings

READY: Final = """
Parley is ready at {url} ({seconds:.1f} s)

  Try    curl -s {url}/api/jobs -H 'Content-Type: application/json' -d '{{"message": "Hello", "type": "chat"}}'
  Open   {url} in a browser
         {url}/dashboard shows how it stands, to whoever has {token}
  Model  {model}
  Data   {data}
  Logs   {logs}
  Stop   Ctrl-C
"""

STAND_IN: Final = (
    "offline: built in, no AI; for a real one:\n"
    "         LLM_BASE_URL=http://127.0.0.1:11434/v1 LLM_MODEL=llama3.2 make run\n"
    "         (any OpenAI-compatible server; LLM_API_KEY if it wants one)"
)


def ready_text(settings: Settings, *, folder: pathlib.Path, database: pathlib.Path | None, seconds: float) -> str:
    """The whole text. ``database`` is the embedded server's folder, ``None`` if an external server is used."""
    return READY.format(
        url=address(settings),
        seconds=seconds,
        token=_token(settings, folder),
        model=_model(settings),
        data=_data(folder, database),
        logs=folder / "logs",
    )


def address(settings: Settings) -> str:
    """The API's URL for a browser on this machine."""
    host = reachable(settings.host)
    return f"http://[{host}]:{settings.port}" if ":" in host else f"http://{host}:{settings.port}"


def _token(settings: Settings, folder: pathlib.Path) -> str:
    """Its name or its place; the terminal may be shared."""
    return "ADMIN_TOKEN" if settings.admin_token else f"the token in {folder / 'admin-token'}"


def _model(settings: Settings) -> str:
    if not settings.llm_configured:
        return STAND_IN
    server = settings.llm_base_url or "the server of LLM_API_KEY"
    return f"{settings.llm_model} at {server}; another: LLM_BASE_URL, LLM_API_KEY, LLM_MODEL"


def _data(folder: pathlib.Path, database: pathlib.Path | None) -> str:
    if database is None:
        return f"{folder}, the database where DATABASE_URL says"
    if folder not in database.parents:
        return f"{folder}, the database in {database}: its user cannot enter the folder"
    return str(folder)
