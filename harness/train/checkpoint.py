"""Saves and loads checkpoints: the complete training state in one safetensors file, written atomically."""

from __future__ import annotations

import json
import zlib
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

from harness.store import written_aside
from harness.train.distributed import SINGLE_PROCESS, Group


@dataclass
class Progress:
    """Progress of a training run: steps taken, loss curve, training time in seconds, resumes."""

    step: int = 0
    loss_curve: list[tuple[int, float]] = field(default_factory=list)
    duration_s: float = 0.0
    num_resumes: int = 0
    codes: list[str] = field(default_factory=list)
    """identities of the code that trained so far (`harness.code_identity`); several if the code changed in between"""


def save(
    path: Path, model: nn.Module, optimizer: torch.optim.Optimizer, progress: Progress, group: Group = SINGLE_PROCESS
) -> None:
    """Saves model, optimizer, random states of all ranks and progress. All ranks must call it; rank 0 writes."""
    states = group.gather(_random_state())
    if group.rank:
        return
    tensors: dict[str, Tensor] = {f"model.{name}": tensor for name, tensor in model.state_dict().items()}
    for index, state in optimizer.state_dict()["state"].items():
        tensors |= {f"optimizer.{index}.{key}": value for key, value in state.items() if isinstance(value, Tensor)}
    for rank, state in enumerate(states):
        tensors |= {_random_name(kind, rank): value for kind, value in state.items()}
    tensors = {name: tensor.detach().cpu().contiguous().clone() for name, tensor in tensors.items()}
    metadata = {"progress": json.dumps(asdict(progress)), "crc32": str(_checksum(tensors))}
    with written_aside(path) as aside:
        save_file(tensors, str(aside), metadata=metadata)


def load(
    path: Path, model: nn.Module, optimizer: torch.optim.Optimizer, group: Group = SINGLE_PROCESS
) -> Progress | None:
    """Restores a checkpoint and returns its progress; returns None, and changes nothing, without a valid file.

    All ranks must call it. Rank 0 reads the file for all, so that they resume from the same state.
    """
    content = group.from_first(lambda: _read(path))
    if content is None:
        return None
    progress, tensors = content
    model.load_state_dict({name[6:]: tensor for name, tensor in tensors.items() if name.startswith("model.")})
    optimizer.load_state_dict(_optimizer_state(optimizer, tensors))
    _set_random_state(tensors, group.rank)
    curve = [(int(step), float(loss)) for step, loss in progress["loss_curve"]]
    return Progress(progress["step"], curve, progress["duration_s"], progress["num_resumes"] + 1, progress["codes"])


def _read(path: Path) -> tuple[dict[str, Any], dict[str, Tensor]] | None:
    """Returns (progress, tensors) of a file; None, with a printed warning if it is corrupt, without a valid file."""
    try:
        with safe_open(str(path), framework="pt") as file:
            metadata = file.metadata()
            progress = json.loads(metadata["progress"])
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (not a mapping)
        if metadata["crc32"] != str(_checksum(tensors)):
            raise ValueError("the checksum does not match")
        return progress, tensors
    except FileNotFoundError:
        return None
    except (SafetensorError, OSError, ValueError, KeyError, TypeError) as error:
        print(f"{path.name} is damaged ({error}): training restarts from step 0", flush=True)
        return None


def _checksum(tensors: Mapping[str, Tensor]) -> int:
    """Returns the CRC-32 of all tensors, sorted by name; safetensors itself does not detect a flipped bit."""
    found = 0
    for name in sorted(tensors):
        values: Any = tensors[name].reshape(-1).view(torch.uint8).numpy()
        found = zlib.crc32(values, found)
    return found


def _random_name(kind: str, rank: int) -> str:
    """Returns the name of a random state; rank 0 uses the same names as a single process."""
    return f"random.{kind}.{rank}" if rank else f"random.{kind}"


def _random_state() -> dict[str, Tensor]:
    """Returns the random states of this process by device type."""
    state = {"cpu": torch.get_rng_state()}
    return state | {"cuda": torch.cuda.get_rng_state()} if torch.cuda.is_available() else state


def _set_random_state(tensors: Mapping[str, Tensor], rank: int) -> None:
    torch.set_rng_state(tensors[_random_name("cpu", rank)])
    if torch.cuda.is_available() and _random_name("cuda", rank) in tensors:
        torch.cuda.set_rng_state(tensors[_random_name("cuda", rank)])


def _optimizer_state(optimizer: torch.optim.Optimizer, tensors: dict[str, Tensor]) -> dict[str, object]:
    """Returns the state dict of the optimizer with the stored tensors."""
    state: dict[int, dict[str, Tensor]] = {}
    for name, tensor in tensors.items():
        if name.startswith("optimizer."):
            _, index, key = name.split(".", 2)
            state.setdefault(int(index), {})[key] = tensor
    return {"state": state, "param_groups": optimizer.state_dict()["param_groups"]}
