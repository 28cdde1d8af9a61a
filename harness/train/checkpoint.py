"""Saves and loads checkpoints: the complete training state. The newest and the one before it are kept."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from harness.store import previous_checkpoint
from harness.train import checkpoint_file
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

    @classmethod
    def of(cls, text: str) -> Progress:
        """Returns the progress that a checkpoint holds as JSON. Raises: an exception for any other text."""
        content = json.loads(text)
        curve = [(int(step), float(loss)) for step, loss in content["loss_curve"]]
        codes = [str(code) for code in content["codes"]]
        step, num_resumes = int(content["step"]), int(content["num_resumes"])
        if step < 0 or num_resumes < 0:
            raise ValueError(f"step {step}, {num_resumes} resumes")
        return cls(step, curve, float(content["duration_s"]), num_resumes, codes)


class _State(NamedTuple):
    progress: Progress
    tensors: dict[str, Tensor]


def save(
    path: Path,
    model: nn.Module,
    optimizer: torch.optim.Optimizer,
    progress: Progress,
    group: Group = SINGLE_PROCESS,
    trial_id: str = "",
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
    checkpoint_file.write(path, tensors, {"progress": json.dumps(asdict(progress)), "trial": trial_id})


def load(
    path: Path,
    model: nn.Module,
    optimizer: torch.optim.Optimizer,
    group: Group = SINGLE_PROCESS,
    trial_id: str = "",
    on_fallback: Callable[[str], None] = print,
) -> Progress | None:
    """Restores the newest usable checkpoint and returns its progress; returns None, and changes nothing, without one.

    All ranks must call it. Rank 0 reads the file for all, so that they resume from the same state, and calls
    `on_fallback` with a message if the newest file cannot be used.
    """
    state = group.from_first(lambda: _newest(path, model, optimizer, group.size, trial_id, on_fallback))
    if state is None:
        return None
    progress, tensors = state
    model.load_state_dict(_of_model(tensors))
    optimizer.load_state_dict(_optimizer_state(optimizer, tensors))
    _set_random_state(tensors, group.rank)
    progress.num_resumes += 1
    return progress


def _newest(
    path: Path,
    model: nn.Module,
    optimizer: torch.optim.Optimizer,
    num_ranks: int,
    trial_id: str,
    on_fallback: Callable[[str], None],
) -> _State | None:
    """Returns the state of the first of the two files that can be used."""
    faults: list[str] = []
    for file in (path, previous_checkpoint(path)):
        try:
            texts, tensors = checkpoint_file.read(file)
            state = _State(Progress.of(texts["progress"]), tensors)
            fault = _misfit(texts.get("trial", trial_id), trial_id, tensors, model, optimizer, num_ranks)
            if fault is None:
                if file != path:
                    said = "; ".join(faults) or f"{path.name} is missing"
                    on_fallback(f"{said}: training resumes from the older checkpoint, at step {state.progress.step}")
                return state
            faults.append(f"{file.name} cannot be used ({fault})")
        except FileNotFoundError:
            continue
        except Exception as error:  # the format, JSON and torch have their own classes for damaged content
            faults.append(f"{file.name} is damaged ({str(error) or type(error).__name__})")
    if faults:
        on_fallback(f"{'; '.join(faults)}: training restarts from step 0")
    return None


def _misfit(
    owner: str,
    trial_id: str,
    tensors: Mapping[str, Tensor],
    model: nn.Module,
    optimizer: torch.optim.Optimizer,
    num_ranks: int,
) -> str | None:
    """Returns why a whole file is not one of this trial; None if it fits. Nothing is restored before all of it fits."""
    if owner != trial_id:
        return f"it belongs to trial {owner}"
    ours, theirs = _kinds(model.state_dict()), _kinds(_of_model(tensors))
    if ours != theirs:
        return f"{min(name for name, _ in set(ours.items()) ^ set(theirs.items()))} differs from that of the model"
    parameters = [parameter for of_group in optimizer.param_groups for parameter in of_group["params"]]
    state: dict[int, dict[str, Tensor]] = _optimizer_state(optimizer, tensors)["state"]
    for index, values in state.items():
        shapes = {(), tuple(parameters[index].shape)}
        if not all(tuple(value.shape) in shapes for value in values.values()):
            return f"the state of the optimizer for parameter {index} has another shape"
    if len({frozenset(values) for values in state.values()}) > 1:
        return "the state of the optimizer is incomplete"
    random = _kinds({"cpu": torch.get_rng_state()})["cpu"]
    if any(_kinds(tensors).get(_random_name("cpu", rank)) != random for rank in range(num_ranks)):
        return "it lacks the random state of a process"
    return None


def _kinds(tensors: Mapping[str, Tensor]) -> dict[str, tuple[torch.Size, torch.dtype]]:
    return {name: (tensor.shape, tensor.dtype) for name, tensor in tensors.items()}


def _of_model(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return {name[6:]: tensor for name, tensor in tensors.items() if name.startswith("model.")}


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


def _optimizer_state(optimizer: torch.optim.Optimizer, tensors: Mapping[str, Tensor]) -> dict[str, Any]:
    """Returns the state dict of the optimizer with the stored tensors."""
    state: dict[int, dict[str, Tensor]] = {}
    for name, tensor in tensors.items():
        if name.startswith("optimizer."):
            _, index, key = name.split(".", 2)
            state.setdefault(int(index), {})[key] = tensor
    return {"state": state, "param_groups": optimizer.state_dict()["param_groups"]}
