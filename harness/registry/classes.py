"""The rule that a file of one item defines exactly one class."""

from __future__ import annotations

from types import ModuleType
from typing import TypeVar

from harness.errors import UserError

T = TypeVar("T")


def only_subclass(module: ModuleType, base: type[T], what: str) -> type[T]:
    """Return the one subclass of `base` that a module defines. Raises: UserError for none or several."""
    classes = [
        item
        for item in vars(module).values()
        if isinstance(item, type) and issubclass(item, base) and item.__module__ == module.__name__
    ]
    if len(classes) == 1:
        return classes[0]
    found = ", ".join(item.__name__ for item in classes) or "none"
    owner = f"{base.__module__}.{base.__name__}"
    raise UserError(f"{module.__file__}: a {what} file defines exactly one subclass of {owner}; found: {found}")
