"""The shortest times of the noise probe on a machine, kept in a file alongside the results of comparisons."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from harness.bench.quiet_blocks import ProcessRun, best_noise_probe, num_noise_probes
from harness.measure.time.noise_probe import PROBE_WORK
from harness.store import write_atomically

MACHINE_BEST_FILE = "machine.json"
NUM_KEPT = 10  # latest comparisons
MIN_NOISE_PROBES = 100  # fewer say little about the machine's best


class MachineBest:
    """The best times of the noise probe in earlier comparisons, by machine and number of threads.

    Without them, a comparison on a host that is busy all the time would take that for the machine's best.
    """

    def __init__(self, file: Path, environment: Mapping[str, Any]):
        self.file = file
        names = ("cpu_model", "hostname_hash", "torch", "num_threads")
        self._key = " / ".join([*(f"{name} {environment.get(name)}" for name in names), PROBE_WORK])

    def read(self) -> float | None:
        """Return the second shortest of the latest times, in milliseconds, or None. A corrupt file reads as empty.

        The shortest of three or more may be an outlier that no later comparison reaches. Of two, the shortest is taken:
        the other one may come from a busy machine.
        """
        values = sorted(self._latest())
        return values[len(values) >= 3] if values else None

    def learn(self, runs: Sequence[ProcessRun]) -> None:
        """Store the best time of these processes, if they ran enough noise probes."""
        own = best_noise_probe(runs)
        if own is not None and num_noise_probes(runs) >= MIN_NOISE_PROBES:
            with suppress(OSError):  # optional: the results are already written
                self.note(own)

    def note(self, best_ms: float) -> None:
        """Add a time to the latest ones."""
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
