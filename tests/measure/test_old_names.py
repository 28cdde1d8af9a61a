"""Files of earlier versions stay readable: the noise probe was once called the reference work."""

from __future__ import annotations

from harness.bench.comparison import BenchResult
from harness.measure.time.interleave import Visit
from harness.record import Timings
from tests.reports.factory import timing

OLD = {name: timing(1.0).model_dump() for name in ("latency", "inference", "train_step")}


def test_timings_of_old_records_are_read() -> None:
    found = Timings.model_validate({**OLD, "alone": True, "reference_ms": 2.5, "reference_work": "48 MiB streamed"})
    assert (found.noise_probe_ms, found.noise_probe_work) == (2.5, "48 MiB streamed")
    again = Timings.model_validate_json(found.model_dump_json())
    assert again == found
    assert "reference" not in found.model_dump_json()


def test_samples_of_old_comparisons_are_read() -> None:
    visit = {"block": 0, "row": "joint", "samples_ms": [1.0]}
    assert Visit.model_validate({**visit, "reference_ms": 2.5}).noise_probe_ms == 2.5
    assert "best_reference_ms" in BenchResult.model_fields["best_noise_probe_ms"].validation_alias.choices  # type: ignore[union-attr]
