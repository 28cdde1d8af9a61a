"""Rows of a sweep file, or variants, for commands that measure without training: configurations by label."""

from __future__ import annotations

import argparse
from typing import Any

from harness.cli.common.target import plan_targets
from harness.errors import UserError, did_you_mean

Configs = dict[str, dict[str, Any]]


def add_rows(parser: argparse.ArgumentParser) -> None:
    """Which rows, and which of them the others are compared with."""
    parser.add_argument(
        "--rows",
        action="append",
        default=[],
        metavar="A,B",
        help="labels of the rows to take (default: all; repeatable)",
    )


def read_rows(parsed: argparse.Namespace) -> tuple[str, Configs, str]:
    """(name of the sweep or the variants, configuration of the first seed by label, label of the baseline).

    The baseline is that of the sweep, or the first row.

    Raises:
        UserError: a target is at fault, or a row is not in it.
    """
    plans = plan_targets(parsed.targets, parsed.overrides, parsed.variants)
    labels = {row.row_id: row.label for plan in plans for row in plan.rows}
    configs: Configs = {}
    for trial in (trial for plan in plans for trial in plan.trials):
        configs.setdefault(labels[trial.row_id], trial.config)
    name = "_".join(plan.name for plan in plans)
    chosen = _chosen(parsed.rows, list(configs), name)
    baseline = labels.get(plans[0].baseline_row or "", chosen[0])
    return name, {label: configs[label] for label in chosen}, baseline if baseline in chosen else chosen[0]


def _chosen(given: list[str], labels: list[str], name: str) -> list[str]:
    """Labels, in the order given. A text that is a label as it stands is not cut at its commas."""
    wanted = [part for text in given for part in ([text] if text in labels else text.split(","))]
    for label in wanted:
        if label not in labels:
            raise UserError(
                f"--rows {label}: no row of {name} has this label. "
                f"Labels: {'; '.join(labels)}.{did_you_mean(label, labels)}"
            )
    return list(dict.fromkeys(wanted)) or labels
