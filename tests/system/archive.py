"""A database that archives its WAL and is recovered to a moment: what `docs/how-to/back-up.md` says, done as it says.

The commands, settings and statements are those of the page, with this machine's places in them.
"""

from __future__ import annotations

import pathlib
import re

from local.postgres import NAME
from tests.conftest import ROOT
from tests.system.outages import Fragile
from tests.system.stack import eventually
from tests.system.standby import Primary

PAGE = ROOT / "docs/how-to/back-up.md"
BY_NAME = "recovery_target_name = 'before_the_change'"


class Archived(Primary):
    """``with Archived(folder) as archive``: an empty database that archives from its first moment on."""

    def set_up(self) -> None:
        """Its settings, at the end of its file, as one would write them there."""
        home = self._made.home
        disk = home.data.with_name("disk")
        self._wal, self._backups, self._restored = (disk / name for name in ("wal", "base", "main"))
        for folder in (disk, self._wal, self._backups):
            folder.mkdir(mode=0o700)
            home.give(folder)
        self._configure(home.data, self._said("ini", 0))

    def take_base_backup(self) -> None:
        """While it works."""
        self._once("/bin/sh", "-ec", self._said("bash", 0))

    def mark(self) -> None:
        """Give this moment a name."""
        self.ask(self.primary, self._said("sql", 0))

    def archive_the_rest(self) -> None:
        """Have the archive hold all that has been committed; returns when it does."""
        [(last,)] = self.ask(self.primary, "SELECT pg_walfile_name(pg_current_wal_lsn())")
        self.ask(self.primary, self._said("sql", 1))
        arrived = f"SELECT true FROM pg_stat_archiver WHERE last_archived_wal >= '{last}'"
        eventually(lambda: self.ask(self.primary, arrived))

    def recover(self, target: str = BY_NAME) -> Fragile:
        """Another server with what was committed up to a moment; returns when it can be written to.

        Args:
            target: the setting that says which.
        """
        self._once("/bin/sh", "-ec", self._said("bash", 1))
        self._configure(self._restored, self._said("ini", 1).replace(BY_NAME, target))
        server = self._run(self._at(self._restored))
        eventually(lambda: self.ask(server, "SELECT true WHERE NOT pg_is_in_recovery()"))
        self.ask(server, self._said("sql", 2))
        return server

    def _configure(self, data: pathlib.Path, settings: str) -> None:
        with (data / "postgresql.conf").open("a") as file:
            file.write(f"\n{settings}")

    def _said(self, language: str, number: int) -> str:
        """A block of the page, with this machine's places in the place of its examples."""
        text = PAGE.read_text().partition("## To any second")[2]
        block = re.findall(rf"^```{language}\n(.*?)^```", text, re.MULTILINE | re.DOTALL)[number]
        where = f"host=127.0.0.1 port={self._made.port} user={NAME}"
        for example, ours in (
            ("/mnt/wal", str(self._wal)),
            ("/mnt/base/monday", str(self._backups / "monday")),
            ("/var/lib/postgresql/18/main", str(self._restored)),
            ("host=db1.internal user=parley_standby", where),
        ):
            block = block.replace(example, ours)
        return str(block)
