"""One trial in several processes: training equals that of one process, a resume is bit-identical, shutdown is clean.

One group of two and one of four processes run all jobs; about 40 s on two cores in total.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch

from harness.registry import variant_names
from harness.train.distributed import SINGLE_PROCESS
from tests.model.weights_files import image_vit, save
from tests.train import rank_job

SIZES = (2, 4)
#: compared in float64, where rounding stays below 1e-11
EXACT: dict[str, dict[str, Any]] = {
    "adamw": {},
    "clipped": {"train.clip_norm": 0.05},
    "not clipped, sgd": {"train.clip_norm": None, "train.optimizer": "sgd"},
    "smoothed": {"train.label_smoothing": 0.2},
    "one label": {"data.task": "delay", "model.num_frames": 6},
    "checkpointed activations": {"train.activation_checkpointing": True},
    "layers that are not read": {"variant": {"name": "factorised_encoder"}},
}
RANDOM = {"model.dropout": 0.2, "model.drop_path": 0.2}
DIVERGING = {"train.optimizer": "sgd", "train.learning_rate": 90.0, "train.clip_norm": None, "train.num_steps": 60}


def jobs(folder: Path) -> dict[str, dict[str, Any]]:
    """Returns the jobs by name; `file` names a checkpoint that two jobs share."""
    weights = save({name: value.float() for name, value in image_vit().items()}, folder / "vit.safetensors")
    made: dict[str, dict[str, Any]] = {name: {"changes": changes, "double": True} for name, changes in EXACT.items()}
    made["weights"] = {"changes": {"weights": {"file": str(weights)}}, "double": True}
    made |= {
        name: {"changes": {"variant": {"name": name}, "train.num_steps": 1}, "double": True, "only": 2}
        for name in variant_names()
    }
    made["float32"] = {"changes": {"train.optimizer": "sgd"}}
    made["float32, adamw"] = {"changes": {}}
    made["bf16"] = {"changes": {"train.optimizer": "sgd", "train.precision": "bf16"}}
    made["undisturbed"] = {"changes": RANDOM}
    made["stopped"] = {"changes": RANDOM, "stop": [1, 5], "file": "disturbed"}
    made["resumed"] = {"changes": RANDOM, "file": "disturbed"}
    made["diverging"] = {"changes": DIVERGING}
    return made


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> tuple[dict[int, dict[str, Any]], Path]:
    """Returns the results of every job in 1, 2 and 4 processes, and their folder."""
    folder = tmp_path_factory.mktemp("ranks")
    (folder / "jobs.json").write_text(json.dumps(jobs(folder)))
    threads = torch.get_num_threads()
    found = {1: rank_job.run_all(SINGLE_PROCESS, folder)} | {size: rank_job.run_group(folder, size) for size in SIZES}
    torch.set_num_threads(threads)
    return found, folder


def max_difference(one: dict[str, Any], other: dict[str, Any]) -> float:
    """Returns the largest difference of any loss or weight."""
    losses = [abs(a - b) for (_, a), (_, b) in zip(one["losses"], other["losses"], strict=True)]
    weights = [float((value - other["weights"][name]).abs().max()) for name, value in one["weights"].items()]
    return max(losses + weights)


@pytest.mark.parametrize("size", SIZES)
def test_equal_batches_train_equally_in_float64(results: tuple[dict[int, dict[str, Any]], Path], size: int) -> None:
    found, _ = results
    names = [*EXACT, "weights", *(variant_names() if size == 2 else [])]
    far = {name: max_difference(found[1][name], found[size][name]) for name in names}
    assert {name: value for name, value in far.items() if value > 1e-11} == {}
    assert all(found[1][name]["ended"] == found[size][name]["ended"] == "done" for name in far)


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize(("name", "tolerance"), [("float32", 2e-6), ("float32, adamw", 2e-3), ("bf16", 2e-2)])
def test_equal_batches_train_equally_within_rounding_in_lower_precision(
    results: tuple[dict[int, dict[str, Any]], Path], size: int, name: str, tolerance: float
) -> None:
    found, _ = results
    assert max_difference(found[1][name], found[size][name]) < tolerance


def test_a_parameter_without_gradient_stays_without(results: tuple[dict[int, dict[str, Any]], Path]) -> None:
    found, _ = results
    dead = [found[size]["layers that are not read"]["dead"] for size in (1, *SIZES)]
    assert "encoder.temporal_token" in dead[0]
    assert dead[0] == dead[1] == dead[2]


@pytest.mark.parametrize("size", [1, *SIZES])
def test_a_training_that_any_rank_interrupts_resumes_bit_identically(
    results: tuple[dict[int, dict[str, Any]], Path], size: int
) -> None:
    found, _ = results
    want, got = found[size]["undisturbed"], found[size]["resumed"]
    assert found[size]["stopped"]["ended"] == ("Interrupted" if size > 1 else "done")
    assert all(torch.equal(value, got["weights"][name]) for name, value in want["weights"].items())
    assert got["losses"][-1] == want["losses"][-1]


@pytest.mark.parametrize("size", SIZES)
def test_ranks_draw_different_random_numbers_and_only_rank_0_writes(
    results: tuple[dict[int, dict[str, Any]], Path], size: int
) -> None:
    found, folder = results
    assert len({tuple(draw) for draw in found[size]["draws"]}) == size
    assert {path.suffix for path in folder.glob(f"{size}.*") if path.suffix[1:].isdigit()} == {".0"}


@pytest.mark.parametrize("size", SIZES)
def test_a_loss_that_is_not_finite_is_reported_with_its_step(
    results: tuple[dict[int, dict[str, Any]], Path], size: int
) -> None:
    found, _ = results
    assert found[1]["diverging"]["ended"].startswith("NonFiniteLoss")
    assert found[size]["diverging"]["ended"].split(" at step")[0].startswith("NonFiniteLoss")
