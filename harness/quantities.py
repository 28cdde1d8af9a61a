"""Every number that a report can show, declared once: key, unit, symbol, words, reader, direction, marks.

Tables, plots, `trials.csv`, `cost` and the objectives and constraints of a search read these declarations. A new
metric is one declaration here, its field in `harness.record`, its file in `harness/measure/metrics/` and its row in
docs/measuring.md.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from harness import units
from harness.fields import get_attribute
from harness.record import Costs, Record
from harness.store.marks import (
    CostMarks,
    TrialMarks,
    backward_marks,
    count_marks,
    no_marks,
    timing_marks,
    unmarked,
    view_marks,
)

Direction = Literal["lower", "higher", "none"]
Column = Literal["always", "if_measured", "never"]
CostReader = Callable[[Costs], float | None]
MIB = 2**20


@dataclass(frozen=True)
class Quantity:
    """One number of a trial."""

    key: str
    """name in files; ends in the unit"""
    unit: str
    """unit of the value: MACs, bytes, ms, fraction, ...; '' for a count"""
    symbol: str
    header: str
    """short name, for a column"""
    name: str
    """name in words, for an axis"""
    description: str
    read: Callable[[Record], float | None]
    """the value in this unit; None where it was not measured"""
    direction: Direction = "none"
    """which values are better"""
    marks: TrialMarks = unmarked
    """what makes the value doubtful or incomparable"""
    measured: bool = True
    """depends on the machine: known after the measuring stage, comparable between trials of one machine only"""
    column: Column = "if_measured"
    """whether the table of rows has it; trials.csv has every quantity"""
    figure: str = ""
    """file name of the plot of accuracy against it; '': no such plot unless asked for"""
    of_costs: CostReader | None = None
    """`read` for costs that have no record, as those of `cost`"""

    @property
    def title(self) -> str:
        """Header with the unit, where the values are written without it."""
        unit = "%" if self.unit == "fraction" else "" if self.unit in units.SCALES else self.unit
        return f"{self.header}, {unit}" if unit else self.header

    def text(self, value: float | None) -> str:
        """Write a value for people; '-' for None."""
        return units.text(value, self.unit)

    def axis(self, largest: float) -> tuple[str, float]:
        """Return the label of an axis up to `largest`, and the size of the axis' unit."""
        unit, size = units.axis_unit(self.unit, largest)
        return f"{self.name}, {unit}" if unit else self.name, size

    @property
    def search_key(self) -> str:
        """Name in a `tune:` block; memory is given in MiB there."""
        return f"{self.key.removesuffix('_bytes')}_mib" if self.unit == "bytes" else self.key

    def search_value(self, record: Record) -> float | None:
        """Read the value in the unit of `search_key`."""
        value = self.read(record)
        return None if value is None else value / MIB if self.unit == "bytes" else float(value)


def cost(
    key: str, unit: str, symbol: str, header: str, name: str, description: str, field: str,
    marks: CostMarks = no_marks, direction: Direction = "lower", measured: bool = True,
    column: Column = "if_measured", figure: str = "",
) -> Quantity:  # fmt: skip
    """Declare a quantity that is a field of `Costs` (dotted). Less is better unless it says otherwise."""
    return Quantity(
        key, unit, symbol, header, name, description, lambda record: get_attribute(record.costs, field), direction,
        unmarked if marks is no_marks else lambda record: marks(record.costs), measured, column, figure,
        lambda costs: get_attribute(costs, field),
    )  # fmt: skip


def accuracy(label: str, split: str = "test", k: int = 1) -> Quantity:
    """Declare the top-1 (or top-k) accuracy of a label on a split; None for top-5 of fewer than six classes."""

    def read(record: Record) -> float | None:
        score = record.scores.get(split, {}).get(label)
        correct = None if score is None else score.top1_correct if k == 1 else score.top5_correct
        return None if score is None or correct is None else correct / score.total

    best = "the first answer" if k == 1 else f"among the first {k} answers"
    name, description = f"{label} top-{k}".strip(), f"share of {_clips(split)} whose {label} is {best}"
    return Quantity(
        f"{split}_{label}_top{k}", "fraction", f"a_{k}", name, name, description, read, "higher", measured=False
    )


def accuracy_axis(label: str = "", split: str = "test") -> str:
    """Return the label of an axis with the top-1 accuracy of a label; '' where the axis is shared by all labels."""
    text, _ = accuracy(label, split).axis(1.0)
    return f"{text} of {_clips(split)}"


def _clips(split: str) -> str:
    return "validation clips" if split == "val" else f"{split} clips"


