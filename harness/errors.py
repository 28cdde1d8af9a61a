"""Errors in the user's input: where, what was given, what is allowed, what to do.

A `UserError` ends a command with its message and exit code 2; any other exception is a bug of the
program and keeps its traceback. Messages are written with options of the command line, such as --runs; where Python is
the caller, `worded` puts the names of the arguments there.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

from harness.aliases import nearest_name
from harness.text.clean import clean

EXIT_USER_ERROR = 2
#: option of the command line, without --, and words that replace it -> the argument in Python
ARGUMENTS = {
    "cancel-dropped": "cancel_dropped=True", "input": "inputs=", "jobs": "jobs=", "launch": "launcher=",
    "only": "only=", "replace-plan": "replace_plan=True", "rows": "rows=", "runs": "runs=", "set": "set",
    "stale rerun": "rerun_stale=True", "variants": "variants=",
}  # fmt: skip
#: a whole command, which stays; an option with its value; a mention of the call
_OPTION = re.compile(
    rf"`python [^`]*`|--(?P<name>{'|'.join(ARGUMENTS)})\b(?P<value>:| DIR\b| '[^']*'| \S+(?=:))?"
    r"|(?P<call>same|this) command"
)
_on_command_line = False


@contextmanager
def on_command_line() -> Iterator[None]:
    """Make messages within the block name options of the command line."""
    global _on_command_line
    before, _on_command_line = _on_command_line, True
    try:
        yield
    finally:
        _on_command_line = before


def worded(text: str) -> str:
    """Return a message with the names that its reader uses: options, or arguments in Python."""
    return text if _on_command_line else _OPTION.sub(_in_python, text)


def _in_python(found: re.Match[str]) -> str:
    if found["call"]:
        return f"{found['call']} call"
    if not found["name"]:
        return found[0]
    argument, value = ARGUMENTS[found["name"]], found["value"] or ""
    if value == ":":
        return argument.rstrip("=") + value
    return argument + (value.strip() if argument.endswith("=") else value)


@dataclass(frozen=True)
class Fault:
    """One mistake in an input: `where` is `file:line:column`, `path` the dotted field."""

    where: str
    path: str
    message: str

    def __str__(self) -> str:
        """Return the fault as a message, clean: file names and values in it may hold any character."""
        place = f"{self.where}  " if self.where else ""
        return clean(f"{place}{self.path}: {self.message}" if self.path else f"{place}{self.message}")


class UserError(Exception):
    """An input that cannot be used; carries every fault found, not only the first."""

    def __init__(self, message: str | Iterable[Fault]):
        found = (Fault("", "", message),) if isinstance(message, str) else message
        self.faults = tuple(dict.fromkeys(Fault(worded(item.where), item.path, worded(item.message)) for item in found))
        super().__init__("\n".join(str(fault) for fault in self.faults))


def did_you_mean(given: str, allowed: Sequence[str]) -> str:
    """Return ' Did you mean X?' for the allowed name that was most likely meant, or an empty string."""
    near = nearest_name(given, allowed)
    return f" Did you mean {near}?" if near else ""
