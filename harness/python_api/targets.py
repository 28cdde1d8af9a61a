"""Targets of a command or a function: a sweep (a file, a dict or a plan), or variants at their defaults."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from harness.errors import UserError, did_you_mean
from harness.python_api.plans import PathLike, Settings, override_texts, plan_for
from harness.registry import variant_names
from harness.sweep.plan import Plan
from harness.sweep.sweep_file import sweep_named, sweep_names

#: a sweep file, the dict that it would hold, a plan, or the name of a variant
Target = PathLike | Mapping[str, Any] | Plan
Configs = dict[str, dict[str, Any]]
T = TypeVar("T")


@dataclass(frozen=True)
class RowConfigs:
    """Rows to measure: a name for files, configurations of the first seed by label, the label of the baseline."""

    name: str
    configs: Configs
    baseline: str


def is_file(target: object) -> bool:
    """Return True for the path of a sweep file, whether it exists or not."""
    text = os.fspath(target) if isinstance(target, str | os.PathLike) else ""
    return str(text).endswith((".yaml", ".yml")) or "/" in str(text)


def sweep_of(target: T, variant_dirs: Sequence[PathLike] = ()) -> T | Path:
    """Return the file of a sweep that is given by its name alone; anything else, and names of variants, as it is."""
    if not isinstance(target, str) or is_file(target) or target in variant_names([*map(Path, variant_dirs)]):
        return target
    return sweep_named(target) or target


def plan_target(
    target: Target, overrides: Settings = None, variant_dirs: Sequence[PathLike] = (), *, runs_here: bool = False
) -> Plan:
    """Return the plan of a sweep, or of one variant with random clips of 400 classes.

    `runs_here`: what is planned is timed on this machine, so that its devices must be there.

    Raises:
        UserError: neither a sweep nor a variant, or a configuration that cannot be built.
    """
    if isinstance(target, Plan):
        if override_texts(overrides):
            raise UserError("set: a plan is fixed. Set fields in harness.plan(...) instead.")
        return target
    target = sweep_of(target, variant_dirs)
    if isinstance(target, Mapping) or is_file(target):
        return plan_for(target, set=overrides, variants=variant_dirs, runs_here=runs_here)
    name, names = os.fspath(target), variant_names([*map(Path, variant_dirs)])
    if name not in names:
        sweeps = sweep_names()
        raise UserError(
            f"no variant named {name}, and no sweep. Variants: {', '.join(names)}. Sweeps: {', '.join(sweeps)}."
            f"{did_you_mean(name, [*names, *sweeps])}"
        )
    question = {
        "question": f"What does {name} cost?",
        "data": {"name": "random"},
        "variant": name,
        "vary": [{"list": [{"label": name}]}],
    }
    return plan_for(question, set=overrides, variants=variant_dirs, name=name, runs_here=runs_here)


def plan_targets(targets: Sequence[Target], overrides: Settings, variant_dirs: Sequence[PathLike]) -> list[Plan]:
    """Return the plan of one sweep, or one plan for each variant.

    Raises:
        UserError: a sweep together with something else, or as `plan_target`.
    """
    targets = [sweep_of(target, variant_dirs) for target in targets]
    if len(targets) > 1 and any(is_file(target) or isinstance(target, Mapping | Plan) for target in targets):
        given = " ".join(str(item) if isinstance(item, str | os.PathLike) else type(item).__name__ for item in targets)
        raise UserError(f"{given}: give one sweep file alone, or names of variants, e.g. mixing joint")
    unique = list(dict.fromkeys(targets)) if len(targets) > 1 else list(targets)
    return [plan_target(target, overrides, variant_dirs, runs_here=True) for target in unique]


def read_rows(
    targets: Sequence[Target],
    overrides: Settings = None,
    variant_dirs: Sequence[PathLike] = (),
    labels: Sequence[str] = (),
) -> RowConfigs:
    """Return rows of a sweep, or variants, to measure without training. The baseline is the sweep's, or the first row.

    `labels` choose rows; a text is cut at its commas unless it is a label as it stands.

    Raises:
        UserError: a target is at fault, or a row is not in it.
    """
    plans = plan_targets(targets, overrides, variant_dirs)
    names = {row.row_id: row.label for item in plans for row in item.rows}
    configs: Configs = {}
    for trial in (trial for item in plans for trial in item.trials):
        configs.setdefault(names[trial.row_id], trial.config)
    name = "_".join(item.name for item in plans)
    chosen = _chosen(labels, list(configs), name)
    baseline = names.get(plans[0].baseline_row or "", chosen[0])
    return RowConfigs(name, {label: configs[label] for label in chosen}, baseline if baseline in chosen else chosen[0])


def _chosen(given: Sequence[str], labels: list[str], name: str) -> list[str]:
    """Return labels in the order given."""
    wanted = [part for text in given for part in ([text] if text in labels else text.split(","))]
    for label in wanted:
        if label not in labels:
            raise UserError(
                f"--rows '{label}': no row of {name} has this label. "
                f"Labels: {'; '.join(labels)}.{did_you_mean(label, labels)}"
            )
    return list(dict.fromkeys(wanted)) or labels
