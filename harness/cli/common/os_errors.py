"""Errors of the operating system as one line for a user: which file, what is wrong, what to do."""

from __future__ import annotations

import errno
import os

#: these come from a mistake in the program, not from the state of the machine: they keep their traceback
_BUGS = {errno.EBADF, errno.ECHILD, errno.EFAULT, errno.ENOTTY, errno.ESPIPE, errno.ESRCH}
_PLACE = "Choose another place, or make this one usable."
_WAYS_OUT = {
    "Free some space or choose another place, then run the same command again.": ("ENOSPC", "EDQUOT"),
    "Allow larger files (ulimit -f), then run the same command again.": ("EFBIG",),
    "Allow more open files (ulimit -n), then run the same command again.": ("EMFILE", "ENFILE"),
    "Free some memory or processes (ulimit -u), then run the same command again.": ("ENOMEM", "EAGAIN"),
    "Choose a shorter path.": ("ENAMETOOLONG",),
    "Choose a path without a loop of links.": ("ELOOP", "EMLINK"),
    "Correct the path.": ("ENOENT",),
    "Check the disk or the file server, then run the same command again.": (
        "EIO", "ESTALE", "EREMOTEIO", "ETIMEDOUT", "EHOSTDOWN", "EHOSTUNREACH", "ENOTCONN", "ENOLCK", "ENXIO", "ENODEV",
        "EUCLEAN", "ENETDOWN", "ENETUNREACH", "ECONNRESET", "ECONNREFUSED", "ECONNABORTED",
    ),
}  # fmt: skip
_WAY_OUT = {getattr(errno, name, 0): text for text, names in _WAYS_OUT.items() for name in names}


def os_error_line(error: OSError | RuntimeError, verb: str) -> str | None:
    """Return the message for an error of the operating system, None for one that is a bug of the program.

    Libraries do not always say which file it was; then the line names the verb.
    """
    if not isinstance(error, OSError):  # pathlib raises a RuntimeError for a loop of links
        return f"{error}. {_WAY_OUT[errno.ELOOP]}" if str(error).startswith("Symlink loop from") else None
    if error.errno is None or error.errno in _BUGS:
        return None
    place = error.filename or error.filename2 or verb
    shown = os.fsdecode(place) if isinstance(place, str | bytes | os.PathLike) else verb
    return f"{shown}: {error.strerror or os.strerror(error.errno)}. {_WAY_OUT.get(error.errno, _PLACE)}"
