"""A sweep whose variant notes in its weights which revision of its code trained each step.

The trace lies in the checkpoint, so it is independent of what the harness writes about code.
"""

from __future__ import annotations

import tempfile
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

from harness.code_identity import code_identity
from tests.faults.scene import MARK, Scene

NUM_STEPS = 60
SIZE = 64  # more revisions than a round has faults

SWEEP = f"""
question: Does anything that happens at the same time go unnoticed?
data: {{name: moving_shapes, task: motion, num_train: 64, num_val: 8, num_test: 16}}
model: {{embed_dim: 16, depth: 1, num_heads: 2, num_frames: 2, crop_size: 12, temporal_position: none}}
variant: {{name: traced}}
readout: {{name: mean_frames}}
train: {{num_steps: {NUM_STEPS}, batch_size: 8, device: cpu}}
measure: {{batch_size: 2, min_samples: 3, max_seconds: 0.05}}
vary: [{{grid: {{train.learning_rate: [1.0e-3, 2.0e-3]}}}}]
seeds: 2
baseline: {{train.learning_rate: 1.0e-3}}
launch: {{checkpoint_every_steps: 10}}
"""

VARIANT = '''"""Attention within each frame; its weights show which code trained them. Source: this test."""

import time

import torch
from harness.api import FrameAttention, FrameBlock, FrameEncoder, Layout, MaskedVariant, count
from traced_helper import HELPER, fork_if_asked

REVISION = {revision}


class Traced(MaskedVariant):
    encoder_type = FrameEncoder
    cannot_carry = {{}}

    def build_block(self, layer):
        return TracedBlock(self.trunk, layer, FrameAttention(self.trunk, layer))

    def allowed(self, layout: Layout, layer):
        return layout.with_registers(layout.same_frame())

    def visible_keys(self, layout: Layout, layer):
        return count.keys_in_frame(layout)


class TracedBlock(FrameBlock):
    def __init__(self, *arguments):
        super().__init__(*arguments)
        self.register_buffer("trace", torch.zeros({size}, {size}))

    def forward(self, frames):
        if self.training and frames.x.device.type != "meta" and type(frames.x) is torch.Tensor:
            self.trace[REVISION, HELPER] += 1
            fork_if_asked()
            time.sleep(0.01)
        return super().forward(frames)
'''

HELPER = '''"""Helps `traced`."""

import ctypes
import os
import time

HELPER = {revision}
ASKED = os.environ.get("{mark}", "") + "/fork"


def fork_if_asked():
    """The first worker that finds the file forks a child that outlives it, in the way that the file names."""
    try:
        with open(ASKED) as file:
            how = file.read()
        os.unlink(ASKED)
    except OSError:
        return
    if (ctypes.PyDLL(None).fork() if how == "c_fork" else os.fork()) == 0:
        if how in ("setsid", "daemon", "c_fork"):
            os.setsid()
        if how == "daemon" and os.fork():
            os._exit(0)
        time.sleep(600)
        os._exit(0)
'''


def variant_text(revision: int) -> str:
    """Returns the variant's file."""
    return VARIANT.format(revision=revision, size=SIZE)


def helper_text(revision: int) -> str:
    """Returns the file of its helper."""
    return HELPER.format(revision=revision, mark=MARK)


@dataclass
class Traced(Scene):
    """A scene with that variant and its helper in the folder `more`, whose revisions only grow."""

    text: str = SWEEP
    arguments: tuple[str, ...] = ("--variants", "more", "--jobs", "2", "--no-report")
    revisions: list[int] = field(default_factory=lambda: [0, 0])  # of the variant, of the helper

    def __post_init__(self) -> None:
        super().__post_init__()
        self.variant, self.helper = self.folder / "more/traced.py", self.folder / "more/traced_helper.py"
        self.variant.parent.mkdir(exist_ok=True)
        for name, content in self.sources().items():
            if not name.exists():
                name.write_text(content, encoding="utf-8")

    def sources(self) -> dict[Path, str]:
        """Returns the files that the user edits, with the content that they should have now."""
        return {
            self.sweep: self.text,
            self.variant: variant_text(self.revisions[0]),
            self.helper: helper_text(self.revisions[1]),
        }

    def restore(self) -> None:
        """Writes the user's files again, each at once."""
        for file, content in self.sources().items():
            if not file.exists() or file.read_text() != content:
                aside = file.with_suffix(".new")
                aside.write_text(content, encoding="utf-8")
                aside.replace(file)


@cache
def identity_of(revisions: tuple[int, int]) -> str:
    """Returns the identity that the code of these revisions (of the variant, of the helper) has to have."""
    with tempfile.TemporaryDirectory() as place:
        (Path(place) / "traced_helper.py").write_text(helper_text(revisions[1]), encoding="utf-8")
        (Path(place) / "traced.py").write_text(variant_text(revisions[0]), encoding="utf-8")
        return code_identity.__wrapped__(Path(place) / "traced.py")


def trace_of(checkpoint: Path) -> dict[tuple[int, int], int]:
    """Returns (revision of the variant, of the helper) -> steps that they trained; {} without a checkpoint."""
    from safetensors.numpy import load_file

    try:
        tensors = load_file(checkpoint)
    except FileNotFoundError:
        return {}
    [trace] = [tensor for name, tensor in tensors.items() if name.endswith(".trace")]
    return {(int(v), int(h)): int(trace[v, h]) for v, h in zip(*trace.nonzero(), strict=True)}
