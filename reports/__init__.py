"""Reports of a run: one report per file, records in, files out.

Each module of this folder with a function `write(run, folder) -> list[Path]` is a report and is run. The figures of a
module with `figures(run) -> list[FigurePage]` are also shown in `index.html`.
"""

from __future__ import annotations

import importlib
import pkgutil
from pathlib import Path
from types import ModuleType

REPORT_FOLDER = "report"


def modules() -> list[ModuleType]:
    """Import the reports of this folder, by name. Helpers lie in `reports.common` or have no `write`."""
    names = sorted(info.name for info in pkgutil.iter_modules(__path__) if not info.ispkg)
    found = [importlib.import_module(f"{__name__}.{name}") for name in names]
    return [module for module in found if hasattr(module, "write")]


def write_all(run_folder: Path, *, force: bool = False) -> list[Path]:
    """Write every report of a run to `<run>/report/` and return the paths of its files.

    Without `force`, nothing is written again while plan, records, statuses and the code of the reports are unchanged.
    Each file is replaced atomically.

    Raises:
        UserError: the folder is no run, or one of its files cannot be read.
    """
    from .common import files

    target = run_folder / REPORT_FOLDER
    digest = files.inputs_digest(run_folder)
    known = files.files_of_digest(target, digest)
    if known and not force:
        return known
    from harness.store.load import load
    from harness.text.clean import cleaned

    run = cleaned(load(run_folder))
    with files.aside(target) as folder:
        written = [path for module in modules() for path in module.write(run, folder)]
        return files.publish(written, target, digest)
