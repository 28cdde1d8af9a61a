"""Where the files of the harness lie: in a source tree (a clone or a copy of one), or installed from a wheel.

A source tree has `variants/`, `sweeps/` and `recipes/` next to `harness/`. A wheel has them inside the package, as
`harness/variants/`, `harness/shipped/sweeps/` and `harness/shipped/recipes/`.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

PACKAGE = Path(__file__).resolve().parent
#: the root of the source tree; None for an installed wheel
TREE: Path | None = None if (PACKAGE / "variants").is_dir() else PACKAGE.parent

_SHIPPED = TREE or PACKAGE / "shipped"
VARIANTS = (TREE or PACKAGE) / "variants"
SWEEPS = _SHIPPED / "sweeps"
RECIPES = _SHIPPED / "recipes"
#: names of checkpoint layouts are read from here at planning, which does not import them: they need torch
WEIGHT_LAYOUTS = PACKAGE / "model/weights/layouts"
# folders that lie inside the package only in a wheel
_INSIDE_WHEEL = ("variants", "reports", "shipped")


def source_files(pattern: str) -> Iterator[tuple[str, Path]]:
    """Yields (name, file) for the harness and its variants, with the names of a source tree wherever they lie."""
    for folder, name in ((PACKAGE, "harness"), (VARIANTS, "variants")):
        for path in sorted(folder.rglob(pattern)):
            inside = path.relative_to(folder)
            if folder != PACKAGE or inside.parts[0] not in _INSIDE_WHEEL:
                yield f"{name}/{inside.as_posix()}", path


def new_variants_folder() -> Path:
    """Returns the folder for new variants: `variants/` at the root of a source tree, elsewhere the current folder."""
    return VARIANTS if Path.cwd().resolve() == TREE else Path(".")
