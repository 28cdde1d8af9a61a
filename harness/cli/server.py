"""`server`: the process that a pool forks its workers from."""

from __future__ import annotations

import argparse


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("descriptor", type=int, help="the socket to the pool, which is open already")
    parser.add_argument("--parent", type=int, required=True, metavar="PID", help="the pool")
    parser.add_argument("--space", help="space for the command lines of the workers, as `ps` shows them")


def run(parsed: argparse.Namespace) -> int:
    from harness.cli import main
    from harness.launch.local.server import serve

    arguments = serve(parsed.descriptor, parsed.parent)
    return 0 if arguments is None else main(arguments)
