"""`weights`, and a trial that starts from a file: report, log, identity, bad files."""

from __future__ import annotations

from pathlib import Path

import torch

from tests.e2e import MINI, harness, records, write_sweep
from tests.model.weights_files import image_vit, save

SWEEP = MINI.replace("crop_size: 12", "crop_size: 12, patch_size: 4").replace(
    "vary:\n  - grid: {variant.temporal_window: [0, 1]}\n", ""
)
SWEEP = SWEEP.replace("baseline: {variant.temporal_window: 0}\n", "").replace(
    "temporal_position: none", "temporal_position: learned"
)


def test_the_report_is_printed_for_the_first_row(tmp_path: Path) -> None:
    file = save(image_vit(depth=1), tmp_path / "my vit.safetensors")
    sweep = write_sweep(tmp_path, SWEEP)
    done = harness("weights", file, "--for", sweep, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "(layout timm_vit): 18 loaded, 0 resized, 0 inflated, 5 initialised, 2 ignored" in done.stdout
    assert "embed.pos_embed <- pos_embed" in done.stdout
    assert "head.weight: weights.classifier: drop" in done.stdout


def test_what_does_not_fit_is_one_message(tmp_path: Path) -> None:
    file = save(image_vit(depth=3), tmp_path / "vit.safetensors")
    sweep = write_sweep(tmp_path, SWEEP)
    for arguments, message in (
        ((file,), "depth 3 in the file, 1 in the model"),
        ((tmp_path / "missing.npz",), "no such file"),
        ((file, "--set", "weights.layout=xvit"), "not known in layout xvit"),
        ((file, "--set", "weights.layout=vit"), "weights.layout: 'vit' is not allowed"),
    ):
        done = harness("weights", *arguments, "--for", sweep, cwd=tmp_path)
        assert done.returncode == 2
        assert message in done.stderr
        assert "Traceback" not in done.stderr


def test_a_trial_starts_from_the_file(tmp_path: Path) -> None:
    state = image_vit(depth=1)
    save(state, tmp_path / "vit.safetensors")
    sweep = write_sweep(tmp_path, SWEEP.replace("num_steps: 8", "num_steps: 0"))
    done = harness("sweep", sweep, "--no-report", "--set", "weights.file=vit.safetensors", cwd=tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr
    (trial_id,) = found = records(tmp_path / "runs" / "mini")
    assert found[trial_id]["config"]["weights"]["file"] == "vit.safetensors"
    log = (tmp_path / "runs/mini/trials" / trial_id / "log.txt").read_text()
    assert "weights vit.safetensors (layout timm_vit): 18 loaded" in log


def test_a_file_that_does_not_fit_makes_the_trial_invalid(tmp_path: Path) -> None:
    torch.save(image_vit(depth=2), tmp_path / "vit.pth")
    sweep = write_sweep(tmp_path, SWEEP + "weights: {file: vit.pth}\n")
    done = harness("sweep", sweep, "--no-report", cwd=tmp_path)
    assert done.returncode == 1
    assert (
        "invalid: vit.pth (layout timm_vit) does not fit the model: depth 2 in the file, 1 in the model" in done.stdout
    )
