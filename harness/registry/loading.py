"""Imports variants: files of a folder as modules of one package per folder, those of an installed package by name.

A file of a folder may import its neighbours, as `from .helper import x` or as `import helper`; both mean the file next
to it, whatever else is called `helper` on `sys.path`. So two folders with helpers of one name can be used together.
"""

from __future__ import annotations

import ast
import hashlib
import importlib
import sys
import sysconfig
from collections.abc import Iterable, Sequence
from importlib.machinery import ModuleSpec, SourceFileLoader
from importlib.util import spec_from_file_location
from pathlib import Path
from types import CodeType, ModuleType
from typing import Any

from harness.code_identity.closure import Closure, entry_module, local_name
from harness.code_identity.imports import imported_by_call
from harness.errors import UserError
from harness.locations import PACKAGE, VARIANTS

#: package -> the folder whose files are its modules
_FOLDERS: dict[str, Path] = {}


def import_file(file: Path, found: Closure) -> ModuleType:
    """Run a variant's file and return its module. Raises: UserError where it imports a module that no package owns."""
    before = set(sys.modules)
    if module := entry_module(file):
        _forget_package(file, found)
        made = importlib.import_module(module)
    else:
        package = _package_of(file.parent)
        _forget_changed(package)
        sys.modules.pop(f"{package}.{file.stem}", None)
        made = importlib.import_module(f"{package}.{file.stem}")
    if loose := _loose(set(sys.modules) - before, found):
        del sys.modules[made.__name__]
        raise UserError(f"{file}: imports {', '.join(loose)}: of no installed package. Put it next to the variant.")
    return made


def _package_of(folder: Path) -> str:
    """Return the package of a folder; makes it where it is new."""
    where = folder.resolve()
    digest = hashlib.sha256(str(where).encode()).hexdigest()[:8]
    package = "harness.variants" if where == VARIANTS else f"harness_variants_{digest}"
    if package not in _FOLDERS:
        _FOLDERS[package] = folder
        made = ModuleType(package)
        made.__path__ = [str(folder)]
        sys.modules[package] = made
        if _Finder not in sys.meta_path:
            sys.meta_path.insert(0, _Finder)
    return package


def _forget_changed(package: str) -> None:
    """Forget the modules of a folder if one of them was edited since it was loaded."""
    loaded = {name: module for name, module in sys.modules.items() if name.startswith(f"{package}.")}
    if any(_is_changed(module) for module in loaded.values()):
        for name in loaded:
            _forget(name)


def _is_changed(module: ModuleType) -> bool:
    loader = getattr(module, "__loader__", None)
    try:
        return isinstance(loader, _Loader) and loader.content != Path(loader.path).read_bytes()
    except OSError:
        return True


def _forget_package(file: Path, found: Closure) -> None:
    """Forget the loaded modules of a package that a variant imports: they are read again."""
    files = {str(path) for path in (file, *found.files.values())}
    for name, module in list(sys.modules.items()):
        if name.partition(".")[0] in found.packages and getattr(module, "__file__", None) in files:
            _forget(name)


def _forget(name: str) -> None:
    """Drop a loaded module, also as an attribute of its package: `from package import module` takes that first."""
    del sys.modules[name]
    package, _, last = name.rpartition(".")
    if package in sys.modules:
        vars(sys.modules[package]).pop(last, None)


class _Finder:
    """Finds the modules of the folders of variants."""

    @classmethod
    def find_spec(cls, fullname: str, path: Sequence[str] | None = None, target: Any = None) -> ModuleSpec | None:
        package = next((name for name in _FOLDERS if fullname.startswith(f"{name}.")), None)
        if package is None:
            return None
        place = _FOLDERS[package] / fullname.removeprefix(f"{package}.").replace(".", "/")
        inside = place / "__init__.py"
        file = inside if inside.is_file() else place.with_name(f"{place.name}.py")
        if file.is_file():
            where = [str(place)] if file == inside else None
            loader = _Loader(fullname, str(file), package)
            return spec_from_file_location(fullname, file, loader=loader, submodule_search_locations=where)
        return None  # compiled modules and folders without __init__ are left to the path of their package


class _Loader(SourceFileLoader):
    """Loads a module of a folder of variants from its source; absolute imports of neighbours mean the neighbours."""

    def __init__(self, fullname: str, path: str, package: str):
        super().__init__(fullname, path)
        self.package = package
        self.content = b""

    def get_code(self, fullname: str) -> CodeType:
        self.content = Path(self.path).read_bytes()
        tree = _Neighbours(self.package).visit(ast.parse(self.content, self.path))
        return compile(ast.fix_missing_locations(tree), self.path, "exec", dont_inherit=True)


class _Neighbours(ast.NodeTransformer):
    """Turns absolute imports of modules of a folder into imports from its package."""

    def __init__(self, package: str):
        self.package, self.folder = package, _FOLDERS[package]

    def visit_Import(self, node: ast.Import) -> list[ast.stmt]:
        kept = [alias for alias in node.names if not local_name(self.folder, alias.name)]
        made: list[ast.stmt] = [ast.Import(kept)] if kept else []
        for alias in node.names:
            if alias not in kept:
                parent, _, last = alias.name.rpartition(".")
                top = alias.name.partition(".")[0]
                if parent:
                    made.append(self._from(parent, last, alias.asname or f"_{last}"))
                if not alias.asname or not parent:
                    made.append(self._from("", top, alias.asname))
        return [ast.copy_location(item, node) for item in made]

    def _from(self, module: str, name: str, asname: str | None) -> ast.ImportFrom:
        return ast.ImportFrom(f"{self.package}.{module}".rstrip("."), [ast.alias(name, asname)], 0)

    def visit_ImportFrom(self, node: ast.ImportFrom) -> ast.ImportFrom:
        if not node.level and node.module and local_name(self.folder, node.module):
            node.module = f"{self.package}.{node.module}"
        return node

    def visit_Call(self, node: ast.Call) -> ast.AST:
        self.generic_visit(node)
        named = imported_by_call(node)
        if named and not named.level and local_name(self.folder, named.module):
            node.args[0] = ast.Constant(f"{self.package}.{named.module}")
        return node


def _loose(new: Iterable[str], found: Closure) -> list[str]:
    """Return the newly imported top-level modules that lie neither in a package nor with the variant."""
    loose = []
    for top in sorted({name.partition(".")[0] for name in new}):
        origin = getattr(sys.modules.get(top), "__file__", None)
        known = top in found.packages or top == "harness" or top in sys.stdlib_module_names or top in _FOLDERS
        if origin and not known and not _is_installed(Path(origin)):
            loose.append(f"{top} ({origin})")
    return loose


def _is_installed(file: Path) -> bool:
    """Return whether a module lies in Python itself, in the harness, or in a folder where packages are installed."""
    owners = (Path(sysconfig.get_path("stdlib")), PACKAGE)
    if any(file.is_relative_to(owner) for owner in owners):
        return True
    entries = {Path(entry) for entry in sys.path if entry}
    return any(parent in entries and any(parent.glob("*.dist-info")) for parent in file.parents)
