"""What a search looks at in a record: accuracy on the validation split and costs. Scores on test are never read."""

from __future__ import annotations

from collections.abc import Mapping

from harness.errors import UserError
from harness.record import Record
from harness.sweep.tune.config import TuneConfig

MIB = 2**20


def label_of(labels: Mapping[str, object], wanted: str | None) -> str:
    """The label whose accuracy counts: the wanted one, else `action`, else the only one.

    Raises:
        UserError: the wanted one is not there, or there are several and none is wanted.
    """
    chosen = wanted or ("action" if "action" in labels else next(iter(labels)) if len(labels) == 1 else None)
    if chosen not in labels:
        what = f"tune.label: {wanted!r} given" if wanted else "tune.label: missing"
        raise UserError(f"{what}; the data has the labels {', '.join(sorted(labels))}. Name one of them.")
    return str(chosen)


def costs_of(record: Record) -> dict[str, float]:
    """Every cost that the record has, by the names of `tune.constraints`."""
    costs, memory, timings = record.costs, record.costs.memory, record.costs.timings
    found = {"macs_per_view": float(costs.macs.macs_per_view), "num_parameters": float(costs.num_parameters)}
    if memory is not None:
        found["inference_peak_mib"] = memory.inference_peak_bytes / MIB
        found["train_step_peak_mib"] = memory.train_step_peak_bytes / MIB
    if timings is not None:
        found |= {"latency_ms": timings.latency.median_ms, "train_step_ms": timings.train_step.median_ms}
    return found


def values_of(record: Record, config: TuneConfig) -> list[float]:
    """The objectives in their order; accuracy as a fraction, costs in the unit of their name.

    Raises:
        UserError: the label whose accuracy counts cannot be told.
    """
    scores = record.scores["val"]
    known = {**costs_of(record), "val_top1": scores[label_of(scores, config.label)].top1}
    return [known[name] for name in config.objectives]


def excess_of(record: Record, config: TuneConfig) -> dict[str, float]:
    """Constrained cost -> how far it is above its bound; at most 0 where it is kept."""
    costs = costs_of(record)
    return {name: costs[name] - bound for name, bound in config.constraints.bounds().items()}