#: in the order of tables
QUANTITIES: tuple[Quantity, ...] = (
    cost("num_parameters", "", "N", "parameters", "parameters", "trained numbers of the model", "num_parameters",
         measured=False, column="always"),
    cost("macs_per_view", "MACs", "C", "MACs per view", "multiply-accumulates of one view",
         "multiply-accumulates of products and convolutions, one clip, forward", "macs.macs_per_view",
         view_marks, measured=False, column="always", figure="accuracy_macs"),
    cost("train_step_peak_bytes", "bytes", "M_step", "peak memory, train step", "peak memory of a training step",
         "a batch of measure.batch_size clips", "memory.train_step_peak_bytes", column="always",
         figure="accuracy_memory"),
    cost("inference_peak_bytes", "bytes", "M_inf", "peak memory, inference", "peak memory of inference",
         "a batch of measure.batch_size clips", "memory.inference_peak_bytes", column="always"),
    cost("latency_ms", "ms", "t_1", "latency", "latency of one clip", "inference of one clip, median",
         "timings.latency.median_ms", timing_marks("latency"), column="always", figure="accuracy_latency"),
    cost("throughput_clips_per_s", "clips/s", "r", "throughput", "throughput of inference",
         "inference of a batch of measure.batch_size clips", "timings.inference.clips_per_s",
         timing_marks("inference"), "higher", column="always"),
    cost("train_step_ms", "ms", "t_step", "train step", "time of a training step",
         "a batch of measure.batch_size clips, median", "timings.train_step.median_ms", timing_marks("train_step"),
         column="always"),
    cost("inference_ms", "ms", "t_inf", "inference", "time of inference of a batch",
         "a batch of measure.batch_size clips, median", "timings.inference.median_ms", timing_marks("inference"),
         column="never"),
    cost("energy_j_per_clip", "J", "E", "energy / clip", "energy of inference per clip",
         "the whole package or GPU, idle power included", "timings.energy_j_per_clip", timing_marks("inference")),
    cost("macs_per_video", "MACs", "C_video", "MACs per video", "multiply-accumulates of one video", "all views",
         "macs_per_video", count_marks, measured=False, column="never"),
    cost("macs_per_frame", "MACs", "C_frame", "per frame", "multiply-accumulates per frame of a view", "one view",
         "macs_per_frame", count_marks, measured=False, column="never"),
    cost("macs_per_token", "MACs", "C_token", "per token", "multiply-accumulates per token of a view", "one view",
         "macs_per_token", count_marks, measured=False, column="never"),
    cost("useful_macs_per_view", "MACs", "C_useful", "useful", "multiply-accumulates without masked pairs",
         "one view, without the pairs that a mask drops", "macs.useful_macs", count_marks, measured=False,
         column="never"),
    cost("attention_share", "fraction", "s_att", "attention", "share of attention in the multiply-accumulates",
         "scores and weighted sums", "macs.attention_share", count_marks, "none", measured=False, column="never"),
    cost("backward_macs_per_view", "MACs", "C_back", "backward", "multiply-accumulates of the backward pass",
         "one view, gradients of all parameters", "macs.backward.macs_per_view", backward_marks, measured=False,
         column="never"),
    cost("predicted_inference_peak_bytes", "bytes", "M'_inf", "memory, inference", "predicted peak memory of inference",
         "a batch of measure.batch_size clips, predicted without running", "predicted_memory.inference_peak_bytes",
         measured=False, column="never"),
    cost("predicted_train_step_peak_bytes", "bytes", "M'_step", "memory, train step",
         "predicted peak memory of a training step", "a batch of measure.batch_size clips, predicted without running",
         "predicted_memory.train_step_peak_bytes", measured=False, column="never"),
    cost("noise_probe_ms", "ms", "t_probe", "noise probe", "time of a fixed piece of work alongside the timings",
         "how quiet the machine was", "timings.noise_probe_ms", direction="none", column="never"),
    Quantity("final_loss", "nats", "L", "final loss", "training loss at the last step", "cross-entropy, one batch",
             lambda record: record.training.final_loss, "lower", measured=False, column="never"),
)  # fmt: skip
#: accuracy as a search sees it: of the label that counts, on the validation split
VAL_TOP1 = "val_top1"


def by_key(key: str) -> Quantity:
    """Return the declaration of a key. Raises: KeyError."""
    return {item.key: item for item in QUANTITIES}[key]


def search_costs() -> dict[str, Quantity]:
    """Return name in a `tune:` block -> quantity, of all costs that a search can improve."""
    return {item.search_key: item for item in QUANTITIES if item.of_costs and item.direction != "none"}


def search_quantity(name: str, label: str = "") -> Quantity:
    """Return the quantity of an objective; `label` is the one whose accuracy counts. Raises: KeyError."""
    return accuracy(label, "val") if name == VAL_TOP1 else search_costs()[name]
