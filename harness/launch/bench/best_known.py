"""How fast a machine was at its best, kept beside the results of comparisons."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from harness.store import write_atomically


class BestKnown:
    """The best times of the reference work in earlier comparisons, by machine and threads, in a small file.

    A comparison that meets nothing but a busy host would otherwise take that for the machine's best.
    """

    def __init__(self, file: Path, environment: Mapping[str, Any]):
        self.file = file
        self._key = " / ".join(
            f"{name} {environment.get(name)}" for name in ("cpu_model", "hostname_hash", "torch", "num_threads")
        )

    def read(self) -> float | None:
        """Milliseconds, None where nothing is known; a damaged file knows nothing."""
        value = self._all().get(self._key)
        return float(value) if isinstance(value, int | float) and value > 0 else None

    def note(self, best_ms: float) -> None:
        """Keeps it if it is better than what is known."""
        known = self.read()
        if known is None or best_ms < known:
            write_atomically(self.file, json.dumps(self._all() | {self._key: best_ms}, indent=1))

    def _all(self) -> dict[str, Any]:
        try:
            found = json.loads(self.file.read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return {}
        return found if isinstance(found, dict) else {}
