"""How fast a machine was at its best, kept beside the results of comparisons."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from harness.bench.quiet_blocks import ProcessRun, best_probe, num_probes
from harness.measure.time.noise_probe import PROBE_WORK
from harness.store import write_atomically

BEST_KNOWN_FILE = "machine.json"
NUM_KEPT = 10  # comparisons
MIN_PROBES = 100  # of the noise probe, to know the best of the machine


class MachineBest:
    """The best times of the noise probe in earlier comparisons, by machine and threads, in a small file.

    A comparison that meets nothing but a busy host would otherwise take that for the machine's best.
    """

    def __init__(self, file: Path, environment: Mapping[str, Any]):
        self.file = file
        names = ("cpu_model", "hostname_hash", "torch", "num_threads")
        self._key = " / ".join([*(f"{name} {environment.get(name)}" for name in names), PROBE_WORK])

    def read(self) -> float | None:
        """Milliseconds, the least but one of the latest; None where nothing is known. A damaged file knows nothing.

        The very least of three or more may be a moment of luck, which no later comparison would come near; of two, the
        other may as well be of a busy one.
        """
        values = sorted(self._latest())
        return values[len(values) >= 3] if values else None

    def learn(self, runs: Sequence[ProcessRun]) -> None:
        """Keeps how fast the machine was in these processes, if they timed the noise probe often enough to know."""
        own = best_probe(runs)
        if own is not None and num_probes(runs) >= MIN_PROBES:
            with suppress(OSError):  # a convenience; the results lie safe
                self.note(own)

    def note(self, best_ms: float) -> None:
        """Keeps it with the latest ones."""
        kept = [*self._latest(), best_ms][-NUM_KEPT:]
        write_atomically(self.file, json.dumps(self._all() | {self._key: kept}, indent=1))

    def _latest(self) -> list[float]:
        found = self._all().get(self._key)
        values = found if isinstance(found, list) else []
        return [float(value) for value in values if isinstance(value, int | float) and 0 < value < float("inf")]

    def _all(self) -> dict[str, Any]:
        try:
            found = json.loads(self.file.read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return {}
        return found if isinstance(found, dict) else {}
