"""The command line: one module per verb, imported only when its verb is called.

A verb's module has `add_arguments(parser)` and `run(arguments) -> exit code`; heavy imports stay inside `run`.
Exit codes: 0 all is well, 1 something asked for did not come out (a failed trial, a broken contract), 2 bad input.
"""

from __future__ import annotations

import argparse
import importlib
import sys
from collections.abc import Sequence

from harness import __version__
from harness.cli.common.os_errors import os_error_line
from harness.cli.common.verbs import HIDDEN, SHOWN, Verb, overview
from harness.errors import EXIT_USER_ERROR, UserError, did_you_mean, on_command_line
from harness.text.readable import make_output_readable
from harness.text.streams import clean_output

EXIT_INTERRUPTED = 130
PROJECT = "video-attention-harness"

VERBS: dict[str, Verb] = SHOWN | HIDDEN


def _parser(verb: str | None) -> argparse.ArgumentParser:
    """The parser; only the verb that is called has its arguments, since they may take imports."""
    parser = argparse.ArgumentParser(
        prog="python -m harness",
        usage="python -m harness [--help] [--version] VERB ...",
        description="Ablations of video-transformer attention: accuracy against cost.\n\n" + overview(),
        epilog="`python -m harness VERB --help` explains a verb.",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="version", version=f"{PROJECT} {__version__}")
    subparsers = parser.add_subparsers(dest="verb", metavar="VERB", required=True, help=argparse.SUPPRESS)
    for name, described in VERBS.items():
        text = f"{described.summary[0].upper()}{described.summary[1:]}{'' if described.summary.endswith('?') else '.'}"
        sub = subparsers.add_parser(
            name, description=text, epilog=_examples(described), formatter_class=argparse.RawDescriptionHelpFormatter
        )
        if name == verb:
            importlib.import_module(f"harness.cli.{name}").add_arguments(sub)
    return parser


def _examples(verb: Verb) -> str | None:
    lines = [f"  python -m harness {example}" for example in verb.examples]
    return "\n".join(["examples:", *lines]) if lines else None


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs one command and returns its exit code. What it prints holds no control characters, wherever it is from."""
    make_output_readable()
    with clean_output():
        return _main(arguments)


def _main(arguments: Sequence[str] | None) -> int:
    # not list(...): importing the verb `list` puts a module of that name into this package
    given = [*(sys.argv[1:] if arguments is None else arguments)]
    verb = next((item for item in given if not item.startswith("-")), None)
    if verb is not None and verb not in VERBS:
        print(f"no verb {verb}. Verbs: {', '.join(SHOWN)}.{did_you_mean(verb, [*SHOWN])}", file=sys.stderr)
        return EXIT_USER_ERROR
    try:
        with on_command_line():
            return _run(given, verb)
    except UserError as error:
        print(error, file=sys.stderr)
        return EXIT_USER_ERROR
    except BrokenPipeError:  # the reader of our output (head, less) has seen enough
        sys.stderr.close()
        return 0
    except KeyboardInterrupt:
        print("stopped", file=sys.stderr)
        return EXIT_INTERRUPTED
    except (OSError, RuntimeError) as error:
        line = os_error_line(error, verb or "harness")
        if line is None:
            raise
        print(line, file=sys.stderr)
        return EXIT_USER_ERROR


def _run(given: Sequence[str], verb: str | None) -> int:
    parsed = _parser(verb).parse_args(given)
    code = int(importlib.import_module(f"harness.cli.{parsed.verb}").run(parsed))
    sys.stdout.flush()  # here a full disk is still reported as any other
    return code
