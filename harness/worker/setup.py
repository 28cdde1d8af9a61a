"""Configuration, model and data of the trial that a worker runs."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from harness.errors import UserError
from harness.store import TrialFolder

if TYPE_CHECKING:
    from harness.data import ClipSource
    from harness.model.video_transformer import VideoTransformer
    from harness.sweep.schema import TrialConfig


def trial_of(folder: TrialFolder) -> tuple[TrialConfig, dict[str, Any]]:
    """Returns the configuration of a trial, and the launcher's settings, which cannot change a result."""
    from pydantic import ValidationError

    from harness.sweep.schema import TrialConfig

    content = folder.config()
    try:
        return TrialConfig(**content["trial"]), content["launch"]
    except (KeyError, TypeError, ValidationError) as error:
        raise UserError(f"{folder.config_file}: not a trial's configuration: {error}") from error


def variant_dirs(launch: dict[str, Any]) -> list[Path]:
    """Returns the folders with variant files in addition to `variants/`."""
    return [Path(folder) for folder in launch["variant_dirs"]]


def code_of(trial: TrialConfig, launch: dict[str, Any]) -> str:
    """Returns the identity of the running code."""
    from harness.code_identity import code_identity
    from harness.registry import variant_file

    return code_identity(variant_file(trial.variant["name"], variant_dirs(launch)))


def build(
    trial: TrialConfig, launch: dict[str, Any], alive: Callable[[str], None]
) -> tuple[VideoTransformer, dict[str, ClipSource]]:
    """Returns the model, initialised from the seed and then from a file of weights if any, and the three splits."""
    import torch

    from harness.data import SPLITS, has_identity, open_split
    from harness.measure.memory.tensors import limit_memory
    from harness.model.video_transformer import VideoTransformer

    if launch.get("memory_limit_mib"):
        limit_memory(launch["memory_limit_mib"] * 2**20)
    torch.set_num_threads(trial.train.num_threads)
    if trial.train.device == "cuda":  # CPU operators repeat their bits for a fixed number of threads anyway
        torch.use_deterministic_algorithms(True, warn_only=True)
    if not has_identity(trial.data, launch["data_identity"], alive):
        raise UserError("the data changed since the sweep was planned; run the sweep command again: it plans again")
    sources = {split: open_split(trial.data, trial.model, split, trial.seed) for split in SPLITS}
    torch.manual_seed(trial.seed)
    model = VideoTransformer.of(trial, sources["train"].labels, variant_dirs(launch))
    if trial.weights is not None:
        from harness.model.weights.apply import import_weights

        print(import_weights(model, trial.model, trial.weights).text(), flush=True)
    if trial.train.activation_checkpointing:
        model.checkpoint_activations()
    return model.to(trial.train.device), sources  # type: ignore[return-value]
