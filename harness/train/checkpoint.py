"""Checkpoints: everything that the next step depends on, in one safetensors file, written aside and renamed."""

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
    """How far training is, and what has been seen on the way."""

    step: int = 0
    loss_curve: list[tuple[int, float]] = field(default_factory=list)
    duration_s: float = 0.0
    num_resumes: int = 0
    codes: list[str] = field(default_factory=list)
    """identities of the code that trained so far (see `harness.code_identity`): several if it was changed between"""


def save(
    path: Path, model: nn.Module, optimizer: torch.optim.Optimizer, progress: Progress, group: Group = SINGLE_PROCESS
) -> None:
    """Writes model, optimizer, random states of all ranks and progress; called by all ranks, rank 0 writes."""
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
    """Restores what `save` wrote and returns the progress; None, with nothing changed, for no or a damaged file.

    Rank 0 reads, so that all ranks go on from the same file.
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
    """(progress, tensors) of a file; None for no or a damaged one."""
    try:
        with safe_open(str(path), framework="pt") as file:
            metadata = file.metadata()
            progress = json.loads(metadata["progress"])
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (not a mapping)
        if metadata["crc32"] != str(_checksum(tensors)):
            raise ValueError("its checksum does not fit")
        return progress, tensors
    except FileNotFoundError:
        return None
    except (SafetensorError, OSError, ValueError, KeyError, TypeError) as error:
        print(f"{path.name} is damaged ({error}): training starts from the beginning", flush=True)
        return None


def _checksum(tensors: Mapping[str, Tensor]) -> int:
    """CRC-32 of all values by name: the format itself does not notice a flipped bit."""
    found = 0
    for name in sorted(tensors):
        values: Any = tensors[name].reshape(-1).view(torch.uint8).numpy()
        found = zlib.crc32(values, found)
    return found


def _random_name(kind: str, rank: int) -> str:
    """Rank 0's states have the names that those of a single process have."""
    return f"random.{kind}.{rank}" if rank else f"random.{kind}"


def _random_state() -> dict[str, Tensor]:
    """Of this process, by kind of device."""
    state = {"cpu": torch.get_rng_state()}
    return state | {"cuda": torch.cuda.get_rng_state()} if torch.cuda.is_available() else state


def _set_random_state(tensors: Mapping[str, Tensor], rank: int) -> None:
    torch.set_rng_state(tensors[_random_name("cpu", rank)])
    if torch.cuda.is_available() and _random_name("cuda", rank) in tensors:
        torch.cuda.set_rng_state(tensors[_random_name("cuda", rank)])


def _optimizer_state(optimizer: torch.optim.Optimizer, tensors: dict[str, Tensor]) -> dict[str, object]:
    """The optimizer's own state dict with the stored tensors put in."""
    state: dict[int, dict[str, Tensor]] = {}
    for name, tensor in tensors.items():
        if name.startswith("optimizer."):
            _, index, key = name.split(".", 2)
            state.setdefault(int(index), {})[key] = tensor
    return {"state": state, "param_groups": optimizer.state_dict()["param_groups"]}
