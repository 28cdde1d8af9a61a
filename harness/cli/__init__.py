"""The command line: one module per verb, imported only when its verb is called.

A verb's module has `add_arguments(parser)` and `run(arguments) -> exit code`; heavy imports stay inside `run`.
Exit codes: 0 all is well, 1 something asked for did not come out (a failed trial, a broken contract), 2 bad input.
"""

from __future__ import annotations

import argparse
import errno
import importlib
import sys
from collections.abc import Sequence

from harness.errors import EXIT_USER_ERROR, UserError, did_you_mean

EXIT_INTERRUPTED = 130
# what is wrong with a place rather than with the program: no permission, read-only, full, no folder, no file
_PLACE_ERRORS = {errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOSPC, errno.EDQUOT, errno.ENOTDIR, errno.EISDIR}

VERBS = {
    "sweep": "plan a sweep, run what is missing, write the report",
    "cost": "parameters and multiply-accumulates of a sweep's rows, a variant or any module, as ledgers if wanted",
    "bench": "compare the rows of a sweep, or variants, in time, with intervals",
    "frontier": "the most frames, pixels, clips or neighbour frames that each row affords within a budget",
    "selftest": "compare a configuration with itself: how often does the timing protocol find a difference?",
    "scaling": "how a cost grows with frames, crop or window: exponents, and where rows change order",
    "report": "write a run's report again, from its records alone",
    "status": "where the trials of a run stand",
    "watch": "the same, live, until nothing is open",
    "retry": "put failed trials back in the queue, and start them if wanted",
    "cancel": "end the jobs of a run, or of a part of it; what they have so far stays",
    "logs": "what a trial and its job wrote",
    "doctor": "check this machine and the cluster: what is well, what is not, what to do",
    "clean": "remove checkpoints, or results that the sweep no longer asks for",
    "list": "list variants, readouts, sweeps or reports",
    "check": "check that variants keep their contract",
    "new": "start a variant from a scaffold that passes the contract",
    "data": "export embedded clips as video files",
    "weights": "import a file of weights into a sweep's model and print what was loaded",
    "schema": "print the JSON Schema of sweep files, for editors",
    "worker": "run one trial (what launchers start)",
    "job": "run the trials of one job (what launchers start)",
    "probe": "run one measurement (what bench and frontier start)",
}


def _parser(verb: str | None) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m harness",
        description="Ablations of video-transformer attention: accuracy against cost.",
        epilog="`python -m harness VERB --help` explains a verb.",
    )
    subparsers = parser.add_subparsers(dest="verb", metavar="VERB", required=True)
    for name, summary in VERBS.items():
        sub = subparsers.add_parser(name, help=summary, description=summary[0].upper() + summary[1:] + ".")
        if name == verb:
            importlib.import_module(f"harness.cli.{name}").add_arguments(sub)
    return parser


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs one command and returns its exit code."""
    # not list(...): importing the verb `list` puts a module of that name into this package
    given = [*(sys.argv[1:] if arguments is None else arguments)]
    verb = next((item for item in given if not item.startswith("-")), None)
    if verb is not None and verb not in VERBS:
        print(f"no verb {verb}. Verbs: {', '.join(VERBS)}.{did_you_mean(verb, [*VERBS])}", file=sys.stderr)
        return EXIT_USER_ERROR
    parsed = _parser(verb).parse_args(given)
    try:
        return int(importlib.import_module(f"harness.cli.{parsed.verb}").run(parsed))
    except UserError as error:
        print(error, file=sys.stderr)
        return EXIT_USER_ERROR
    except BrokenPipeError:  # the reader of our output (head, less) has seen enough
        sys.stderr.close()
        return 0
    except KeyboardInterrupt:
        print("stopped", file=sys.stderr)
        return EXIT_INTERRUPTED
    except OSError as error:
        full = error.errno in (errno.ENOSPC, errno.EDQUOT)  # libraries do not say which file it was
        if error.errno not in _PLACE_ERRORS or not (error.filename or full):
            raise
        print(
            f"{error.filename or parsed.verb}: {error.strerror}. Choose another place, or make this one usable.",
            file=sys.stderr,
        )
        return EXIT_USER_ERROR
