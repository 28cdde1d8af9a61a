"""Rows of `cost`: costs with their ledger, what was published beside them, and both as flat fields."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from harness.cli.common.target import is_file, plan_target

if TYPE_CHECKING:
    from harness.measure.count.ledger import Ledger
    from harness.measure.count.published import Difference, Published
    from harness.record import Costs, MacsCount


@dataclass(frozen=True)
class CostRow:
    """One row of a sweep, its costs, and what was published of it."""

    label: str
    costs: Costs
    ledger: Ledger
    published: Published | None
    unproven: bool = False


def cost_rows(
    target: str, overrides: list[str], variant_dirs: list[Path], *, backward: bool = False, memory: bool = False
) -> tuple[list[CostRow], list[Published]]:
    """Every row of a target with its costs; of the published table beside a file, the rows that it does not build."""
    from harness.measure.count.planned import planned_ledger
    from harness.measure.count.published import by_label

    plan = plan_target(target, overrides, variant_dirs)
    table = Path(target).with_suffix(".csv")
    # with --set the rows are other models than the published ones
    published = _published(table) if is_file(target) and table.exists() and not overrides else []
    known = by_label(published, [row.label for row in plan.rows], table)
    configs = {trial.row_id: trial.config for trial in plan.trials}
    rows = []
    for row in plan.rows:
        costs, ledger = planned_ledger(configs[row.row_id], variant_dirs, backward=backward, memory=memory)
        unproven = _is_unproven(configs[row.row_id]["variant"]["name"], variant_dirs)
        rows.append(CostRow(row.label, costs, ledger, known.get(row.label), unproven))
    return rows, [row for row in published if row.not_built]


def _is_unproven(name: str, variant_dirs: list[Path]) -> bool:
    """Return whether `check` has not passed for the code of a variant."""
    from harness.code_identity import code_identity
    from harness.proofs import is_proven
    from harness.registry import variant_file

    file = variant_file(name, variant_dirs)
    return not is_proven(file, code_identity(file))


def _published(table: Path) -> list[Published]:
    """The table beside a sweep file; a CSV file with other columns is none of ours, which is said and no fault."""
    from harness.measure.count.published import is_published_table, read_published

    if is_published_table(table):
        return read_published(table)
    message = f"{table}: not a table of published costs (see docs/measuring.md): left out"
    print(message, file=sys.stderr)
    return []


def ledger_lines(ledger: Ledger, by: str) -> list[dict[str, Any]]:
    """The ledger as flat lines: one for each operator, or one for each module that holds a product or unknown work."""
    total = ledger.total or 1
    if by == "op":
        return [
            {"op": row.op, "kind": row.kind, "calls": row.calls, "macs": row.macs, "share": (row.macs or 0) / total}
            for row in ledger.ops
        ]
    lines = []
    for name, rows in ledger.modules.items():
        macs, uncounted = ledger.module_total(name), {row.op: row.calls for row in rows if row.kind == "uncounted"}
        if macs or uncounted:
            lines.append({"module": name, "macs": macs, "share": macs / total, "uncounted_ops": _counts(uncounted)})
    return lines


def _counts(calls: Mapping[str, int]) -> str:
    return " ".join(f"{name}:{number}" for name, number in calls.items())


def macs_fields(macs: MacsCount) -> dict[str, Any]:
    """Counts for JSON and CSV, units in the names."""
    back = macs.backward
    return {
        "macs_per_view": macs.macs_per_view,
        "status": macs.status,
        "uncounted_ops": _counts(macs.uncounted_ops),
        "attention_macs_per_view": macs.attention_macs,
        "useful_macs_per_view": macs.useful_macs,
        "flop_counter_macs": macs.flop_counter_macs,
        "closed_form_macs": macs.closed_form_macs,
        "backward_macs_per_view": back and back.macs_per_view,
        "backward_status": back and back.status,
        "backward_uncounted_ops": back and _counts(back.uncounted_ops),
    }


def memory_fields(costs: Costs) -> dict[str, int | None]:
    """Predicted peaks and their parts in bytes, and the batch that they are of; None where they were not asked for."""
    from harness.record import PredictedMemory

    found = costs.predicted_memory
    names = PredictedMemory.model_fields
    return {f"predicted_{name}": None if found is None else getattr(found, name) for name in names}


def differences(row: CostRow) -> Mapping[str, Difference | None]:
    """'macs' and 'parameters' -> ours beside theirs, or None."""
    from harness.measure.count.published import macs_difference, parameter_difference

    if row.published is None:
        return {"macs": None, "parameters": None}
    return {
        "macs": macs_difference(row.published, row.costs),
        "parameters": parameter_difference(row.published, row.costs),
    }


def flat(row: CostRow) -> dict[str, Any]:
    """One row for JSON and CSV, units in the names."""
    costs, found = row.costs, differences(row)
    macs, parameters = found["macs"], found["parameters"]
    return {
        "label": row.label,
        "num_parameters": costs.num_parameters,
        **macs_fields(costs.macs),
        "unproven": row.unproven,
        "num_views": costs.num_views,
        "macs_per_video": costs.macs_per_video,
        "macs_per_frame": costs.macs_per_frame,
        "macs_per_token": costs.macs_per_token,
        **memory_fields(costs),
        "published_gmacs_per_view": macs and macs.theirs,
        "published_counts_attention": row.published and row.published.counts_attention,
        "macs_difference": macs and round(macs.relative, 5),
        "macs_unexplained": macs and round(macs.unexplained, 5),
        "published_parameters_m": parameters and parameters.theirs,
        "parameters_difference": parameters and round(parameters.relative, 5),
        "parameters_unexplained": parameters and round(parameters.unexplained, 5),
        "cause": row.published and row.published.cause,
        "source": row.published and row.published.source,
    }
