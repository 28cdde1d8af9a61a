"""Predicted against measured peak memory on the CPU: `python -m tests.measure.memory_campaign [--variants NAME ...]`.

Every variant with as many clips as hold at least 1 GiB of activations; inference and training step, the measured
ones in a fresh process. Prints one line for each as it goes, and ends with exit code 1 where a prediction is off by
more than 10 %.
"""

from __future__ import annotations

import argparse
import math
import sys
from typing import Any

from harness import units
from harness.measure.isolated.fresh_process import ask
from harness.measure.isolated.request import MeasurementRequest, Mode
from harness.registry import load_variant, variant_names
from harness.sweep.schema import TrialConfig

LIMIT = 0.10
ACTIVATIONS = 2**30
MODES: tuple[Mode, ...] = ("inference", "train_step")


def config(variant: str, *, batch_size: int, checkpointing: bool = False, **model: Any) -> dict[str, Any]:
    """A resolved configuration of a variant as it comes, on random clips."""
    # four heads and not Ti's three: factorised dot-product attention halves them
    sizes = {"size": "Ti", "num_heads": 4, "num_frames": 8, "crop_size": 64, "patch_size": 8, "depth": 4, **model}
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
        answers[kind] = ask(MeasurementRequest(kind=kind, configs={"row": trial}, mode=mode))  # type: ignore[arg-type]
        assert answers[kind].status == "done", answers[kind].message
    predicted = answers["predict"].values
    return predicted["peak_bytes"], answers["memory"].values["peak_bytes"], predicted["parts"]


def batch_of(name: str, mode: Mode) -> tuple[int, int]:
    """Least number of clips with at least 1 GiB of activations (all but state and batch), and their bytes."""
    answer = ask(MeasurementRequest(kind="predict", configs={"row": config(name, batch_size=8)}, mode=mode))
    parts = answer.values["parts"]
    known = parts["parameter_bytes"] + parts["batch_bytes"]
    held = parts["activation_bytes"] if mode == "train_step" else parts["inference_peak_bytes"] - known
    size = -(-8 * ACTIVATIONS // held)
    return size, held * size // 8


def check(name: str, mode: Mode) -> float:
    """Relative difference of predicted from measured peak; prints it."""
    size, activations = batch_of(name, mode)
    try:
        predicted, measured, _ = predicted_and_measured(config(name, batch_size=size), mode)
    except AssertionError as error:  # one that gives no answer is a result, and the campaign goes on
        print(f"{name:28s} {mode:10s} batch {size:4d}  no answer: {error}", flush=True)
        return math.inf
    difference = predicted / measured - 1
    texts = [units.num_bytes(value) for value in (predicted, measured, activations)]
    print(
        f"{name:28s} {mode:10s} batch {size:4d}  predicted {texts[0]:>9s}  measured {texts[1]:>9s}  "
        f"{100 * difference:+5.1f} %  (activations {texts[2]})",
        flush=True,
    )
    return difference


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.measure.memory_campaign")
    parser.add_argument("--variants", nargs="+", choices=variant_names([]), default=variant_names([]), metavar="NAME")
    names = parser.parse_args(arguments).variants
    found = {f"{name} {mode}": check(name, mode) for name in names for mode in MODES}
    bad = [what for what, difference in found.items() if abs(difference) > LIMIT]
    print(f"{len(names)} variants; off by more than {LIMIT:.0%}: {', '.join(bad) or 'none'}")
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
