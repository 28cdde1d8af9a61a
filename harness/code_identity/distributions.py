"""Which installed distribution offers a module. The full table is slow to build, so likely names are tried first."""

from __future__ import annotations

import json
from functools import cache
from importlib.metadata import Distribution, PackageNotFoundError, distribution, packages_distributions


@cache
def distribution_of(top: str) -> Distribution | None:
    """Return the distribution that offers a top-level module, or None."""
    for name in (top, top.replace("_", "-")):
        found = _distribution(name)
        if found is not None and top in _offered(found):
            return found
    names = _table().get(top)
    return _distribution(names[0]) if names else None


def is_editable(found: Distribution) -> bool:
    """Return whether a distribution is installed as a link to its source, whose version says nothing of its code."""
    try:
        origin = json.loads(found.read_text("direct_url.json") or "{}")
    except ValueError:
        return False
    return bool(isinstance(origin, dict) and origin.get("dir_info", {}).get("editable"))


@cache
def _table() -> dict[str, list[str]]:
    return dict(packages_distributions())


def _distribution(name: str) -> Distribution | None:
    try:
        return distribution(name)
    except (PackageNotFoundError, ValueError):
        return None


def _offered(found: Distribution) -> set[str]:
    listed = (found.read_text("top_level.txt") or "").split()
    return {*listed, *(path.parts[0].partition(".")[0] for path in found.files or () if path.parts)}
