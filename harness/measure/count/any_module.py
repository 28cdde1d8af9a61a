"""Costs of any torch module, given by import path and shapes of its inputs, counted on the meta device."""

from __future__ import annotations

import copy
import importlib
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor, nn

from harness.errors import UserError, did_you_mean
from harness.measure.count.backward import count_backward
from harness.measure.count.fvcore_adapter import count_macs
from harness.measure.count.ledger import Ledger
from harness.measure.count.macs import flop_counter_macs, summarise
from harness.record import MacsCount

_DTYPES = {"float32": torch.float32, "float16": torch.float16, "bfloat16": torch.bfloat16, "float64": torch.float64,
           "uint8": torch.uint8, "int32": torch.int32, "int64": torch.int64, "bool": torch.bool}  # fmt: skip


@dataclass(frozen=True)
class InputShape:
    """Shape, with the batch, and type of one input."""

    shape: tuple[int, ...]
    dtype: torch.dtype

    def tensor(self) -> Tensor:
        """Return the input: zeros, or on the meta device a tensor without memory."""
        return torch.zeros(self.shape, dtype=self.dtype)


@dataclass(frozen=True)
class ModuleCost:
    """Count of one forward pass with the given inputs, the device, and why it was not the meta device."""

    macs: MacsCount
    ledger: Ledger
    num_parameters: int
    device: str
    not_on_meta: str = ""


def parse_input(text: str) -> InputShape:
    """Parse '1x8x3x224x224:uint8' into shape and type, float32 by default. Raises: UserError."""
    found = re.fullmatch(r"(\d+(?:x\d+)*)(?::(\w+))?", text)
    dtype = found and (found[2] or "float32")
    if not found or dtype not in _DTYPES:
        raise UserError(f"--input {text}: write sizes and perhaps a type, e.g. 1x3x224x224:float32. "
                        f"Types: {', '.join(_DTYPES)}.")  # fmt: skip
    return InputShape(tuple(map(int, found[1].split("x"))), _DTYPES[dtype])


def find(path: str) -> Any:
    """Import the object 'package.module:name'. Raises: UserError if there is none."""
    where, _, name = path.partition(":")
    try:
        found = importlib.import_module(where)
    except ImportError as error:
        raise UserError(f"{path}: {where} cannot be imported ({error}). Give package.module:name.") from error
    if not hasattr(found, name):
        raise UserError(f"{path}: {where} has no {name}.{did_you_mean(name, dir(found))}")
    return getattr(found, name)


def _build(path: str, thing: Any) -> nn.Module:
    """The module itself, as a copy, or what the class or function returns when called."""
    module = copy.deepcopy(thing) if isinstance(thing, nn.Module) else thing() if callable(thing) else None
    if not isinstance(module, nn.Module):
        raise UserError(f"{path}: is no torch.nn.Module, and returns none when called without arguments.")
    return module


def module_cost(module: str | nn.Module, inputs: Sequence[InputShape], *, backward: bool = False) -> ModuleCost:
    """Count a module on the meta device, or on the CPU if it does not run there (data-dependent operators).

    Raises:
        UserError: it cannot be found, or runs on neither with these inputs.
    """
    path, thing = (module, find(module)) if isinstance(module, str) else (type(module).__name__, module)
    try:
        return _count(path, thing, inputs, "meta", backward)
    except UserError:
        raise
    except Exception as error:  # whatever the module raises: it is not our code
        reason = _first_line(error)
    try:
        cost = _count(path, thing, inputs, "cpu", backward)
    except UserError:
        raise
    except Exception as error:
        raise UserError(f"{path}: does not run with these inputs: {_first_line(error)}") from error
    return replace(cost, not_on_meta=reason)


def _first_line(error: Exception) -> str:
    return f"{type(error).__name__}: {error}".splitlines()[0]


def _count(path: str, thing: Any, inputs: Sequence[InputShape], device: str, backward: bool) -> ModuleCost:
    with torch.device(device):
        try:
            module = _build(path, thing).eval().to(device)
        except TypeError as error:
            what = f"cannot be made without arguments: {_first_line(error)}"
            raise UserError(f"{path}: {what}. Give a function that returns the module, e.g. my_file:build.") from error
        tensors = [item.tensor() for item in inputs]
    ledger = count_macs(module, *tensors)
    back = count_backward(module, *tensors, forward=ledger) if backward else None
    count = summarise(ledger, flop_counter_macs(module, *tensors), None, None, back)
    return ModuleCost(count, ledger, sum(p.numel() for p in module.parameters()), device)
