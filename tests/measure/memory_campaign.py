"""Predicted against measured peak memory on the CPU: `python -m tests.measure.memory_campaign [VARIANT ...]`.

Every variant at a size with at least 1 GiB of activations in a training step; inference and training, the measured
one in a fresh process. Prints one line for each and ends with exit code 1 where a prediction is off by more than 10 %.
"""

from __future__ import annotations

import sys
from typing import Any

from harness import units
from harness.measure.fresh import ask
from harness.measure.probe import Mode, Request
from harness.registry import load_variant, variant_names
from harness.sweep.schema import TrialConfig

LIMIT = 0.10
MODES: tuple[Mode, ...] = ("inference", "train_step")


def config(variant: str, *, batch_size: int, checkpointing: bool = False, **model: Any) -> dict[str, Any]:
    """A resolved configuration of a variant as it comes, on random clips."""
    sizes = {"size": "Ti", "num_frames": 8, "crop_size": 64, "patch_size": 8, "depth": 4, **model}
    readout = load_variant(variant).default_readout
    trial = TrialConfig.model_validate(
        {
            "data": {"name": "random", "num_classes": 10},
            "model": sizes,
            "variant": {"name": variant},
            "readout": {"name": readout},
            "train": {"device": "cpu", "activation_checkpointing": checkpointing},
            "measure": {"batch_size": batch_size},
            "seed": 0,
        }
    )
    return trial.model_dump()


def predicted_and_measured(trial: dict[str, Any], mode: Mode) -> tuple[int, int, dict[str, Any]]:
    """Peak bytes both ways, and the parts of the prediction."""
    answers = {}
    for kind in ("predict", "memory"):
        answers[kind] = ask(Request(kind=kind, configs={"row": trial}, mode=mode))  # type: ignore[arg-type]
        assert answers[kind].status == "done", answers[kind].message
    predicted = answers["predict"].values
    return predicted["peak_bytes"], answers["memory"].values["peak_bytes"], predicted["parts"]


def main(names: list[str]) -> int:
    bad = []
    for name in names or variant_names([]):
        for mode, batch_size in zip(MODES, (256, 48), strict=True):
            predicted, measured, parts = predicted_and_measured(config(name, batch_size=batch_size), mode)
            difference = predicted / measured - 1
            bad += [f"{name} {mode}"] if abs(difference) > LIMIT else []
            texts = [units.num_bytes(size) for size in (predicted, measured, parts["activation_bytes"])]
            print(
                f"{name:28s} {mode:10s} predicted {texts[0]:>9s}  measured {texts[1]:>9s}  {100 * difference:+5.1f} %"
                f"  (activations of training {texts[2]})",
                flush=True,
            )
    print(f"off by more than {LIMIT:.0%}: {', '.join(bad) or 'none'}")
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
