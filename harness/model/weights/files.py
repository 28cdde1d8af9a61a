"""Reads files of weights as tensors by name, without running code from the file."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from harness.errors import UserError

#: keys under which training programs store a state dict, and prefixes that wrappers add to every key
CONTAINERS = ("model_state", "state_dict", "model_state_dict", "model")
PREFIXES = ("module.", "model.", "opt/target/")
FLOATS = (torch.float32, torch.float64, torch.float16, torch.bfloat16)
#: integers are read, because files hold tables of indices; they are no weights, see `layout.translate`
DTYPES = (*FLOATS, torch.int64, torch.int32, torch.int16, torch.int8, torch.uint8, torch.bool)


def read_weights(path: Path) -> dict[str, Tensor]:
    """Return name -> tensor of a .safetensors, .pt/.pth/.pyth/.bin or .npz file.

    Loading is safe: pickles through torch's `weights_only`, arrays without objects. A training checkpoint is unwrapped
    (`model_state`, `state_dict`, ...), and a prefix that all names share is removed (`module.`, ...).

    Raises:
        UserError: unknown kind, damaged, unsafe, empty, or a value that is no dense tensor of finite numbers.
    """
    reader = READERS.get(path.suffix.lower())
    if reader is None:
        raise UserError(f"{path}: {path.suffix or 'no'} suffix; allowed: {', '.join(READERS)}")
    try:
        content = reader(path)
    except Exception as error:  # every reader has its own classes for a damaged file
        raise UserError(f"{path}: {_reason(error)}") from error
    state = _without_prefix(_unwrap(content, path))
    if not state:
        raise UserError(f"{path}: the file has no tensors")
    return {name: _tensor(name, value, path) for name, value in state.items()}


def _reason(error: Exception) -> str:
    first = str(error).splitlines()[0] if str(error) else type(error).__name__
    if "weights_only" in str(error) or "allow_pickle" in str(error):
        return (
            "refused: it contains pickled objects, and reading them could run any code. "
            "Save its tensors only, preferably as .safetensors"
        )
    return f"damaged, or not of the kind that its suffix says ({first[:200]})"


def _read_safetensors(path: Path) -> dict[str, Any]:
    from safetensors.torch import load_file

    return dict(load_file(path))


def _read_torch(path: Path) -> Any:
    return torch.load(path, map_location="cpu", weights_only=True)


def _read_npz(path: Path) -> dict[str, Any]:
    with np.load(path, allow_pickle=False) as arrays:
        return {name: torch.from_numpy(np.ascontiguousarray(arrays[name])) for name in arrays.files}


READERS: Mapping[str, Callable[[Path], Any]] = {
    ".safetensors": _read_safetensors,
    ".pt": _read_torch,
    ".pth": _read_torch,
    ".pyth": _read_torch,
    ".bin": _read_torch,
    ".npz": _read_npz,
}


def _unwrap(content: Any, path: Path) -> dict[str, Any]:
    for _ in range(3):
        inner = next(
            (name for name in CONTAINERS if isinstance(content, dict) and isinstance(content.get(name), dict)), None
        )
        if inner is None:
            break
        content = content[inner]
    if not isinstance(content, dict):
        raise UserError(f"{path}: contains a {type(content).__name__}, not tensors by name")
    return content


def _without_prefix(state: dict[str, Any]) -> dict[str, Any]:
    for _ in range(2):
        for prefix in PREFIXES:
            if state and all(str(name).startswith(prefix) for name in state):
                state = {name.removeprefix(prefix): value for name, value in state.items()}
    return state


def _tensor(name: Any, value: Any, path: Path) -> Tensor:
    if not isinstance(name, str) or not isinstance(value, Tensor):
        raise UserError(f"{path}: {name!r} is a {type(value).__name__}, not a named tensor; save tensors only")
    fault = _fault(value)
    if fault is not None:
        raise UserError(f"{path}: {name} {fault}")
    return value.detach()


def _fault(tensor: Tensor) -> str | None:
    """Returns why a tensor of a file cannot be used; no value is read before its storage is known to hold it."""
    kind = _unusual_kind(tensor)
    if kind is not None:
        return f"is a {kind} tensor; save it as a dense tensor in CPU memory"
    if tensor.dtype not in DTYPES:
        allowed = ", ".join(_name(dtype) for dtype in FLOATS)
        return f"has dtype {_name(tensor.dtype)}; convert weights to one of: {allowed}"
    if not tensor.numel():
        return f"has no values (shape {tuple(tensor.shape)}); the file cannot be used"
    if tensor.numel() * tensor.element_size() > tensor.untyped_storage().nbytes():
        return f"has shape {tuple(tensor.shape)}, but the file holds fewer values; save a copy of it (clone)"
    if tensor.is_floating_point() and not bool(tensor.float().isfinite().all()):
        return "has values that are not finite in float32; the file cannot be used"
    return None


def _unusual_kind(tensor: Tensor) -> str | None:
    if tensor.is_nested:
        return "nested"
    if tensor.is_quantized:
        return "quantised"
    if tensor.layout != torch.strided:
        return f"sparse ({_name(tensor.layout)})"
    return None if tensor.device.type == "cpu" else tensor.device.type


def _name(value: torch.dtype | torch.layout) -> str:
    return str(value).removeprefix("torch.")
