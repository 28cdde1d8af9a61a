"""Conditions of the records of a run, and which records are comparable in time and memory."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from harness import units
from harness.fields import get_field
from harness.record import Record
from harness.stats.ratios import is_quiet
from harness.store.load import LoadedRun
from harness.store.marks import dirty_faults

from . import code_versions

Reader = Callable[[Record], Any]


def field(record: Record, path: str) -> Any:
    """Return the value of a dotted configuration field; None where the record has no such field."""
    return get_field(record.config, path, None)


def _config(path: str) -> Reader:
    return lambda record: field(record, path)


def _environment(key: str) -> Reader:
    return lambda record: _plain(record.environment.get(key))


def _measured(key: str) -> Reader:
    """Read the environment of the measurement; that of the training where nothing was measured."""
    return lambda record: _plain((record.costs.environment or record.environment).get(key))


def _plain(value: Any) -> Any:
    """Return a value that can be counted: a record of an older version may hold anything."""
    return value if value is None or isinstance(value, str | int | float) else str(value)


def _hardware(record: Record) -> Any:
    """Return the GPU where the trial was measured on one, else the processor."""
    on_cpu = field(record, "train.device") == "cpu"
    return (not on_cpu and _measured("gpu")(record)) or _measured("cpu_model")(record)


def _freed_memory_kept(record: Record) -> Any:
    """Read the setting of the timings; the default for a trial without timings, which counts as the same machine."""
    if record.costs.timings is None:
        return True if field(record, "train.device") == "cpu" else None
    return record.costs.timings.inference.freed_memory_kept


def _data(record: Record) -> str:
    return " ".join(str(value) for path in ("data.name", "data.task") if (value := field(record, path)))


def _test_clips(record: Record) -> Any:
    return next((score.total for score in record.scores.get("test", {}).values()), None)


# Times and peak memory are comparable if these agree: (name, configuration field or None, reader).
_COMPARABLE: tuple[tuple[str, str | None, Reader], ...] = (
    ("hardware", None, _hardware),
    ("device", "train.device", _config("train.device")),
    ("torch", None, _measured("torch")),
    ("dtype", "train.precision", _config("train.precision")),
    ("threads", "train.num_threads", _measured("num_threads")),
    ("SDPA backend", None, _measured("sdpa_backend")),
    ("freed memory kept while timing", None, _freed_memory_kept),
)

_LISTED: tuple[tuple[str, Reader], ...] = (
    ("data", _data),
    ("test clips", _test_clips),
    ("views of a clip at test", lambda record: record.costs.num_views),
    ("optimizer steps", lambda record: record.training.num_steps),
    ("batch size (training)", _config("train.batch_size")),
    ("batch size (throughput, train step, memory)", _config("measure.batch_size")),
    *((name, reader) for name, _, reader in _COMPARABLE),
    ("memory measured by", lambda record: record.costs.memory.method if record.costs.memory else None),
    ("python", _environment("python")),
    ("platform", _environment("platform")),
    ("machines (hash of the host name)", _environment("hostname_hash")),
    ("code (git commit)", lambda record: (record.environment.get("git_commit") or "")[:12]),
    ("code (hash of what can change a result, variants excepted)", _environment("trunk")),
)


@dataclass(frozen=True)
class Condition:
    """One line of the conditions: all values, most frequent first, with the number of trials of each."""

    name: str
    values: tuple[tuple[str, int], ...]

    @property
    def text(self) -> str:
        """Return the value, or all values with their number of trials."""
        if len(self.values) == 1:
            return self.values[0][0]
        return "; ".join(f"{value} ({units.counted(count, 'trial')})" for value, count in self.values)


def conditions(run: LoadedRun) -> list[Condition]:
    """Return the conditions of all records of a run, without those that no record has."""
    found = [Condition(name, _counted(map(reader, run.records.values()))) for name, reader in _LISTED]
    if run.num_unsealed:
        found.append(Condition("unsealed records", (("of an older version, without a checksum", run.num_unsealed),)))
    return [condition for condition in found if any(value != "not recorded" for value, _ in condition.values)]


def _counted(values: Iterable[Any]) -> tuple[tuple[str, int], ...]:
    texts = Counter("not recorded" if value in (None, "") else str(value) for value in values)
    return tuple(sorted(texts.items(), key=lambda item: (-item[1], item[0])))


def machine(run: LoadedRun, record: Record) -> tuple[str, ...]:
    """Return a key that is equal for records comparable in time and memory; varied fields are exempt."""
    return tuple(
        "varied" if path in run.plan.axes else json.dumps(reader(record), sort_keys=True, default=str)
        for _, path, reader in _COMPARABLE
    )


def majority_machine(run: LoadedRun) -> tuple[str, ...] | None:
    """Return the machine of most records; of equally frequent ones that of the baseline, then that of the first row."""
    baseline = [row for row in run.plan.rows if row.row_id == run.plan.baseline_row]
    ordered = [trial for row in [*baseline, *run.plan.rows] for trial in row.trials.values() if trial in run.records]
    counts = Counter(machine(run, record) for record in run.records.values())
    candidates = [machine(run, run.records[trial]) for trial in ordered]
    return max(candidates, key=lambda key: counts[key], default=None)  # max keeps the first of equals


def warnings(run: LoadedRun) -> list[str]:
    """Return warnings for comparisons of rows: missing trials, mixed machines, code or data."""
    planned, done = len(run.statuses), len(run.records)
    found = []
    if done < planned:
        found.append(f"{planned - done} of {planned} trials have no result: rows with missing seeds are marked.")
    found += _time_warnings(run)
    if run.plan.stale:
        found.append(
            f"{len(run.plan.stale)} of {planned} trials were trained by other code than that of the sweep command: "
            "they are marked, and `--stale rerun` repeats them."
        )
    found += code_versions.warnings(run)
    if len({record.data_identity for record in run.records.values()}) > 1:
        found.append("Rows were trained and tested on different data: their accuracies are not paired by clip.")
    return found


def _time_warnings(run: LoadedRun) -> list[str]:
    """Warn of times that are not comparable or doubtful."""
    found = []
    machines = sorted({machine(run, record) for record in run.records.values()})
    if len(machines) > 1:
        names = [name for index, (name, _, _) in enumerate(_COMPARABLE) if len({key[index] for key in machines}) > 1]
        found.append(
            f"Trials ran under different conditions ({', '.join(names)}): "
            "times and memory of the minority are marked and must not be compared with the others."
        )
    timed = [record for record in run.records.values() if record.costs.timings]
    if dirty := [record for record in timed if dirty_faults(record.costs)]:
        found.append(
            f"{len(dirty)} of {len(timed)} trials were timed on a machine that was busy or slowed down: their times "
            "are marked dirty, with the reason."
        )
    return found + _slow_spells(timed)


def _slow_spells(timed: Sequence[Record]) -> list[str]:
    """Warn of trials that were timed while the noise probe took longer than at the machine's best in this run."""
    probes: dict[tuple[Any, ...], list[float]] = {}
    for record in timed:
        timings = record.costs.timings
        if timings and timings.noise_probe_ms is not None:
            machine = _hardware(record), _measured("num_threads")(record), timings.noise_probe_work
            probes.setdefault(machine, []).append(timings.noise_probe_ms)
    slow = []
    for values in probes.values():
        best = min(values)  # few values, each a median of several: the smallest is no outlier
        slow += [value / best for value in values if not is_quiet(value, best)]
    if not slow:
        return []
    return [
        f"{len(slow)} of {len(timed)} trials were timed while the machine was slower than at its best, by up to "
        f"{units.percent(max(slow) - 1, 0)}, so small differences of times are not meaningful. "
        "`python -m harness bench` compares rows in interleaved blocks and excludes such periods."
    ]
