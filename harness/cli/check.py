"""`check`: the contract of every variant, one line per check."""

from __future__ import annotations

import argparse
import time

from harness.cli import arguments


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("variant", nargs="*", help="names of variants (default: all)")
    arguments.add_variants(parser)


def run(parsed: argparse.Namespace) -> int:
    from harness.registry import variant_file, variant_names

    names = parsed.variant or variant_names(parsed.variants)
    for name in names:
        variant_file(name, parsed.variants)  # an unknown name is said before anything runs
    from harness import contract

    start, broken = time.perf_counter(), []
    for name in names:
        for outcome in contract.run(name, parsed.variants):
            verdict = "ok" if not outcome.failures else "FAIL"
            print(f"{name:28s} {outcome.check:18s} {verdict:4s} {outcome.num_cases} cases", flush=True)
            for failure in outcome.failures:
                print(f"    {failure}")
            if outcome.failures and name not in broken:
                broken.append(name)
    print(f"{len(names) - len(broken)} of {len(names)} variants keep the contract, {time.perf_counter() - start:.0f} s")
    if broken:
        print(f"broken: {', '.join(broken)}")
    return 1 if broken else 0
