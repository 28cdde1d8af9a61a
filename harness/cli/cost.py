"""`cost`: count the rows of a sweep, a variant or any module, without allocating them."""

from __future__ import annotations

import argparse
import csv
import json
import sys
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from harness.cli.common.target import add_target
from harness.errors import UserError

if TYPE_CHECKING:
    from harness.measure.count.any_module import ModuleCost
    from harness.measure.count.ledger import Ledger


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add_target(parser, ", or package.module:name of any torch module")
    parser.add_argument(
        "--input", dest="inputs", action="append", default=[], metavar="SHAPE",
        help="shape and type of one input of a module, e.g. 1x3x224x224:float32 (repeatable)",
    )  # fmt: skip
    parser.add_argument("--by", choices=["op", "module"], help="print the ledger of each row instead of its sum")
    parser.add_argument("--backward", action="store_true", help="also count the backward pass")
    parser.add_argument("--memory", action="store_true", help="also predict the peak memory at measure.batch_size")
    parser.add_argument("--format", choices=["text", "json", "csv"], default="text", help="default: text")


def run(parsed: argparse.Namespace) -> int:
    from harness.python_api.targets import is_file

    if ":" in parsed.target and not is_file(parsed.target):
        return _module(parsed)
    if parsed.inputs:
        raise UserError(f"--input {parsed.inputs[0]}: {parsed.target} has its own clips. Only modules take inputs.")
    from harness.python_api.cost_fields import flat
    from harness.python_api.costs import count

    found = count(
        parsed.target, set=parsed.overrides, variants=parsed.variants, backward=parsed.backward, memory=parsed.memory
    )
    if parsed.format != "text":
        _emit([(flat(row), row.ledger) for row in found], parsed)
        return 0
    from harness.cli.common.cost_table import print_ledger, print_rows

    if parsed.by is None:
        print_rows(found.rows, found.not_built)
    for row in found.rows if parsed.by else ():
        print_ledger(row.label + " (unproven)" * row.unproven, row.costs.macs, row.ledger, parsed.by)
    return 0


def _module(parsed: argparse.Namespace) -> int:
    from harness.python_api.costs import count_module

    if parsed.overrides:
        raise UserError(f"--set {parsed.overrides[0]}: a module has no fields to set. Give a function that builds it.")
    if parsed.memory:
        raise UserError(
            f"--memory: {parsed.target} has no training step to predict. Sweep files and variants have one."
        )
    cost = count_module(parsed.target, parsed.inputs, backward=parsed.backward).cost
    if parsed.format != "text":
        _emit([(_module_fields(parsed, cost), cost.ledger)], parsed)
        return 0
    from harness.cli.common.cost_table import print_ledger, print_module

    if parsed.by is None:
        print_module(parsed.target, cost)
    else:
        print_ledger(parsed.target, cost.macs, cost.ledger, parsed.by)
    return 0


def _module_fields(parsed: argparse.Namespace, cost: ModuleCost) -> dict[str, Any]:
    from harness.python_api.cost_fields import macs_fields

    # one pass with the inputs as given, whatever their batch size
    fields = {key.removesuffix("_per_view"): value for key, value in macs_fields(cost.macs).items()}
    given = {"label": parsed.target, "inputs": " ".join(parsed.inputs), "counted_on": cost.device}
    return {**given, "not_on_meta": cost.not_on_meta, "num_parameters": cost.num_parameters, **fields}


def _emit(rows: Sequence[tuple[Mapping[str, Any], Ledger]], parsed: argparse.Namespace) -> None:
    """Print rows as JSON or CSV. JSON nests a ledger; CSV has one line for each line of the ledger."""
    from harness.python_api.cost_fields import ledger_lines
    from harness.text.escapes import csv_cell

    lines = [(fields, ledger_lines(ledger, parsed.by) if parsed.by else None) for fields, ledger in rows]
    if parsed.format == "json":
        found = [{**fields, **({} if inner is None else {"ledger": inner})} for fields, inner in lines]
        print(json.dumps(found, indent=2))
        return
    flat = [
        {"label": fields["label"], **line, **{key: fields[key] for key in ("status", "unproven") if key in fields}}
        if inner is not None
        else fields
        for fields, inner in lines
        for line in (inner if inner is not None else [{}])
    ]
    writer = csv.DictWriter(sys.stdout, list(flat[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows({key: csv_cell(value) for key, value in line.items()} for line in flat)
