"""Model FLOPs utilisation and arithmetic intensity of each row, and a roofline plot."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from harness import units
from harness.measure.isolated.fresh_process import ask
from harness.measure.isolated.request import MeasurementRequest
from harness.measure.time.machine_peak import MachinePeak, mfu
from harness.proofs import UNPROVEN
from harness.store import write_atomically

if TYPE_CHECKING:
    from harness.bench.comparison import BenchResult

#: products of the backward pass for each one of the forward pass: for the inputs and for the weights
BACKWARD_SHARE = 2


def roofline(name: str, configs: Mapping[str, dict[str, Any]], result: BenchResult, folder: Path) -> None:
    """Print the MFU of every timed row; write `<name>_<mode>_roofline` as JSON, PNG and SVG."""
    from harness.reports.common import plots
    from harness.reports.common.machine_figures import RooflinePoint, roofline_page

    config = configs[result.baseline]
    found = ask(MeasurementRequest(kind="peak", configs={result.baseline: config}))
    if found.status != "done":
        print(f"no roofline: the peak was not measured ({found.status}: {found.message})")
        return
    peak = MachinePeak(**found.values)
    print(
        f"peak here, {peak.dtype}, {peak.num_threads} threads: {peak.flops_per_s / 1e9:.4g} GFLOP/s, "
        f"{peak.bytes_per_s / 1e9:.3g} GB/s; memory is the limit below {peak.ridge_flops_per_byte:.3g} FLOP per byte"
    )
    points = []
    for row in result.rows:
        if row.median_ms is None:
            continue
        flops, moved = work_of(configs[row.label], result)
        used = mfu(flops, row.median_ms, peak)
        print(f"{row.label}: MFU {units.percent(used)}, {flops / moved:.3g} FLOP per byte (lower bound)")
        label = row.label + " (unproven)" * (UNPROVEN in row.marks)
        points.append(RooflinePoint(label, flops / moved, flops / row.median_ms * 1e3))
    page = roofline_page(f"{name}_{result.options.mode}_roofline", points, peak.flops_per_s, peak.bytes_per_s)
    paths = plots.save([page], folder)
    content = {"peak": peak.model_dump(), "points": [vars(point) for point in points], "caption": page.caption}
    write_atomically(folder / f"{page.name}.json", json.dumps(content, indent=1))
    print(f"roofline: {', '.join(str(path) for path in paths)}")


def work_of(config: dict[str, Any], result: BenchResult) -> tuple[float, float]:
    """Count (FLOPs of the model, bytes that its operators move) of one timed call, without running it."""
    from harness.measure.count.macs import macs_per_view
    from harness.measure.isolated.request import build
    from harness.measure.memory.traffic import moved_bytes
    from harness.sweep.schema import TrialConfig

    trial, options = TrialConfig(**config), result.options
    batch_size = options.batch_size or trial.measure.batch_size
    import torch

    with torch.device("meta"):
        model, _ = build(trial, options.variant_dirs)
    passes = 1 if options.mode == "inference" else 1 + BACKWARD_SHARE
    return 2.0 * macs_per_view(model, trial.model) * batch_size * passes, float(
        moved_bytes(trial, options.mode, batch_size, options.variant_dirs)
    )
