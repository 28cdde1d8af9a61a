"""Plans a sweep: expands its file into trials and checks all of them before anything runs."""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from harness.data.data_set import DataSetConfig
from harness.fields import path_of
from harness.store.plan_file import PlanFile, PlannedRow, PlanSource
from harness.sweep import identity
from harness.sweep.blocks import VariantLoader
from harness.sweep.early_baseline import check_baseline
from harness.sweep.expand import Axis, VaryPoint, axes_of, check_overrides, expand
from harness.sweep.launch.config import LaunchConfig
from harness.sweep.launch.launcher_names import LOCAL, check_launcher
from harness.sweep.launch.resources import check_resources
from harness.sweep.reading.document import SweepHead, check_name, read_document, read_head, sweep_name
from harness.sweep.reading.faults import FaultList
from harness.sweep.reading.node import Mark, Node
from harness.sweep.resolve import Resolver, Row
from harness.sweep.rows import auto_labels, distinguishing_axes, find_baseline, values_of
from harness.sweep.tune.check import check_tune
from harness.sweep.tune.space import Tuning
from harness.units import counted

DICT_NAME = "notebook"  # of a sweep that is given as a dict without a name


@dataclass(frozen=True)
class PlannedTrial:
    """One trial: a configuration with its seed. `config` fits `harness.sweep.schema.TrialConfig`."""

    trial_id: str
    row_id: str
    seed: int
    config: dict[str, Any]
    label: str
    data_identity: str


@dataclass(frozen=True, repr=False)
class Plan:
    """A sweep, expanded. `axes` are the varied fields as dotted paths; trials are ordered by row, then seed.

    With `tuning`, each row is the starting point of a search; the final trials are known when all searches have ended.
    """

    name: str
    question: str
    axes: list[str]
    rows: list[PlannedRow]
    trials: list[PlannedTrial]
    launch: LaunchConfig
    baseline_row: str | None
    tuning: Tuning | None = None
    source: PlanSource = field(default_factory=PlanSource)

    def __repr__(self) -> str:
        size = f"{counted(len(self.rows), 'row')}, {counted(len(self.trials), 'trial')}"
        labels = [row.label + (" (baseline)" if row.row_id == self.baseline_row else "") for row in self.rows]
        return "\n  ".join([f"{self.name}: {size}{', a search' if self.tuning else ''}", *labels])

    def to_file(self, stale: Sequence[str] = ()) -> PlanFile:
        """The plan as a run's `plan.json` holds it; `stale` are the trials whose record older code made."""
        return PlanFile(
            sweep=self.name, question=self.question, axes=self.axes, baseline_row=self.baseline_row, rows=self.rows,
            command=self.source.command(), source=self.source.without_launch(),
            directory=str(Path.cwd()), tuned=self.tuning is not None, stale=list(stale),
        )  # fmt: skip


def auto_device() -> str:
    """Returns `cuda` if a CUDA device is available, else `cpu`."""
    import torch

    return "cuda" if torch.cuda.is_available() else "cpu"


def registry_loader(variant_dirs: Sequence[Path]) -> VariantLoader:
    """Returns a function that loads a variant by name from the registry."""
    from harness import registry

    return lambda name: registry.load_variant(name, variant_dirs)


def plan_sweep(
    source: Path | Mapping[str, Any],
    overrides: Sequence[str] = (),
    *,
    name: str | None = None,
    data_identity: Callable[[DataSetConfig], str],
    variant_dirs: Sequence[Path] = (),
    device: Callable[[], str] = auto_device,
    load_variant: VariantLoader | None = None,
    runs_here: bool = False,
) -> Plan:
    """Expands a sweep file, or the dict that it would hold, and checks every trial of it.

    `overrides` are `--set` arguments (path=value), applied to the file before it is expanded. `name` is that of a dict;
    a file has its own. `data_identity` names the content of a data block, `device` resolves `auto`, `load_variant`
    takes the place of the registry. With `runs_here`, `cuda` without a GPU is a fault, unless the sweep runs elsewhere.

    Raises:
        UserError: the file, a base, an override or a resulting trial has faults; the error lists all of them.
    """
    own_name, faults = _name(source, name), FaultList()
    root, overridden = read_document(source, overrides, faults)
    if root is None:
        raise faults.error()
    head = read_head(root, faults)
    points = expand(root, len(head.seed_list), faults)
    check_overrides(root, overridden, points, faults)
    resolver = Resolver(root, load_variant or registry_loader(variant_dirs), data_identity, device, faults)
    resolver.check_base()
    launch = resolver.checker.check("launch", root.child("launch"), root)
    if launch is not None:
        check_launcher(launch.config, launch.node, faults)
    if launch is not None and launch.config.where != LOCAL:  # this machine's devices do not matter
        resolver.device = lambda: "cuda" if launch.config.gpus else "cpu"
    elif runs_here:
        resolver.check_device = True
    resolved = [(point, row) for point in points if (row := resolver.row(point))]
    tuning = check_tune(root, head, overridden, resolved, resolver)
    if launch is None or len(faults):
        check_baseline(root, points, faults)
        raise faults.error()
    configs = [
        {**row.blocks, "seed": seed} for _, row in resolved for seed in _seeds_for_resources(head, launch.config)
    ]
    check_resources(launch.config, launch.node, configs, faults)
    faults.raise_if_any()
    plan = _assemble(own_name, head, resolved, axes_of(points), launch.config, resolver)
    made_from = PlanSource(overrides=list(overrides), variant_dirs=[str(folder) for folder in variant_dirs])
    if isinstance(source, Path):
        made_from.file = str(source)
    else:
        made_from.content, made_from.name = copy.deepcopy(dict(source)), name
    return replace(plan, tuning=tuning, source=made_from)


