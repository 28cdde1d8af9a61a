"""Ablations of video-transformer attention: plan, run, count, measure, report.

The functions below are the Python API, see docs/python.md; the command line calls them too. They are loaded when they
are first used: `import harness` imports neither torch nor pandas.
"""

from __future__ import annotations

import importlib
import sys
from collections.abc import Sequence
from importlib.machinery import ModuleSpec
from importlib.util import spec_from_file_location
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from harness.errors import UserError as UserError
    from harness.python_api.checks import check as check
    from harness.python_api.costs import count as count
    from harness.python_api.costs import count_module as count_module
    from harness.python_api.plans import plan as plan
    from harness.python_api.plans import run as run
    from harness.python_api.results import load as load
    from harness.python_api.results import report as report
    from harness.python_api.timing import compare as compare
    from harness.python_api.timing import time_variants as time_variants

__version__ = "0.1.0"

#: name -> the module that has it. No name is that of a module or package of harness: importing that would replace it
_API = {
    "UserError": "harness.errors",
    "check": "harness.python_api.checks",
    "compare": "harness.python_api.timing",
    "count": "harness.python_api.costs",
    "count_module": "harness.python_api.costs",
    "load": "harness.python_api.results",
    "plan": "harness.python_api.plans",
    "report": "harness.python_api.results",
    "run": "harness.python_api.plans",
    "time_variants": "harness.python_api.timing",
}
__all__ = ["UserError", "check", "compare", "count", "count_module", "load", "plan", "report", "run", "time_variants"]


def __getattr__(name: str) -> Any:
    if name not in _API:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(_API[name]), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})


class _OwnFolders:
    """Finds `harness.reports` and `harness.variants` next to this package where it lies in a source tree.

    An editable install knows these folders of one checkout only, and would give them to every other one.
    """

    @staticmethod
    def find_spec(fullname: str, path: Sequence[str] | None = None, target: Any = None) -> ModuleSpec | None:
        package = Path(__file__).resolve().parent
        name = fullname.removeprefix("harness.")
        if name not in ("reports", "variants") or fullname == name or (package / name).is_dir():
            return None
        file = package.parent / name / "__init__.py"
        if not file.is_file():
            raise ModuleNotFoundError(f"{fullname}: there is no {file}", name=fullname)
        return spec_from_file_location(fullname, file, submodule_search_locations=[str(file.parent)])


sys.meta_path.insert(0, _OwnFolders)
