"""Ablations of video-transformer attention: plan, run, count, measure, report.

The functions below are the Python API, see docs/python.md; the command line calls them too. They are loaded when they
are first used: `import harness` imports neither torch nor pandas.
"""

from __future__ import annotations

import importlib
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
