"""Runs one rank of a group that trains a list of small trials: `python -m tests.train.rank_job RANK SIZE FOLDER`.

Reads the jobs from FOLDER/jobs.json; rank 0 writes the results to FOLDER/SIZE.pt.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import torch

from harness.data import data_identity
from harness.sweep.schema import TrialConfig
from harness.train.checkpoint import Progress
from harness.train.distributed import Group, joined, open_store
from harness.train.loop import CheckpointPolicy, Interrupted, NonFiniteLoss, TrainingHooks, train
from harness.worker.setup import build
from tests.e2e import ROOT, environment

BASE: dict[str, Any] = {
    "data": {"name": "moving_shapes", "task": "motion", "num_train": 50},
    "model": {"embed_dim": 16, "depth": 2, "num_heads": 2, "num_frames": 4, "crop_size": 12},
    "variant": {"name": "mixing"},
    "readout": {"name": "mean_frames"},
    "train": {"num_steps": 12, "batch_size": 8, "device": "cpu"},
    "seed": 3,
}


def trial(changes: dict[str, Any]) -> TrialConfig:
    """Returns the base configuration with changes, by dotted name or for a whole block."""
    blocks: dict[str, Any] = json.loads(json.dumps(BASE))
    for path, value in changes.items():
        block, _, key = path.partition(".")
        blocks[block] = {**blocks[block], key: value} if key else value
    return TrialConfig(**blocks)


def run(job: dict[str, Any], group: Group, checkpoint: Path) -> dict[str, Any]:
    """Trains one job and returns its weights, losses and the way it ended; `stop` is a (rank, step) that interrupts it."""
    config = trial(job["changes"])
    launch = {"variant_dirs": [], "data_identity": data_identity(config.data)}
    model, sources = build(config, launch, lambda unit: None)
    group.seed(config.seed)
    model = model.double() if job.get("double") else model
    steps = [0]

    def stop() -> bool:
        steps[0] += 1
        return job.get("stop") == [group.rank, steps[0]]

    progress, ended = Progress(), "done"
    try:
        progress = train(
            model,
            sources["train"],
            config.train,
            config.seed,
            CheckpointPolicy(checkpoint, 1000),
            TrainingHooks(lambda _: None, stop),
            group,
        )
    except (Interrupted, NonFiniteLoss) as error:
        ended = f"{type(error).__name__} {error}".strip()
    dead = [name for name, parameter in model.named_parameters() if parameter.grad is None]
    weights = {name: value.detach().clone() for name, value in model.named_parameters()}
    return {"weights": weights, "losses": progress.loss_curve, "ended": ended, "dead": dead}


def run_all(group: Group, folder: Path) -> dict[str, Any]:
    """Runs every job by name, except those for `only` another group size.

    Each rank has a separate checkpoint file name, so that the files show which rank wrote.
    """
    jobs = json.loads((folder / "jobs.json").read_text())
    return {
        name: run(job, group, folder / f"{group.size}.{job.get('file', name)}.{group.rank}")
        for name, job in jobs.items()
        if group.size in (1, job.get("only", group.size))
    }


def run_group(folder: Path, size: int) -> dict[str, Any]:
    """Starts `size` processes for the jobs of the folder; returns the results of rank 0."""
    command = [sys.executable, "-m", "tests.train.rank_job"]
    ranks = [
        subprocess.Popen([*command, str(rank), str(size), str(folder)], cwd=ROOT, env=environment())
        for rank in range(size)
    ]
    try:
        assert [rank.wait(timeout=120) for rank in ranks] == [0] * size
    finally:
        for rank in ranks:
            rank.kill()
    return torch.load(folder / f"{size}.pt")  # type: ignore[no-any-return]


def main(rank: int, size: int, folder: Path) -> None:
    with joined(open_store(folder / f"{size}.rendezvous", size), rank, size, "cpu") as group:
        results = run_all(group, folder)
        results["draws"] = group.gather(torch.rand(4).tolist())
    if rank == 0:
        torch.save(results, folder / f"{size}.pt")


if __name__ == "__main__":
    torch.set_num_threads(1)
    main(int(sys.argv[1]), int(sys.argv[2]), Path(sys.argv[3]))
