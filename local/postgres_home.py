"""PostgreSQL's home: as which user it runs, and from which folders.

PostgreSQL refuses to run as root. Root therefore starts it as ``nobody``, who must be able to reach
both the binaries and the data; a checkout below ``/root`` is closed to everyone else. Then both move
to a folder below ``/var/lib``, and a link stands where the data would have been.
"""

from __future__ import annotations

import hashlib
import importlib.metadata
import os
import pathlib
import pwd
import shutil
import stat
import tempfile
from dataclasses import dataclass
from typing import Final

from local.errors import CannotStart

USER_FOR_ROOT: Final = "nobody"


@dataclass(frozen=True, kw_only=True)
class Home:
    """Where the server lives."""

    data: pathlib.Path
    binaries: pathlib.Path
    """The folder with ``bin``, ``lib`` and ``share``."""
    uid: int | None
    """The user the server must be run as; ``None``: whoever is running this."""
    elsewhere: pathlib.Path | None
    """The folder outside the data folder that had to be used, if any."""

    def binary(self, name: str) -> str:
        """Absolute path of a program of PostgreSQL."""
        return str(self.binaries / "bin" / name)

    def give(self, path: pathlib.Path) -> None:
        """Make the server's user the owner of ``path``."""
        if self.uid is not None:
            os.chown(path, self.uid, pwd.getpwuid(self.uid).pw_gid)

    @property
    def disposable(self) -> tuple[pathlib.Path, ...]:
        """What has to go when the database is not wanted any more."""
        return (self.data,) if self.elsewhere is None else (self.elsewhere,)


def home_for(wanted: pathlib.Path, *, wheel: pathlib.Path, durable: bool) -> Home:
    """The home of the database that ought to lie in ``wanted``, as this user can have it.

    If ``wanted`` cannot be used, the place is below ``/var/lib`` for a ``durable`` database, else
    a temporary folder.
    """
    if os.geteuid() != 0:
        _check_has_name(os.geteuid())
        return Home(data=wanted, binaries=wheel, uid=None, elsewhere=None)
    if wanted.is_symlink() and wanted.exists():
        return _moved_home(wanted.resolve().parent, wheel)
    uid = _user_for_root(wanted)
    if _can_reach(uid, wanted.parent) and _can_reach(uid, wheel / "bin" / "postgres"):
        return Home(data=wanted, binaries=wheel, uid=uid, elsewhere=None)
    if wanted.exists():
        raise CannotStart(
            f"User {pwd.getpwuid(uid).pw_name} cannot reach {wanted}: allow it to enter the folders above."
        )
    home = _moved_home(_elsewhere(wanted, durable=durable), wheel)
    wanted.unlink(missing_ok=True)
    wanted.symlink_to(home.data)
    return home


def _check_has_name(uid: int) -> None:
    """PostgreSQL's initdb looks its user up in the password database and fails without an entry."""
    try:
        pwd.getpwuid(uid)
    except KeyError:
        raise CannotStart(
            f"User {uid} has no name on this machine and PostgreSQL needs one: "
            f"use a named user, or set DATABASE_URL to a server of your own."
        ) from None


def _user_for_root(data: pathlib.Path) -> int:
    """The owner of the data, so that root can continue what an ordinary user began."""
    owner = data.stat().st_uid if data.exists() else 0
    try:
        return owner or pwd.getpwnam(USER_FOR_ROOT).pw_uid
    except KeyError:
        raise CannotStart(
            f"PostgreSQL cannot run as root and there is no user {USER_FOR_ROOT} here: "
            f"use an ordinary user, or set DATABASE_URL to a server of your own."
        ) from None


def _can_reach(uid: int, path: pathlib.Path) -> bool:
    def can_enter(place: pathlib.Path) -> bool:
        found = place.stat()
        return bool(found.st_mode & (stat.S_IXUSR if found.st_uid == uid else stat.S_IXOTH))

    return all(can_enter(place) for place in (path.resolve(), *path.resolve().parents))


def _elsewhere(wanted: pathlib.Path, *, durable: bool) -> pathlib.Path:
    if not durable:
        return pathlib.Path(tempfile.mkdtemp(prefix="parley-"))
    key = hashlib.sha256(str(wanted).encode()).hexdigest()[:8]
    return pathlib.Path("/var/lib") / f"parley-{key}"


def _moved_home(elsewhere: pathlib.Path, wheel: pathlib.Path) -> Home:
    elsewhere.mkdir(exist_ok=True)
    elsewhere.chmod(0o755)
    data = elsewhere / "postgres"
    uid = _user_for_root(data)
    copy = wheel if _can_reach(uid, wheel / "bin" / "postgres") else _copied(wheel, elsewhere)
    return Home(data=data, binaries=copy, uid=uid, elsewhere=elsewhere)


def _copied(wheel: pathlib.Path, elsewhere: pathlib.Path) -> pathlib.Path:
    """A copy of the binaries that every user can read.

    The libraries beside the package come along at the same distance: the binaries look for them
    relative to themselves. The name has the version in it, so a new wheel gets a new copy.
    """
    site, package = wheel.parent.parent, wheel.parent.name
    copy = elsewhere / f"{package}-{importlib.metadata.version(package)}"
    if not copy.exists():
        draft = copy.with_name("binaries.new")
        shutil.rmtree(draft, ignore_errors=True)
        shutil.copytree(wheel, draft / package / wheel.name, symlinks=True)
        libraries = f"{package}.libs"
        if (site / libraries).exists():
            shutil.copytree(site / libraries, draft / libraries, symlinks=True)
        _open_to_all(draft)
        draft.rename(copy)
    return copy / package / wheel.name


def _open_to_all(folder: pathlib.Path) -> None:
    for place in (folder, *folder.rglob("*")):
        if not place.is_symlink():
            place.chmod(place.stat().st_mode | (0o055 if place.stat().st_mode & stat.S_IXUSR else 0o044))
