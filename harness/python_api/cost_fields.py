"""One row of counts, and all its counts as flat fields for JSON, CSV and frames."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from harness import units

if TYPE_CHECKING:
    from harness.measure.count.ledger import Ledger
    from harness.measure.count.published import Difference, Published
    from harness.record import Costs, MacsCount


@dataclass(frozen=True, repr=False)
class CostRow:
    """One row of a sweep, its costs, and the published numbers, if any."""

    label: str
    costs: Costs
    ledger: Ledger
    published: Published | None
    unproven: bool = False
    """`check` has not passed for this code of the variant"""

    @property
    def num_parameters(self) -> int:
        """Parameters of the whole model."""
        return self.costs.num_parameters

    @property
    def macs_per_view(self) -> int:
        """Multiply-accumulates of one clip and crop, forward. The papers' GFLOPs are our GMACs."""
        return self.costs.macs.macs_per_view

    @property
    def status(self) -> str:
        """Status of the count in words, and whether the variant is unproven."""
        return self.costs.macs.status.replace("_", " ") + ", unproven" * self.unproven

    def __repr__(self) -> str:
        counted = f"{units.count(self.num_parameters)}, {units.macs(self.macs_per_view)} per view"
        return f"{self.label}: {counted} ({self.status})"


def ledger_lines(ledger: Ledger, by: str) -> list[dict[str, Any]]:
    """Return the ledger as flat lines: one for each operator, or for each module with a product or unknown work."""
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
            lines.append({"module": name, "macs": macs, "share": macs / total, "uncounted_ops": _joined(uncounted)})
    return lines


def _joined(calls: Mapping[str, int]) -> str:
    return " ".join(f"{name}:{number}" for name, number in calls.items())


def macs_fields(macs: MacsCount) -> dict[str, Any]:
    """Return counts as flat fields, with units in the names."""
    back = macs.backward
    return {
        "macs_per_view": macs.macs_per_view,
        "status": macs.status,
        "uncounted_ops": _joined(macs.uncounted_ops),
        "attention_macs_per_view": macs.attention_macs,
        "useful_macs_per_view": macs.useful_macs,
        "flop_counter_macs": macs.flop_counter_macs,
        "closed_form_macs": macs.closed_form_macs,
        "backward_macs_per_view": back and back.macs_per_view,
        "backward_status": back and back.status,
        "backward_uncounted_ops": back and _joined(back.uncounted_ops),
    }


def memory_fields(costs: Costs) -> dict[str, int | None]:
    """Return predicted peaks and their parts in bytes, with their batch size; None where nothing was predicted."""
    from harness.record import PredictedMemory

    found = costs.predicted_memory
    names = PredictedMemory.model_fields
    return {f"predicted_{name}": None if found is None else getattr(found, name) for name in names}


def differences(row: CostRow) -> Mapping[str, Difference | None]:
    """Return the differences to the published numbers by quantity ('macs', 'parameters'); None where none are known."""
    from harness.measure.count.published import macs_difference, parameter_difference

    if row.published is None:
        return {"macs": None, "parameters": None}
    return {
        "macs": macs_difference(row.published, row.costs),
        "parameters": parameter_difference(row.published, row.costs),
    }


def flat(row: CostRow) -> dict[str, Any]:
    """Return all counts of one row as flat fields, with units in the names."""
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
