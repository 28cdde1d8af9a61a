"""`schema`: print the JSON Schema of sweep files, for completion and checks in editors."""

from __future__ import annotations

import argparse
import json

from harness.cli.common import arguments


def add_arguments(parser: argparse.ArgumentParser) -> None:
    arguments.add_variants(parser)


def run(parsed: argparse.Namespace) -> int:
    from harness.registry import load_variant, variant_names
    from harness.sweep.json_schema import sweep_schema

    names = variant_names(parsed.variants)
    configs = {name: load_variant(name, parsed.variants).Config for name in names}
    print(json.dumps(sweep_schema(configs), indent=2))
    return 0