def _name(source: Path | Mapping[str, Any], name: str | None) -> str:
    """The name of a sweep: its file's, or that of a dict. Raises: UserError where it cannot name a sweep."""
    if isinstance(source, Path):
        return sweep_name(source)
    return check_name(name or DICT_NAME, Mark("name", 1, 1, "name"), "Give another name")


def _seeds_for_resources(head: SweepHead, launch: LaunchConfig) -> list[int]:
    """Returns the seeds that resources may depend on; the first one stands for all if no override selects by seed."""
    return head.seed_list if any("seed" in override.where for override in launch.overrides) else head.seed_list[:1]


def _assemble(
    name: str,
    head: SweepHead,
    resolved: Sequence[tuple[VaryPoint, Row]],
    varied: Sequence[Axis],
    launch: LaunchConfig,
    resolver: Resolver,
) -> Plan:
    rows = {row.row_id: row for _, row in reversed(resolved)}
    rows = {row.row_id: rows[row.row_id] for _, row in resolved}
    axes = distinguishing_axes(list(rows.values()), varied)
    values = {row_id: values_of(row, axes) for row_id, row in rows.items()}
    labels = _labels(resolved, values, resolver.faults)
    baseline = _baseline(resolver, rows, labels)
    resolver.faults.raise_if_any()
    planned = [
        PlannedRow(row_id=row_id, label=labels[row_id], values=values[row_id], trials=_trial_ids(row, head.seed_list))
        for row_id, row in rows.items()
    ]
    trials = [trial for row in planned for trial in _trials(row, rows[row.row_id])]
    return Plan(name, head.question, [".".join(axis) for axis in axes], planned, trials, launch, baseline)


def _labels(
    resolved: Sequence[tuple[VaryPoint, Row]], values: dict[str, dict[str, Any]], faults: FaultList
) -> dict[str, str]:
    """Returns the label of each row: the first one in the file, else the fields that distinguish the row."""
    given: dict[str, Node] = {}
    for point, row in resolved:
        if point.label is not None:
            given.setdefault(row.row_id, point.label)
    automatic = auto_labels(list(values.values()), [row_id in given for row_id in values])
    labels = dict(zip(values, automatic, strict=True))
    labels |= {row_id: node.value for row_id, node in given.items()}
    owners: dict[str, str] = {}
    for row_id in sorted(labels, key=lambda row_id: row_id in given):
        owner = owners.setdefault(labels[row_id], row_id)
        if owner != row_id and row_id in given:
            node = given[row_id]
            faults.add(node.mark, "vary.label", f"{node.value!r} is also the label of another row; choose another")
    return labels


def _baseline(resolver: Resolver, rows: dict[str, Row], labels: dict[str, str]) -> str | None:
    node = resolver.root.child("baseline")
    base = None
    if node is not None and node.is_mapping:
        settings = {path_of(key): child for key, child in node.children.items() if key != "label"}
        # only a guess at which row is meant: its faults are none of the file's
        trial = Resolver(
            resolver.root, resolver.checker.load_variant, resolver.data_identity, resolver.device, FaultList()
        )
        known = all(path[0] in trial.root.children for path in settings)
        base = trial.row(VaryPoint(settings)) if known else None
    return find_baseline(node, rows, labels, base, resolver.faults)


def _trial_ids(row: Row, seeds: Sequence[int]) -> dict[str, str]:
    return {str(seed): identity.trial_id(row.text, row.data_identity, seed) for seed in seeds}


def _trials(planned: PlannedRow, row: Row) -> list[PlannedTrial]:
    trials = []
    for text, trial_id in planned.trials.items():
        seed = int(text)
        config = {**row.blocks, "seed": seed}
        trials.append(PlannedTrial(trial_id, row.row_id, seed, config, planned.label, row.data_identity))
    return trials
