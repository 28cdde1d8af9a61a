"""Probes in processes of their own: a failure of any kind is an answer, and the command goes on."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from harness.bench.comparison import MAX_PROCESSES_FACTOR
from harness.measure.isolated.fresh_process import ask
from harness.measure.isolated.request import MeasurementRequest, answer
from harness.measure.time.energy import find_meter
from tests.e2e import MINI, harness, write_sweep
from tests.measure.memory_campaign import config

SMALL: dict[str, Any] = {"size": "demo", "crop_size": 16, "patch_size": 4}


def test_out_of_memory_is_an_answer_with_the_bytes_asked_for() -> None:
    found = ask(
        MeasurementRequest(
            kind="time", configs={"row": config("joint", batch_size=4096, **SMALL)}, memory_limit_mib=700
        )
    )
    assert found.status == "oom", found.message
    assert found.requested_bytes is not None
    assert found.requested_bytes > 2**20


def test_a_probe_that_takes_too_long_is_a_timeout() -> None:
    found = ask(MeasurementRequest(kind="time", configs={"row": config("joint", batch_size=1, **SMALL)}), timeout_s=0.5)
    assert found.status == "timeout"


def test_a_combination_that_cannot_be_built_is_invalid_with_the_reason() -> None:
    trial = config("mixing", batch_size=1, **SMALL)
    trial["variant"]["temporal_window"] = 50
    found = answer(MeasurementRequest(kind="time", configs={"row": trial}))
    assert found.status == "invalid"
    assert "50" in found.message


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("bench")
    write_sweep(folder, MINI.replace("[0, 1]", "[0, 1, 2]"))
    return folder


def test_bench_prints_ratios_and_keeps_all_samples(folder: Path) -> None:
    done = harness(
        "bench", "mini.yaml", "--repeats", "2", "--blocks", "3", "--roofline", "--patience", "1s", cwd=folder
    )
    assert done.returncode == 0, done.stderr
    assert "baseline" in done.stdout
    assert "MFU" in done.stdout
    result = json.loads((folder / "bench/mini_inference.json").read_text())
    assert 2 <= len(result["runs"]) <= 2 * MAX_PROCESSES_FACTOR  # more than two where the host is busy
    assert len(result["rows"]) == 3
    assert result["rows"][1]["ratio_low"] < result["rows"][1]["ratio"] < result["rows"][1]["ratio_high"]
    assert all(visit["samples_ms"] for run in result["runs"] for visit in run["answer"]["values"]["visits"])
    for ending in ("png", "svg", "json"):
        assert (folder / f"bench/mini_inference_roofline.{ending}").stat().st_size > 500


def test_bench_takes_variants_and_tells_compilation_from_running(folder: Path) -> None:
    done = harness(
        "bench", "mixing", "spatial_only", "--set", "model.num_frames=2", "--set", "model.depth=1", "--repeats", "1",
        "--blocks", "1", "--patience", "1s", "--compile", "inductor" if shutil.which("g++") else "aot_eager", cwd=folder,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    result = json.loads((folder / "bench/mixing_spatial_only_inference.json").read_text())
    rows = result["rows"]
    assert [row["label"] for row in rows] == ["mixing", "spatial_only"]
    for row in rows:
        first, second = result["runs"][0]["answer"]["values"]["first_calls_ms"][row["label"]]
        assert row["compile_ms"] == pytest.approx(first - second)
        assert row["compile_ms"] > 10 * row["second_call_ms"]
    assert all((row["energy_j_per_clip"] is None) == (find_meter("cpu") is None) for row in rows)


def test_bench_takes_one_file_or_variants(folder: Path) -> None:
    done = harness("bench", "mini.yaml", "mixing", cwd=folder)
    assert done.returncode == 2
    assert "one sweep file alone, or names of variants" in done.stderr


def test_frontier_finds_the_same_batch_as_the_prediction_allows(folder: Path) -> None:
    done = harness(
        "frontier", "mini.yaml", "--rows", "temporal_window = 0", "--over", "batch_size", "--memory-mib", "24",
        "--predicted", "--mode", "train_step", "--most", "4096", cwd=folder,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    (row,) = json.loads((folder / "bench/mini_batch_size_frontier.json").read_text())["rows"]
    peaks = {int(value): probe["values"]["peak_bytes"] for value, probe in row["probes"].items()}
    assert row["bounded"]
    assert peaks[row["largest"]] <= 24 * 2**20 < peaks[row["largest"] + 1]
    assert (folder / "bench/mini_batch_size_frontier.png").exists()


def test_frontier_measures_memory_in_processes_of_their_own(folder: Path) -> None:
    done = harness(
        "frontier", "spatial_only", "--over", "batch_size", "--memory-mib", "110", "--mode", "train_step",
        "--batch-size", "2", "--set", "model.crop_size=96", "--set", "model.depth=2", cwd=folder,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    (row,) = json.loads((folder / "bench/spatial_only_batch_size_frontier.json").read_text())["rows"]
    peaks = {int(value): probe["values"].get("peak_bytes") for value, probe in row["probes"].items()}
    assert row["bounded"]
    assert peaks[row["largest"]] <= 110 * 2**20
    above = row["probes"][str(row["largest"] + 1)]
    assert above["status"] == "oom" or peaks[row["largest"] + 1] > 110 * 2**20
    assert len({probe["values"]["process_bytes"] for probe in row["probes"].values() if probe["values"]}) > 1
    assert f"batch_size {row['largest']} within 110 MiB of memory for a training step" in done.stdout


NOT_A_NUMBER = '''
"""Logits that are no numbers, and nothing that fits into memory from 4 frames on. Source: this test."""
import torch
from harness.api import FrameAttention, FrameBlock, Variant, count

class Broken(Variant):
    def build_block(self, layer):
        return Block(self.trunk, layer, FrameAttention(self.trunk, layer))
    def block_macs(self, layer):
        return count.frame_block_macs(self.trunk, layer, 1 + self.trunk.num_patches)

class Block(FrameBlock):
    def forward(self, frames):
        out = super().forward(frames)
        if frames.x.shape[1] >= 4:
            torch.empty(2**50, dtype=torch.uint8)
        return out._replace(x=out.x * float("nan")) if frames.x.shape[1] > 1 else out
'''


def test_what_ends_a_probe_is_what_ends_the_search(folder: Path) -> None:
    (folder / "more").mkdir()
    (folder / "more/broken.py").write_text(NOT_A_NUMBER)
    done = harness(
        "frontier", "broken", "--variants", "more", "--over", "num_frames", "--memory-mib", "999",
        "--batch-size", "1", "--set", "model.num_frames=4", "--set", "readout=mean_frames", cwd=folder,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    (row,) = json.loads((folder / "bench/broken_num_frames_frontier.json").read_text())["rows"]
    statuses = {int(value): probe["status"] for value, probe in row["probes"].items()}
    assert (row["largest"], statuses) == (1, {4: "oom", 2: "nan", 1: "done"})
    assert row["probes"]["4"]["requested_bytes"] == 2**50
    assert "(at 2: nan: the loss or the logits are not finite)" in done.stdout


def test_frontier_names_what_a_row_lacks(folder: Path) -> None:
    done = harness(
        "frontier", "mini.yaml", "--over", "temporal_window", "--latency-ms", "9", "--set", "vary=[]",
        "--set", "variant.name=joint", "--set", "baseline=null", cwd=folder,
    )  # fmt: skip
    assert done.returncode == 2
    assert "no such field" in done.stderr


def test_an_unknown_row_is_bad_input(folder: Path) -> None:
    done = harness("bench", "mini.yaml", "--rows", "temporal_widow = 1", cwd=folder)
    assert done.returncode == 2
    assert "Did you mean" in done.stderr


def test_selftest_reports_a_rate(folder: Path) -> None:
    done = harness("selftest", "--runs", "1", "--repeats", "2", "--blocks", "2", "--patience", "1s", cwd=folder)
    assert "A/A: 0 of 1" in done.stdout or "A/A: 1 of 1" in done.stdout or "never quiet" in done.stdout, done.stderr
