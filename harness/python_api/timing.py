"""`harness.time_variants` and `harness.compare`: rows or variants in time, in interleaved blocks of fresh processes."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from harness import units
from harness.bench.comparison import BenchResult, compare_rows
from harness.bench.machine_best import MACHINE_BEST_FILE, MachineBest
from harness.bench.options import BenchOptions
from harness.bench.row_result import RowResult
from harness.errors import UserError
from harness.measure.isolated.request import Mode
from harness.measure.machine.environment import environment
from harness.proofs import UNPROVEN
from harness.python_api.plans import PathLike, Settings, folders_of
from harness.python_api.tables import Table
from harness.python_api.targets import RowConfigs, Target, read_rows
from harness.registry.proven import mark_of
from harness.store import write_atomically
from harness.store.folders import make_folder
from harness.sweep.plan import Plan

if TYPE_CHECKING:
    import pandas as pd

Log = Callable[[str], None]
ONE_ROW = "{label}: a single row, so there is nothing to compare it with; give two or more for ratios"


@dataclass(frozen=True, repr=False)
class Comparison:
    """Rows timed next to a baseline. `result` holds the options, all samples and the state of the machine.

    `file` is the file of the samples, None if no folder was given.
    """

    rows: RowConfigs
    result: BenchResult
    file: Path | None = None

    def __getitem__(self, label: str) -> RowResult:
        return {row.label: row for row in self.result.rows}[label]

    @property
    def is_done(self) -> bool:
        """True if every row gave numbers."""
        return all(row.status == "done" for row in self.result.rows)

    def frame(self) -> pd.DataFrame:
        """Return one line for each row; times in milliseconds of a call, ratios to the baseline with 95 % intervals."""
        import pandas as pd

        return pd.DataFrame([row.model_dump() for row in self.result.rows])

    def table(self) -> Table:
        """Return medians and ratios as text."""
        marks = tuple(f"{row.label}: {mark}" for row in self.result.rows for mark in row.marks)
        marks += (ONE_ROW.format(label=self.rows.baseline),) if len(self.result.rows) == 1 else ()
        lines = tuple((row.label, *_cells(row, self.result.baseline)) for row in self.result.rows)
        return Table(("row", "median", "ratio", "95 %", ""), lines, marks)

    def __repr__(self) -> str:
        return repr(self.table())

    def _repr_html_(self) -> str:
        return self.table()._repr_html_()


@dataclass(frozen=True)
class Ratio:
    """The time of one row over that of another. The ends of the 95 % interval are None for a single process."""

    label: str
    baseline: str
    ratio: float
    low: float | None
    high: float | None
    is_significant: bool
    marks: tuple[str, ...] = ()

    def __repr__(self) -> str:
        interval = "" if self.low is None or self.high is None else f" (95 %: {self.low:.3f} to {self.high:.3f})"
        remark = "" if self.is_significant else ", not significant"
        marks = f" [{'; '.join(self.marks)}]" if self.marks else ""
        return f"{self.label} takes {self.ratio:.3f} times as long as {self.baseline}{interval}{remark}{marks}"


def time_variants(
    targets: Target | Sequence[Target],
    *,
    set: Settings = None,
    variants: PathLike | Sequence[PathLike] = (),
    rows: Sequence[str] = (),
    mode: Mode = "inference",
    batch_size: int | None = None,
    repeats: int = 5,
    blocks: int = 10,
    patience_s: float = 60.0,
    compile: str | None = None,
    seed: int = 0,
    folder: PathLike | None = None,
    log: Log = lambda line: None,
) -> Comparison:
    """Time variants, or the rows of a sweep, against a baseline: the first of them, or the sweep's.

    All rows of a comparison take turns in the same processes, so that a change of the machine affects all of them.

    Args:
        targets: names of variants, or one sweep (a file, a dict or a plan).
        set: fields that replace those of the sweep, e.g. `{"model.num_frames": 16}`.
        variants: folders with more variant files.
        rows: labels of the rows to take (default: all).
        mode: `inference` or `train_step`.
        batch_size: clips per call (default: `measure.batch_size`).
        repeats: fresh processes; up to three times as many where the machine is not quiet.
        blocks: ABBA blocks per process.
        patience_s: seconds to wait, in all, for a quiet machine.
        compile: a backend of torch.compile, e.g. inductor (default: eager).
        seed: order of the visits.
        folder: folder for all samples, and for the best times of this machine, which later comparisons use.
        log: is called with a line for each process, e.g. `print`.

    Raises:
        UserError: a target or a row is not there, or rows of different devices or threads are to be compared.
    """
    found = read_rows(_listed(targets), set, folders_of(variants), rows)
    options = BenchOptions(
        mode=mode, batch_size=batch_size, num_processes=repeats, num_blocks=blocks, compile=compile, seed=seed,
        patience_s=patience_s, variant_dirs=[str(path.resolve()) for path in folders_of(variants)],
    )  # fmt: skip
    return _compare(found, options, None if folder is None else make_folder(Path(folder)), log)


def compare(
    target: str,
    baseline: str,
    *,
    set: Settings = None,
    variants: PathLike | Sequence[PathLike] = (),
    mode: Mode = "inference",
    batch_size: int | None = None,
    repeats: int = 5,
    blocks: int = 10,
    patience_s: float = 60.0,
) -> Ratio:
    """Compare two variants in time: `print(harness.compare("mixing", "joint"))`. The arguments are `time_variants`'s.

    Raises:
        UserError: a variant is not there, both are the same, or one of them gave no numbers.
    """
    found = time_variants(
        [baseline, target], set=set, variants=variants, mode=mode, batch_size=batch_size, repeats=repeats,
        blocks=blocks, patience_s=patience_s,
    )  # fmt: skip
    for label in (baseline, target):
        if found[label].status != "done":
            raise UserError(f"{label}: gave no times ({found[label].status}: {found[label].message})")
    row = found[target]
    assert row.ratio is not None
    of_baseline = (mark for mark in found[baseline].marks if mark == UNPROVEN or mark not in row.marks)
    marks = (*row.marks, *(f"{baseline}: {mark}" for mark in of_baseline))
    return Ratio(target, baseline, row.ratio, row.ratio_low, row.ratio_high, row.significant, marks)


def _listed(targets: Target | Sequence[Target]) -> list[Target]:
    one = isinstance(targets, str | os.PathLike | Mapping | Plan)
    listed: list[Any] = [targets] if one else list(targets)  # type: ignore[arg-type]
    twice = [target for target in listed if listed.count(target) > 1]
    if twice:
        raise UserError(
            f"{twice[0]} is given twice. `python -m harness selftest` compares a configuration with itself."
        )
    return listed


def _compare(rows: RowConfigs, options: BenchOptions, folder: Path | None, log: Log) -> Comparison:
    """Compare rows; with a folder, write all samples there and keep the best time of the machine."""
    if len(rows.configs) == 1:
        log(ONE_ROW.format(label=rows.baseline))
    train = rows.configs[rows.baseline]["train"]
    found = environment(train["device"])
    machine = found | {"num_threads": train["num_threads"]}
    known = MachineBest(folder / MACHINE_BEST_FILE, machine) if folder else None
    result = compare_rows(rows.configs, rows.baseline, options, log, known.read() if known else None)
    result.environment = found
    for row in result.rows:
        row.marks += filter(None, [mark_of(rows.configs[row.label]["variant"]["name"], options.variant_dirs)])
    if folder is None or known is None:
        return Comparison(rows, result)
    known.learn(result.runs)
    comparison = Comparison(rows, result, folder / f"{rows.name}_{options.mode}.json")
    write_samples(comparison)
    return comparison


def write_samples(comparison: Comparison) -> None:
    """Write everything that a comparison found to its file."""
    if comparison.file is not None:
        write_atomically(comparison.file, comparison.result.model_dump_json(indent=1))


def _cells(row: RowResult, baseline: str) -> tuple[str, ...]:
    if row.median_ms is None:
        return (row.status, "-", "-", row.message)
    median = units.milliseconds(row.median_ms)
    if row.label == baseline or row.ratio is None:
        return (median, "1", "", "baseline")
    interval = "-" if row.ratio_low is None else f"{row.ratio_low:.3f} to {row.ratio_high:.3f}"
    return (median, f"{row.ratio:.3f}", interval, "" if row.significant else "not significant")
