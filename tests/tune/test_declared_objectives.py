"""Objectives and constraints are the declared quantities: names, units, directions, stages."""

from __future__ import annotations

import pytest

from harness.errors import UserError
from harness.quantities import QUANTITIES, VAL_TOP1, by_key, search_costs
from harness.record import Score
from harness.sweep.tune.config import TuneConfig
from harness.tune.objective import excess_of, values_of
from tests.reports.factory import make_record


def config(**changes: object) -> TuneConfig:
    return TuneConfig(num_trials=1, space={"train.learning_rate": {"low": 1, "high": 2}}, **changes)


def test_names_of_earlier_sweep_files_stay() -> None:
    known = {"macs_per_view", "num_parameters", "latency_ms", "train_step_ms", "inference_peak_mib"}
    assert known | {"train_step_peak_mib"} <= search_costs().keys()
    assert config().objectives == [VAL_TOP1]


def test_keys_are_unique_and_end_in_their_unit() -> None:
    assert len({item.key for item in QUANTITIES}) == len(QUANTITIES)
    ends = {"ms": "_ms", "bytes": "_bytes"}
    assert all(item.key.endswith(ends[item.unit]) for item in QUANTITIES if item.unit in ends)


def test_values_are_in_the_unit_of_their_name() -> None:
    record = make_record(macs=5_000_000, memory_mib=48, latency_ms=4.0)
    record.scores["val"] = {"verb": Score(top1_correct=3, top5_correct=None, total=4)}
    names = [VAL_TOP1, "macs_per_view", "train_step_peak_mib"]
    assert values_of(record, config(objective=names)) == [0.75, 5e6, 48]
    assert excess_of(record, config(constraints={"latency_ms": 5.0, "train_step_peak_mib": 40})) == {
        "latency_ms": -1.0, "train_step_peak_mib": 8.0,
    }  # fmt: skip


@pytest.mark.parametrize(
    ("changes", "timed"),
    [
        ({}, False), ({"objective": "throughput_clips_per_s"}, True), ({"constraints": {"macs_per_view": 1}}, False),
        ({"constraints": {"latency_ms": 1}}, True), ({"objective": "predicted_train_step_peak_mib"}, False),
    ],
)  # fmt: skip
def test_only_measured_quantities_need_the_measuring_stage(changes: dict[str, object], timed: bool) -> None:
    assert config(**changes).needs_timings is timed


def test_more_throughput_is_better_and_cannot_be_bounded_from_above() -> None:
    assert by_key("throughput_clips_per_s").direction == "higher"
    with pytest.raises(ValueError, match="throughput_clips_per_s"):
        config(constraints={"throughput_clips_per_s": 1.0})


def test_a_quantity_without_a_value_ends_the_search_with_its_name() -> None:
    record = make_record()
    record.scores["val"] = record.scores["test"]
    with pytest.raises(UserError, match="energy_j_per_clip was not measured in trial t0"):
        values_of(record, config(objective="energy_j_per_clip"))
