"""Schema: whether the tables are this version's already.

Alembic knows as well, but reads the whole product to find out: a fifth of a start.
"""

from __future__ import annotations

import pathlib
import subprocess
from urllib.parse import unquote, urlsplit

from local import postgres

ASK_SECONDS = 5.0


def is_current(url: str, root: pathlib.Path) -> bool:
    """Whether nothing is to be migrated. False: it is, or Alembic has to find out."""
    newest = max(
        (each.name.partition("_")[0] for each in (root / "migrations" / "versions").glob("[0-9]*.py")), default=""
    )
    psql = postgres.packaged("psql")
    if not newest or psql is None:
        return False
    parts = urlsplit(url)
    asked = [
        psql,
        "-XAtq",
        "-h",
        str(parts.hostname),
        "-p",
        str(parts.port or 5432),
        "-U",
        unquote(parts.username or ""),
    ]
    asked += ["-d", parts.path.strip("/"), "-c", "SELECT version_num FROM alembic_version"]
    environment = {**postgres.ENVIRONMENT, "PGPASSWORD": unquote(parts.password or ""), "PGCONNECT_TIMEOUT": "2"}
    try:
        ran = subprocess.run(asked, env=environment, capture_output=True, text=True, timeout=ASK_SECONDS, check=False)  # noqa: S603
    except subprocess.TimeoutExpired:
        return False
    return ran.stdout.split() == [newest]
