"""`check`: the contract of every variant, one line per check."""

from __future__ import annotations

import argparse
import time
from collections.abc import Sequence
from pathlib import Path

from harness.cli.common import arguments
from harness.errors import Fault, UserError


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("variant", nargs="*", help="names of variants (default: all)")
    arguments.add_variants(parser)


def run(parsed: argparse.Namespace) -> int:
    from harness.registry import load_variant, variant_file, variant_names

    names = parsed.variant or variant_names(parsed.variants)
    for name in names:
        variant_file(name, parsed.variants)  # an unknown name is said before anything runs
    faults: list[Fault] = []
    for name in names:
        try:
            load_variant(name, parsed.variants)
        except UserError as error:
            faults += error.faults
    if faults:
        raise UserError(faults)
    return _check(names, parsed.variants)


def _check(names: Sequence[str], folders: Sequence[Path]) -> int:
    from harness import contract

    start, broken = time.perf_counter(), []
    for name in names:
        for outcome in contract.run(name, folders):
            verdict = "ok" if not outcome.failures else "FAIL"
            print(f"{name:28s} {outcome.check:18s} {verdict:4s} {outcome.extent}", flush=True)
            for failure in outcome.failures:
                print(f"    {failure}")
            if outcome.failures and name not in broken:
                broken.append(name)
    print(f"{len(names) - len(broken)} of {len(names)} variants keep the contract, {time.perf_counter() - start:.0f} s")
    if broken:
        print(f"broken: {', '.join(broken)}")
    return 1 if broken else 0
