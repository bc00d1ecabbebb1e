"""Child: what a process of ours does between its birth and becoming its program.

`programs.spawn` runs this file as a script, in a session of its own; it gives up root, asks the
kernel to be told when the parent dies, and then turns into the program. It is a file and not a
``preexec_fn`` because Python code between fork and exec can deadlock in a parent that has threads.
It imports nothing of the project: it runs with ``-I -S``, as whoever started it.
"""

from __future__ import annotations

import ctypes
import os
import pwd
import sys

PR_SET_PDEATHSIG = 1
NO_USER = -1


def become_user(uid: int) -> None:
    """Give up root for good. Groups first: afterwards there is no right left to drop them."""
    os.setgroups([])
    os.setgid(pwd.getpwuid(uid).pw_gid)
    os.setuid(uid)


def die_with(parent: int, death_signal: int) -> None:
    """Have the kernel send ``death_signal`` when the parent's spawning thread ends (Linux only).

    Must come after the change of user, which clears it. A parent that died before the call sends
    nothing any more, so that case is looked for.
    """
    if sys.platform == "linux":
        ctypes.CDLL(None, use_errno=True).prctl(PR_SET_PDEATHSIG, death_signal, 0, 0, 0)
    if os.getppid() != parent:
        sys.exit(1)


def main(parent: str, death_signal: str, uid: str, *command: str) -> None:
    """Arguments as they come on the command line; see `programs.spawn`."""
    if int(uid) != NO_USER:
        become_user(int(uid))
    die_with(int(parent), int(death_signal))
    try:
        os.execv(command[0], command)  # noqa: S606 - the program is ours, chosen by local/processes.py
    except OSError as why:
        sys.exit(f"{command[0]}: {why.strerror}")


if __name__ == "__main__":
    main(*sys.argv[1:])
