"""Plant bugs in code that is already loaded, and run a check of the contract on it."""

from __future__ import annotations

import sys
from types import FunctionType, ModuleType

import pytest

from harness.contract import CHECKS, Broken, Case


def is_red(check: str, case: Case) -> bool:
    """Return whether a check of the contract fails on a case."""
    try:
        CHECKS[check](case)
    except Broken:
        return True
    return False


def functions_of(module: ModuleType) -> dict[str, FunctionType]:
    """Return the functions and methods that a module defines, by their qualified names."""
    scopes = [module, *(item for item in vars(module).values() if isinstance(item, type))]
    found = [item for scope in scopes for item in vars(scope).values() if isinstance(item, FunctionType)]
    return {function.__qualname__: function for function in found if function.__module__ == module.__name__}


def plant_in_shared_code(file: str, text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Give the functions of a loaded module the code of an edited text, even where they were imported before."""
    name = file.removesuffix(".py").replace("/", ".")
    edited = ModuleType(name)
    monkeypatch.setitem(sys.modules, name, edited)  # dataclasses search their module here
    exec(compile(text, file, "exec"), vars(edited))
    monkeypatch.undo()
    for qualified, function in functions_of(edited).items():
        monkeypatch.setattr(functions_of(sys.modules[name])[qualified], "__code__", function.__code__)
