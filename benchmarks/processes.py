"""Measures the speed-up of a training step with two single-threaded processes (harness.train.distributed).

Times one step of the demo model on a batch of 64, including data generation: on rank 0 alone while rank 1 waits, and
on both ranks with half of the batch each. The two alternate in blocks within one pair of processes. The ratio
both / alone is the geometric mean over fresh pairs, with its 95 % t interval. 0.5 is ideal; above 1 is slower.

    python benchmarks/processes.py [--pairs 4] [--blocks 5] [--steps 6]
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import torch

from harness.data import open_split
from harness.measure.machine.environment import cpu_model
from harness.model.video_transformer import VideoTransformer
from harness.stats.ratios import TimedBlock, ratio_of
from harness.sweep.schema import TrialConfig
from harness.train.distributed import SINGLE_PROCESS, Group, joined, open_store
from harness.train.loop import batches, training_step
from harness.train.optimizer import build_optimizer

TRIAL = {
    "data": {"name": "moving_shapes", "task": "motion"},
    "model": {"embed_dim": 48, "depth": 4, "num_heads": 4, "temporal_position": "none"},
    "variant": {"name": "mixing", "temporal_window": 1},
    "readout": {"name": "mean_frames"},
    "train": {"num_steps": 100_000, "device": "cpu"},
    "seed": 0,
}


class Steps:
    """Trains one step at a time, as the training loop does."""

    def __init__(self, group: Group):
        self.group, self.config = group, TrialConfig(**TRIAL)  # type: ignore[arg-type]
        torch.manual_seed(0)
        source = open_split(self.config.data, self.config.model, "train", 0)
        model = VideoTransformer.of(self.config, source.labels).train()
        self.optimizer, self.model = build_optimizer(model, self.config.train), group.wrap(model)
        self.batches = batches(source, self.config.train, 0, 0, group)

    def milliseconds(self) -> float:
        """Runs one step and returns its duration in milliseconds."""
        begin = time.perf_counter()
        training_step(self.model, self.optimizer, next(self.batches), self.config.train)
        self.group.any(False)
        return 1e3 * (time.perf_counter() - begin)


def run_rank(rank: int, folder: Path, num_blocks: int, num_steps: int) -> None:
    """Runs one rank of a pair; rank 0 prints its blocks."""
    torch.set_num_threads(1)
    blocks: list[TimedBlock] = []
    with joined(open_store(folder / "meeting", 2), rank, 2, "cpu") as group:
        alone, both = Steps(SINGLE_PROCESS), Steps(group)
        for _ in range(num_blocks + 1):
            samples = [alone.milliseconds() for _ in range(num_steps)] if rank == 0 else []
            group.any(False)  # rank 1 sleeps until rank 0 has finished
            blocks.append({"alone": samples, "both": [both.milliseconds() for _ in range(num_steps)]})
    if rank == 0:
        print(json.dumps(blocks[1:]))  # the first one warms up


def run_pair(num_blocks: int, num_steps: int) -> list[TimedBlock]:
    """Returns the blocks of a fresh pair of processes."""
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, __file__, "--folder", folder, "--blocks", str(num_blocks), "--steps", str(num_steps)]
        other = subprocess.Popen([*command, "--rank", "1"])
        done = subprocess.run([*command, "--rank", "0"], stdout=subprocess.PIPE, check=True)
        other.wait()
    return json.loads(done.stdout)  # type: ignore[no-any-return]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--pairs", type=int, default=4)
    parser.add_argument("--blocks", type=int, default=5)
    parser.add_argument("--steps", type=int, default=6)
    parser.add_argument("--rank", type=int, help=argparse.SUPPRESS)
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    parsed = parser.parse_args()
    if parsed.rank is not None:
        run_rank(parsed.rank, parsed.folder, parsed.blocks, parsed.steps)
        return
    pairs = [run_pair(parsed.blocks, parsed.steps) for _ in range(parsed.pairs)]
    medians = {
        name: float(torch.tensor([value for pair in pairs for block in pair for value in block[name]]).median())
        for name in ("alone", "both")
    }
    ratio = ratio_of(pairs, "both", "alone")
    print(f"one step: alone {medians['alone']:.1f} ms, both {medians['both']:.1f} ms")
    print(f"both / alone: {ratio.ratio:.2f} [{ratio.low or 0:.2f}, {ratio.high or 0:.2f}]")
    print(json.dumps({"cpu": cpu_model(), "torch": torch.__version__, "threads": 1, "pairs": pairs}))


if __name__ == "__main__":
    main()
