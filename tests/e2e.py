"""Runs the real command line on small sweeps."""

from __future__ import annotations

import csv
import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent

MINI = """
question: Does the harness work end to end?
data: {name: moving_shapes, task: motion, num_train: 512, num_val: 20, num_test: 40}
model: {embed_dim: 16, depth: 1, num_heads: 2, num_frames: 4, crop_size: 12, temporal_position: none}
variant: {name: mixing, temporal_window: 1}
readout: {name: mean_frames}
train: {num_steps: 8, batch_size: 8, device: cpu}
measure: {batch_size: 2, min_samples: 3, max_seconds: 0.05}
vary:
  - grid: {variant.temporal_window: [0, 1]}
seeds: 1
baseline: {variant.temporal_window: 0}
launch: {checkpoint_every_steps: 4}
"""


def environment(root: Path = ROOT) -> dict[str, str]:
    """Returns the environment of a shell in which the checkout (or a copy) is importable from any folder."""
    return {**os.environ, "PYTHONPATH": str(root), "OMP_NUM_THREADS": "1"}


def command(*arguments: str | Path) -> list[str]:
    """Returns a harness command line."""
    return [sys.executable, "-m", "harness", *map(str, arguments)]


def harness(*arguments: str | Path, cwd: Path, timeout: float = 300) -> subprocess.CompletedProcess[str]:
    """Runs a harness command and waits for its end."""
    return subprocess.run(
        command(*arguments), cwd=cwd, env=environment(), capture_output=True, text=True, timeout=timeout, check=False
    )


def processes_with(*words: str | Path) -> list[int]:
    """Returns the ids of running processes whose command line contains all of these words."""
    found = []
    for entry in Path("/proc").iterdir():
        try:
            line = (entry / "cmdline").read_bytes().decode(errors="replace") if entry.name.isdigit() else ""
        except OSError:
            continue
        if line and all(str(word) in line for word in words):
            found.append(int(entry.name))
    return found


def write_sweep(folder: Path, text: str = MINI, name: str = "mini") -> Path:
    """Writes a sweep file and returns its path."""
    path = folder / f"{name}.yaml"
    path.write_text(text, encoding="utf-8")
    return path


def records(run: Path) -> dict[str, dict[str, Any]]:
    """Returns all records of a run by trial id."""
    return {path.parent.name: json.loads(path.read_text()) for path in sorted(run.glob("trials/*/record.json"))}


def statuses(run: Path) -> dict[str, dict[str, Any]]:
    """Returns all status files of a run by trial id."""
    return {path.parent.name: json.loads(path.read_text()) for path in sorted(run.glob("trials/*/status.json"))}


def scores(run: Path) -> dict[str, Any]:
    """Returns accuracies and the last loss by trial id, which must be equal after any number of interruptions."""
    return {key: (value["scores"], value["training"]["final_loss"]) for key, value in records(run).items()}


def accuracy_table(run: Path) -> list[dict[str, str]]:
    """Returns the columns of `table.csv` other than costs: rows, seeds, accuracies and their differences, as text."""
    kept = re.compile(
        r"row_id|label|is_baseline|vary\..*|num_seeds_.*|.*_top[15]_.*|difference_.*|num_pairs|sign_flip.*"
    )
    with (run / "report/table.csv").open(encoding="utf-8", newline="") as stream:
        return [{key: value for key, value in row.items() if kept.fullmatch(key)} for row in csv.DictReader(stream)]
