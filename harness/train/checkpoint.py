"""Checkpoints: everything that the next step depends on, in one safetensors file, written aside and renamed."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

from harness.store import written_aside


@dataclass
class Progress:
    """How far training is, and what has been seen on the way."""

    step: int = 0
    loss_curve: list[tuple[int, float]] = field(default_factory=list)
    duration_s: float = 0.0
    num_resumes: int = 0


def save(path: Path, model: nn.Module, optimizer: torch.optim.Optimizer, progress: Progress) -> None:
    """Writes model, optimizer, random state and progress."""
    tensors: dict[str, Tensor] = {f"model.{name}": tensor for name, tensor in model.state_dict().items()}
    for index, state in optimizer.state_dict()["state"].items():
        tensors |= {f"optimizer.{index}.{key}": value for key, value in state.items() if isinstance(value, Tensor)}
    tensors["random.cpu"] = torch.get_rng_state()
    if torch.cuda.is_available():
        tensors["random.cuda"] = torch.cuda.get_rng_state()
    tensors = {name: tensor.detach().cpu().contiguous().clone() for name, tensor in tensors.items()}
    with written_aside(path) as aside:
        save_file(tensors, str(aside), metadata={"progress": json.dumps(asdict(progress))})


def load(path: Path, model: nn.Module, optimizer: torch.optim.Optimizer) -> Progress | None:
    """Restores what `save` wrote and returns the progress; None, with nothing changed, for no or a damaged file."""
    try:
        with safe_open(str(path), framework="pt") as file:
            progress = json.loads(file.metadata()["progress"])
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (not a mapping)
    except FileNotFoundError:
        return None
    except (SafetensorError, OSError, ValueError, KeyError, TypeError) as error:
        print(f"{path.name} is damaged ({error}): training starts from the beginning", flush=True)
        return None
    model.load_state_dict({name[6:]: tensor for name, tensor in tensors.items() if name.startswith("model.")})
    optimizer.load_state_dict(_optimizer_state(optimizer, tensors))
    torch.set_rng_state(tensors["random.cpu"])
    if torch.cuda.is_available() and "random.cuda" in tensors:
        torch.cuda.set_rng_state(tensors["random.cuda"])
    curve = [(int(step), float(loss)) for step, loss in progress["loss_curve"]]
    return Progress(progress["step"], curve, progress["duration_s"], progress["num_resumes"] + 1)


def _optimizer_state(optimizer: torch.optim.Optimizer, tensors: dict[str, Tensor]) -> dict[str, object]:
    """The optimizer's own state dict with the stored tensors put in."""
    state: dict[int, dict[str, Tensor]] = {}
    for name, tensor in tensors.items():
        if name.startswith("optimizer."):
            _, index, key = name.split(".", 2)
            state.setdefault(int(index), {})[key] = tensor
    return {"state": state, "param_groups": optimizer.state_dict()["param_groups"]}
