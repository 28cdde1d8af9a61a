"""`check`: check the contract of variants and print one line for each check."""

from __future__ import annotations

import argparse
import time
from typing import TYPE_CHECKING

from harness.cli.common import arguments

if TYPE_CHECKING:
    from harness.contract import CheckOutcome


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("variant", nargs="*", help="names of variants (default: all)")
    arguments.add_variants(parser)


def run(parsed: argparse.Namespace) -> int:
    from harness.python_api.checks import check

    start = time.perf_counter()
    found = check(*parsed.variant, variants=parsed.variants, on_outcome=_print)
    print(f"{found.verdict} ({time.perf_counter() - start:.0f} s)")
    return 0 if found.is_kept else 1


def _print(name: str, outcome: CheckOutcome) -> None:
    verdict = "ok" if not outcome.failures else "FAIL"
    print(f"{name:28s} {outcome.check:18s} {verdict:4s} {outcome.extent}", flush=True)
    for line in (*outcome.failures, *outcome.refused):
        print(f"    {line}")
