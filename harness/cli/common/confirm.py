"""Asks before something is removed."""

from __future__ import annotations

import argparse
import sys

from harness.errors import UserError


def add_yes(parser: argparse.ArgumentParser) -> None:
    """Add `--yes`."""
    parser.add_argument("--yes", action="store_true", help="do not ask first, as in a script")


def confirm(what: str, *, yes: bool) -> bool:
    """Say what will be done and return whether the user agrees.

    Raises: UserError where there is no terminal to ask on and no `--yes`.
    """
    if yes:
        print(what)
        return True
    if not (sys.stdin.isatty() and sys.stdout.isatty()):
        raise UserError(f"{what}: nothing was done, since there is no terminal to ask on. Add --yes to do it.")
    try:
        answer = input(f"{what}. Continue? [y/N] ")
    except EOFError:
        answer = ""
    if answer.strip().lower() in ("y", "yes"):
        return True
    print("nothing was done")
    return False
