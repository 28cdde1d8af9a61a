"""Public names are documented: 95 % of the modules, classes, functions and methods have a docstring."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
FOLDERS = ("harness", "variants", "reports")
#: the functions of a verb, which harness/cli/__init__.py documents for all of them
OF_A_VERB = {"add_arguments", "run"}
#: documented by a base class outside of the tree: torch.nn.Module, torch.autograd.Function
OUTSIDE = {"forward"}
Definition = ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef


@dataclass
class Class:
    """A class of the tree: names of its bases, and its public methods with whether each has a docstring."""

    bases: list[str]
    methods: dict[str, bool] = field(default_factory=dict)


def public(node: ast.Module | ast.ClassDef) -> Iterator[Definition]:
    for item in node.body:
        if isinstance(item, Definition) and not item.name.startswith("_"):
            yield item


def name_of(base: ast.expr) -> str:
    """Returns the last part of the name of a base class: `a.B[C]` is B."""
    base = base.value if isinstance(base, ast.Subscript) else base
    return base.attr if isinstance(base, ast.Attribute) else getattr(base, "id", "")


def classes_of(trees: dict[str, ast.Module]) -> dict[str, Class]:
    found: dict[str, Class] = {}
    for tree in trees.values():
        for node in ast.walk(tree):
            if isinstance(node, ast.ClassDef):
                known = found.setdefault(node.name, Class([]))
                known.bases += [name_of(base) for base in node.bases]
                known.methods |= {item.name: bool(ast.get_docstring(item)) for item in public(node)}
    return found


def inherited(method: str, owner: str, classes: dict[str, Class], seen: tuple[str, ...] = ()) -> bool:
    """Returns True if a base class documents the method, so that `help` shows that text."""
    if owner not in classes or owner in seen:
        return False
    for base in classes[owner].bases:
        known = classes.get(base)
        if known and (known.methods.get(method) or inherited(method, base, classes, (*seen, owner))):
            return True
    return False


def undocumented(trees: dict[str, ast.Module]) -> tuple[int, list[str]]:
    """Returns the number of public names, and those without a docstring of their own or of a base class."""
    classes, count, missing = classes_of(trees), 0, []
    for file, tree in trees.items():
        count += 1
        missing += [] if ast.get_docstring(tree) else [file]
        for item in public(tree):
            verb = file.startswith("harness/cli/") and item.name in OF_A_VERB
            count += 1
            missing += [] if verb or ast.get_docstring(item) else [f"{file}: {item.name}"]
            for method in public(item) if isinstance(item, ast.ClassDef) else ():
                known = ast.get_docstring(method) or method.name in OUTSIDE
                count += 1
                if not known and not inherited(method.name, item.name, classes):
                    missing.append(f"{file}: {item.name}.{method.name}")
    return count, missing


def test_public_names_have_docstrings() -> None:
    files = [path for folder in FOLDERS for path in sorted((ROOT / folder).rglob("*.py"))]
    trees = {path.relative_to(ROOT).as_posix(): ast.parse(path.read_text(encoding="utf-8")) for path in files}
    count, missing = undocumented(trees)
    assert count > 1000
    assert 1 - len(missing) / count >= 0.95, f"{len(missing)} of {count} have none:\n" + "\n".join(missing)


def test_what_counts_as_documented() -> None:
    source = '''
class Base:
    """A base."""
    def said(self):
        """Says."""
class Child(Base):
    def said(self): ...
    def unsaid(self): ...
    def _private(self): ...
def bare(): ...
'''
    assert undocumented({"a.py": ast.parse(source)}) == (
        6 + 1,
        ["a.py", "a.py: Child", "a.py: Child.unsaid", "a.py: bare"],
    )
