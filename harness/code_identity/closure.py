"""The code of a variant: its file, what it imports from its own folder or package, installed distributions."""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from importlib.machinery import ModuleSpec
from importlib.metadata import entry_points
from pathlib import Path

from harness.code_identity.distributions import distribution_of, is_editable
from harness.code_identity.folders import source_files_of
from harness.code_identity.imports import Import, imports_in, resolve
from harness.locations import VARIANTS

ENTRY_POINT_GROUP = "harness.variants"
#: distributions whose versions are in the environment of every record
RECORDED = {"torch", "numpy", "einops"}
API = ("harness.api",)


@dataclass
class Closure:
    """The code of a variant. `files`: name -> file, the variant's own excepted.

    `distributions`: `name==version`. `packages`: top-level packages of the variant's own code: name -> folder or file.
    `refused`: (file, line, reason) of imports that no identity can cover.
    """

    files: dict[str, Path] = field(default_factory=dict)
    distributions: set[str] = field(default_factory=set)
    packages: dict[str, Path] = field(default_factory=dict)
    refused: list[tuple[Path, int, str]] = field(default_factory=list)


def closure_of(file: Path) -> Closure:
    """Return the code that a variant's file imports, found by reading files; nothing is imported."""
    module = entry_module(file)
    search = _Search(file, module)
    if module:
        search.add_package(module.partition(".")[0], file.parents[module.count(".") + (file.name == "__init__.py")])
        search.follow(search.roots[module.partition(".")[0]], module)
    search.run()
    return search.found


def entry_module(file: Path) -> str:
    """Return the module under which an installed package offers a variant's file; empty for a file of a folder."""
    if file.parent == VARIANTS:
        return ""
    for point in entry_points(group=ENTRY_POINT_GROUP):
        stem = point.module.replace(".", "/")
        if file.as_posix().endswith((f"/{stem}.py", f"/{stem}/__init__.py")):
            return point.module
    return ""


def local_name(folder: Path, dotted: str) -> bool:
    """Return whether an absolute import means a module of this folder: nothing installed has its name."""
    top = dotted.partition(".")[0]
    if not top or top == "harness" or top in sys.stdlib_module_names or top in RECORDED or not _is_in(folder, top):
        return False
    spec = find_spec(top)
    return spec is None or distribution_of(top) is None


def find_spec(top: str) -> ModuleSpec | None:
    """Return the specification of a top-level module; None where there is none."""
    try:
        return importlib.util.find_spec(top)
    except (ImportError, ValueError):
        return None


def _is_in(folder: Path, top: str) -> bool:
    files, is_there = resolve(folder, top)
    return is_there and (bool(files) or any((folder / top).glob("*.py")))


class _Search:
    """Follows imports from file to file."""

    def __init__(self, file: Path, module: str):
        self.file, self.folder = file, None if module else file.parent
        self.found = Closure()
        self.roots: dict[str, Path] = {}  # top-level name of an own package -> the folder that it lies in
        self.waiting = [file]
        self.seen = {file}

    def run(self) -> None:
        while self.waiting:
            file = self.waiting.pop()
            inside = imports_in(file.read_bytes()) if file.suffix == ".py" else None
            if inside is None:
                continue
            for item in inside.imports:
                self._import(file, item)
            if inside.is_open:
                self._add_all(file)

    def follow(self, root: Path, dotted: str, names: tuple[str, ...] = ()) -> bool:
        """Adds a module under a folder, and those of `names` that are its submodules; returns whether it is there."""
        files, is_there = resolve(root, dotted)
        for name in names:
            files += resolve(root, f"{dotted}.{name}".lstrip("."))[0]
        for file in files:
            self._add(file, root, follow=True)
        if "*" in names and files and files[-1].name == "__init__.py":
            self._add_all(files[-1])
        return is_there

    def add_package(self, top: str, root: Path) -> None:
        """Makes a top-level package part of the variant's own code."""
        self.roots[top] = root
        folder = root / top
        self.found.packages[top] = folder if folder.is_dir() else root / f"{top}.py"

    def _add(self, file: Path, root: Path, *, follow: bool) -> None:
        if file != self.file:
            self.found.files[file.relative_to(root).as_posix()] = file
        if follow and file not in self.seen:
            self.seen.add(file)
            self.waiting.append(file)

    def _add_all(self, file: Path) -> None:
        """Adds every file of the folder or package that a file belongs to."""
        root = self._root_of(file)
        top = self.folder or root / file.relative_to(root).parts[0]
        for _, path in source_files_of(top) if top.is_dir() else ():
            self._add(path, root, follow=False)

    def _root_of(self, file: Path) -> Path:
        return self.folder or next(root for root in self.roots.values() if file.is_relative_to(root))

    def _import(self, file: Path, item: Import) -> None:
        if item.level:
            self._relative(file, item)
            return
        top = item.module.partition(".")[0]
        if top == "harness":
            self._check_room(file, item)
        elif top in self.roots:
            self.follow(self.roots[top], item.module, item.names)
        elif self.folder is not None and local_name(self.folder, item.module):
            self.follow(self.folder, item.module, item.names)
        elif top not in sys.stdlib_module_names and top not in RECORDED:
            self._outside(file, item, top)

    def _relative(self, file: Path, item: Import) -> None:
        root, place = self._root_of(file), file.parent
        for _ in range(item.level - 1):
            place = place.parent
        if not place.is_relative_to(root) or (self.folder is None and place == root):
            self._refuse(file, item, f"{'.' * item.level}{item.module} lies outside the variant's own folder")
            return
        prefix = place.relative_to(root).parts
        self.follow(root, ".".join([*prefix, *filter(None, [item.module])]), item.names)

    def _check_room(self, file: Path, item: Import) -> None:
        asked = [f"{item.module}.{name}" for name in item.names] or [item.module]
        for name in asked:
            if not (name == API[0] or name.startswith(API[0] + ".")):
                self._refuse(file, item, f"{name} is private to the harness. A variant imports harness.api only")

    def _outside(self, file: Path, item: Import, top: str) -> None:
        spec = find_spec(top)
        if spec is None:
            return  # an optional import that is absent, or the import itself fails
        found = distribution_of(top)
        places = [*(spec.submodule_search_locations or ()), *([spec.origin] if spec.origin else [])]
        if found is not None and not is_editable(found):
            self.found.distributions.add(f"{found.name}=={found.version}")
        elif found is not None and places:
            self.add_package(top, Path(places[0]).parent)
            self.follow(self.roots[top], item.module, item.names)
        else:
            place = places[0] if places else "nowhere"
            self._refuse(
                file, item,
                f"{top} comes from {place}, which belongs to no installed package: no result could say which code made "
                f"it. Put it into the folder of the variant, or install it as a package",
            )  # fmt: skip

    def _refuse(self, file: Path, item: Import, reason: str) -> None:
        self.found.refused.append((file, item.line, reason))


def refusals(found: Closure) -> Iterator[str]:
    """Yield a message for each import that is refused."""
    for file, line, reason in found.refused:
        yield f"{file}:{line}: {reason}."
