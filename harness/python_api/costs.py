"""`harness.count`: parameters and multiply-accumulates of a sweep's rows, of variants or of any module."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from harness import units
from harness.errors import UserError, did_you_mean
from harness.nn.config import ModelConfig
from harness.python_api.cost_fields import CostRow, flat
from harness.python_api.plans import PathLike, Settings, folders_of, override_texts
from harness.python_api.tables import Table
from harness.python_api.targets import Target, is_file, plan_target, sweep_of
from harness.registry import load_variant
from harness.registry.proven import mark_of

if TYPE_CHECKING:
    import pandas as pd
    from torch import nn

    from harness.measure.count.any_module import ModuleCost
    from harness.measure.count.published import Published
    from harness.sweep.plan import Plan


@dataclass(frozen=True, repr=False)
class Counts:
    """Counts by row, made without allocating a model. `not_built`: published models that the sweep does not build."""

    rows: tuple[CostRow, ...]
    not_built: tuple[Published, ...] = ()

    def __iter__(self) -> Iterator[CostRow]:
        return iter(self.rows)

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, label: str) -> CostRow:
        return {row.label: row for row in self.rows}[label]

    def frame(self) -> pd.DataFrame:
        """Return one line for each row with all counts; column names end in their unit."""
        import pandas as pd

        return pd.DataFrame([flat(row) for row in self.rows])

    def table(self) -> Table:
        """Return the main counts as text."""
        lines = [
            (
                row.label, units.count(row.num_parameters), units.macs(row.macs_per_view),
                units.macs(row.costs.macs_per_video), row.status,
            )
            for row in self.rows
        ]  # fmt: skip
        return Table(("row", "parameters", "MACs per view", "MACs per video", "status"), tuple(lines))

    def __repr__(self) -> str:
        return repr(self.table())

    def _repr_html_(self) -> str:
        return self.table()._repr_html_()


@dataclass(frozen=True, repr=False)
class ModuleCount:
    """Counts of one forward pass of a module with the given inputs."""

    label: str
    inputs: tuple[str, ...]
    cost: ModuleCost

    def __repr__(self) -> str:
        macs, given = self.cost.macs, " ".join(self.inputs)
        status = macs.status.replace("_", " ")
        parameters = units.count(self.cost.num_parameters)
        return f"{self.label}({given}): {parameters}, {units.macs(macs.macs_per_view)} ({status})"


def count(
    target: Target,
    *,
    set: Settings = None,
    variants: PathLike | Sequence[PathLike] = (),
    backward: bool = False,
    memory: bool = False,
    **fields: Any,
) -> Counts:
    """Count what the rows of a sweep, or a variant, cost. Nothing is allocated and nothing is run.

    `harness.count("mixing", num_frames=16, temporal_window=2)` counts a variant with these fields.

    Args:
        target: the name of a variant, a sweep file, a dict or a plan.
        set: fields that replace those of the sweep, e.g. `{"model.num_frames": 16}`.
        variants: folders with more variant files.
        backward: count the backward pass too.
        memory: predict the peak memory at `measure.batch_size` too.
        fields: fields of `model`, or of `variant`, by their name alone.

    Raises:
        UserError: neither a sweep nor a variant, or a configuration that cannot be built.
    """
    folders = folders_of(variants)
    target = sweep_of(target, folders)
    overrides = [*override_texts(set), *override_texts(_settings(target, fields, folders))]
    plan = plan_target(target, overrides, folders)
    published, table = _published(target) if not overrides else ([], None)
    return _counts(plan, published, table, backward=backward, memory=memory)


def _settings(target: Target, fields: Mapping[str, Any], folders: Sequence[Path]) -> dict[str, Any]:
    """The settings of fields that are given by their name alone. Raises: UserError for one that a variant lacks."""
    model = ModelConfig.model_fields
    if fields and isinstance(target, str) and not is_file(target):
        known = [*model, *load_variant(target, folders).Config.model_fields]
        for name in fields:
            if name not in known:
                message = f"{name}: neither the model nor {target} has this field. Fields: {', '.join(sorted(known))}."
                raise UserError(message + did_you_mean(name, known))
    return {f"model.{name}" if name in model else f"variant.{name}": value for name, value in fields.items()}


def count_module(
    module: str | nn.Module, inputs: Sequence[str | Sequence[int]], *, backward: bool = False
) -> ModuleCount:
    """Count one forward pass of any torch module.

    `harness.count_module(torch.nn.Linear(8, 4), [(1, 8)])` counts 32 multiply-accumulates.

    Args:
        module: the module, or `package.module:name` of a module or of a function that builds one.
        inputs: the shape of each input, as numbers or as text with a type: `1x3x224x224:float32`.
        backward: count the backward pass too.

    Raises:
        UserError: the module cannot be found, or does not run with these inputs.
    """
    from harness.measure.count.any_module import module_cost, parse_input

    texts = tuple(item if isinstance(item, str) else "x".join(map(str, item)) for item in inputs)
    label = module if isinstance(module, str) else type(module).__name__
    if not texts:
        raise UserError(f"{label}: a module needs its inputs, e.g. --input 1x3x224x224")
    return ModuleCount(label, texts, module_cost(module, [parse_input(text) for text in texts], backward=backward))


def _counts(plan: Plan, published: list[Published], table: Path | None, *, backward: bool, memory: bool) -> Counts:
    """Count every row of a plan, and find the rows of the published table that the sweep does not build."""
    from harness.measure.count.planned import planned_ledger
    from harness.measure.count.published import by_label

    known = by_label(published, [row.label for row in plan.rows], table) if table else {}
    configs = {trial.row_id: trial.config for trial in plan.trials}
    folders, rows = [Path(folder) for folder in plan.source.variant_dirs], []
    for row in plan.rows:
        costs, ledger = planned_ledger(configs[row.row_id], folders, backward=backward, memory=memory)
        unproven = bool(mark_of(configs[row.row_id]["variant"]["name"], folders))
        rows.append(CostRow(row.label, costs, ledger, known.get(row.label), unproven))
    return Counts(tuple(rows), tuple(row for row in published if row.not_built))


def _published(target: Target) -> tuple[list[Published], Path | None]:
    """The published table next to a sweep file. A CSV file with other columns is reported and left out."""
    from harness.measure.count.published import is_published_table, read_published

    table = Path(target).with_suffix(".csv") if isinstance(target, str | Path) and is_file(target) else None
    if table is None or not table.exists():
        return [], None
    if is_published_table(table):
        return read_published(table), table
    print(f"{table}: not a table of published costs (see docs/measuring.md): left out", file=sys.stderr)
    return [], None
