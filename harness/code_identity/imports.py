"""What a Python file imports, by its text: names, lines, and whether it can reach files that the text does not name."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

#: names with which code reads or runs files that no import statement names
_READERS = {
    "__file__", "__import__", "__loader__", "__path__", "__spec__", "exec", "eval", "open", "compile", "import_module",
    "read_text", "read_bytes", "get_data", "load_library", "spec_from_file_location",
}  # fmt: skip
#: methods of objects that are harmless under a name that is not
_METHODS = {"eval", "compile"}
_READER_MODULES = ("importlib.resources", "importlib.util", "importlib.machinery", "pkgutil", "runpy", "zipimport")


@dataclass(frozen=True)
class Import:
    """One imported module: its dotted name (`level` dots before it), the line, and what is taken from it."""

    module: str
    level: int
    line: int
    names: tuple[str, ...] = ()


@dataclass(frozen=True)
class FileImports:
    """All imports of a file. `is_open`: it reads files or imports modules under names that are computed."""

    imports: tuple[Import, ...]
    is_open: bool


@lru_cache(maxsize=512)
def imports_in(content: bytes) -> FileImports:
    """Return the imports of a file's content, at the top or inside functions; none for invalid Python."""
    try:
        tree = ast.parse(content)
    except (SyntaxError, ValueError):
        return FileImports((), False)
    found, literal = [], set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and (named := imported_by_call(node)):
            found.append(named)
            literal.add(id(node.func))
    found += [item for node in ast.walk(tree) for item in _imports_of(node)]
    is_open = any(_reads(node) for node in ast.walk(tree) if id(node) not in literal)
    return FileImports(tuple(found), is_open or any(_is_reader(item) for item in found))


def imported_by_call(node: ast.Call) -> Import | None:
    """Return the module of `import_module("literal")`, relative to the package of the file where it has dots."""
    named = getattr(node.func, "attr", None) or getattr(node.func, "id", None)
    first = node.args[0] if node.args else None
    if named != "import_module" or not isinstance(first, ast.Constant) or not isinstance(first.value, str):
        return None
    module = first.value.lstrip(".")
    return Import(module, len(first.value) - len(module), node.lineno)


def _imports_of(node: ast.AST) -> Iterator[Import]:
    if isinstance(node, ast.Import):
        yield from (Import(alias.name, 0, node.lineno) for alias in node.names)
    elif isinstance(node, ast.ImportFrom):
        yield Import(node.module or "", node.level, node.lineno, tuple(alias.name for alias in node.names))
    elif isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id == "harness":
        yield Import(f"harness.{node.attr}", 0, node.lineno)


def _reads(node: ast.AST) -> bool:
    if isinstance(node, ast.Name):
        return node.id in _READERS
    return isinstance(node, ast.Attribute) and node.attr in _READERS - _METHODS


def _is_reader(item: Import) -> bool:
    modules = [item.module, *(f"{item.module}.{name}" for name in item.names)]
    return not item.level and any(module.startswith(_READER_MODULES) for module in modules)


def resolve(folder: Path, dotted: str) -> tuple[list[Path], bool]:
    """Return the files that importing a module under a folder runs, and whether the module is there."""
    files: list[Path] = []
    place = folder
    for part in dotted.split(".") if dotted else ():
        place = place / part
        if place.is_dir():
            files += [place / "__init__.py"] if (place / "__init__.py").is_file() else []
            continue
        module = module_file(place)
        return ([*files, module], True) if module else (files, False)
    return files, True


def module_file(stem: Path) -> Path | None:
    """Return the file of a module, Python or compiled, given its path without suffix."""
    exact = stem.with_name(stem.name + ".py")
    if exact.is_file():
        return exact
    return next((path for path in sorted(stem.parent.glob(f"{stem.name}.*")) if path.suffix in (".so", ".pyd")), None)
