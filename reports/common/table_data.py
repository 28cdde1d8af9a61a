"""The table of a run as data: header, cells, lettered marks, notes; Markdown, LaTeX and HTML are written from it."""

from __future__ import annotations

import string
from dataclasses import dataclass

from harness import quantities, units
from harness.quantities import Quantity
from harness.quantities import accuracy as accuracy_of
from harness.stats.intervals import Estimate, wilson_interval
from harness.stats.paired import least_pairs, least_reachable_p
from harness.store.load import LoadedRun
from harness.store.marks import LOWER_BOUND

from .row_statistics import SPLIT, CostSummary, RowSummary, headline, labels, summarise

LEVEL = 0.05
MACS_NOTE = (
    "MACs are multiply-accumulates of the matrix products and convolutions of one view (clip and crop), forward only. "
    "The papers' GFLOPs are our GMACs."
)


@dataclass(frozen=True)
class Cell:
    """Text of a cell and the letters of its marks."""

    text: str
    marks: tuple[str, ...] = ()


@dataclass(frozen=True)
class TableData:
    """A table to be written: `marks` maps letters to their texts, `notes` hold for the whole table."""

    header: tuple[str, ...]
    rows: tuple[tuple[Cell, ...], ...]
    marks: dict[str, str]
    notes: tuple[str, ...]
    explained: dict[str, str]
    """header of a column -> what its numbers are"""


class _Marks:
    """Letters of marks: one for each text (a..z, aa..), in the order of first use."""

    def __init__(self) -> None:
        self.letters: dict[str, str] = {}

    def __call__(self, texts: tuple[str, ...]) -> tuple[str, ...]:
        for text in texts:
            self.letters.setdefault(text, _letter(len(self.letters)))
        return tuple(self.letters[text] for text in texts)


def _letter(index: int) -> str:
    rest, last = divmod(index, 26)
    return (_letter(rest - 1) if rest else "") + string.ascii_lowercase[last]


def build(run: LoadedRun) -> TableData:
    """Build the table of a run: one line per planned row, whatever the status of its trials."""
    rows, marks, found = summarise(run), _Marks(), labels(run)
    top5 = [label for label in found if any(label in row.top5 for row in rows)]
    has_baseline = run.plan.baseline_row is not None
    header = ["row", "seeds"]
    header += [accuracy_of(label).title for label in found] + [accuracy_of(label, k=5).title for label in top5]
    header += [f"Δ {headline(run) or 'accuracy'}, points", "p, Holm (raw)"] if has_baseline else []
    shown = columns(rows)
    header += [quantity.title for quantity in shown]
    lines = []
    for row in rows:
        cells = [_name(row), Cell(f"{len(row.records)}/{row.num_planned}", marks(row.marks))]
        cells += [accuracy(row.top1.get(label)) for label in found] + [accuracy(row.top5.get(label)) for label in top5]
        cells += _comparison(row) if has_baseline else []
        cells += [cost(row.costs.get(quantity.key), quantity, marks) for quantity in shown]
        lines.append(tuple(cells))
    texts = {letter: text for text, letter in marks.letters.items()}
    return TableData(tuple(header), tuple(lines), texts, tuple(_notes(run, rows)), _explained(run, shown))


def columns(rows: list[RowSummary]) -> list[Quantity]:
    """Return the quantities that are columns of the table, in the order of their declaration."""
    return [
        item
        for item in quantities.QUANTITIES
        if item.column == "always" or (item.column == "if_measured" and any(item.key in row.costs for row in rows))
    ]


def _explained(run: LoadedRun, shown: list[Quantity]) -> dict[str, str]:
    accuracies = [accuracy_of(label, SPLIT, k) for label in labels(run) for k in (1, 5)]
    return {item.title: f"{item.name} ({item.symbol}): {item.description}" for item in [*accuracies, *shown]}


def _name(row: RowSummary) -> Cell:
    return Cell(f"{row.label} (baseline)" if row.is_baseline else row.label)


def _points(fraction: float, sign: bool = False) -> str:
    text = units.percent(fraction).removesuffix(" %").replace("-", "−")
    text = "0.0" if text == "−0.0" else text
    return f"+{text}" if sign and text[0] != "−" and text != "0.0" else text


def accuracy(estimate: Estimate | None) -> Cell:
    """Write mean and half width of the interval, in percent: '83.4 ± 1.2'; '83.4 (n = 1)' for a single seed."""
    if estimate is None:
        return Cell("-")
    mean, half = _points(estimate.mean), estimate.half_width
    return Cell(f"{mean} (n = 1)" if half is None else f"{mean} ± {_points(half)}")


def _comparison(row: RowSummary) -> list[Cell]:
    if row.is_baseline:
        return [Cell("baseline"), Cell("")]
    if row.difference is None:
        return [Cell("-"), Cell("-")]
    estimate = row.difference.estimate
    difference = _points(estimate.mean, sign=True)
    if estimate.low is None or estimate.high is None:
        return [Cell(f"{difference} (n = 1)"), Cell("-")]
    ends = f"[{_points(estimate.low, sign=True)}, {_points(estimate.high, sign=True)}]"
    return [Cell(f"{difference} {ends}"), Cell(f"{p_value(row.adjusted_p)} ({p_value(row.difference.p_value)})")]


def p_value(value: float | None) -> str:
    """Write a p value with three digits after the point; '< 0.001' below."""
    if value is None:
        return "-"
    return "< 0.001" if value < 0.001 else f"{value:.3f}"


def cost(summary: CostSummary | None, quantity: Quantity, marks: _Marks) -> Cell:
    """Write the median over the trials, with the smallest and largest value where their texts differ."""
    if summary is None:
        return Cell("-")
    text = quantity.text
    median, low, high = text(summary.median), text(summary.low), text(summary.high)
    shown = median if low == high else f"{median} ({_range(low, high)})"
    return Cell(f"≥ {shown}" if _lower_bound(summary) else shown, marks(summary.marks))


def _range(low: str, high: str) -> str:
    """'98.1 ms', '104 ms' -> '98.1..104'; the unit stays where the two differ in it."""
    unit = low.partition(" ")[2]
    same = unit and high.endswith(f" {unit}")
    return f"{low.removesuffix(f' {unit}')}..{high.removesuffix(f' {unit}')}" if same else f"{low}..{high}"


def _lower_bound(summary: CostSummary) -> bool:
    return any(mark.startswith(LOWER_BOUND) for mark in summary.marks)


def _notes(run: LoadedRun, rows: list[RowSummary]) -> list[str]:
    notes = [
        f"Accuracy: {SPLIT} split, last checkpoint; mean over seeds ± half width of the 95 % t interval, in percent. "
        "The interval covers the variation between seeds, not the choice of test clips" + _wilson(run) + "."
    ]
    notes += _test_note(run, rows)
    notes.append(
        "Costs: median over the trials of a row (smallest..largest). Times are medians of the raw samples; latency "
        "is inference of one clip, throughput and train step are of a batch."
    )
    notes.append(MACS_NOTE)
    if run.tuning is not None:
        notes.append(
            f"Each row was chosen by a search of {run.tuning.num_trials} configurations on the validation split "
            f"({', '.join(run.tuning.objectives)}) and trained again with the seeds of the sweep; see tuning.md."
        )
    return notes + ceiling_notes(run)


def _wilson(run: LoadedRun) -> str:
    """Write the largest half width of the sampling interval of one trial's headline score."""
    label = headline(run)
    scores = [record.scores.get(SPLIT, {}).get(label or "") for record in run.records.values()]
    ends = [wilson_interval(score.top1_correct, score.total) for score in scores if score is not None]
    if not ends:
        return ""
    return f" (for one trial that adds up to ± {_points(max(high - low for low, high in ends) / 2)} points, Wilson)"


def _test_note(run: LoadedRun, rows: list[RowSummary]) -> list[str]:
    compared = [row.difference for row in rows if row.difference is not None]
    if not compared:
        return []
    num_pairs, number = max(item.num_pairs for item in compared), len(compared)
    least = least_reachable_p(num_pairs)
    text = (
        f"Δ: difference to the baseline in {headline(run)} top-1, paired by seed, with its 95 % t interval. p: exact "
        f"two-sided sign-flip test over the seeds, Holm-adjusted over {number} comparison{'s' * (number > 1)}. With "
        f"{num_pairs} common seeds the smallest reachable p is {least:.3g}"
        f"{f' ({min(1.0, least * number):.3g} after adjustment)' if number > 1 else ''}"
    )
    if least * number <= LEVEL:
        return [f"{text}."]
    return [
        f"{text}: no difference can be called significant at {LEVEL} here, however large; that needs at least "
        f"{least_pairs(LEVEL, number)} seeds."
    ]


def ceilings(run: LoadedRun) -> dict[tuple[str, str], set[float]]:
    """Return (kind of model, label) -> best accuracies that it can reach; several where tasks differ."""
    found: dict[tuple[str, str], set[float]] = {}
    for record in run.records.values():
        for kind, values in record.ceilings.items():
            for label, value in values.items():
                found.setdefault((kind, label), set()).add(value)
    return found


def ceiling_notes(run: LoadedRun) -> list[str]:
    """Write one note per kind of model with the best accuracy that it can reach on each label."""
    found, notes = ceilings(run), []
    for kind in sorted({kind for kind, _ in found}, key=lambda kind: (kind == "chance", kind)):
        known = {label: values for (other, label), values in found.items() if other == kind}
        order = [label for label in labels(run) if label in known]
        parts = [f"{' or '.join(units.percent(value) for value in sorted(known[label]))} {label}" for label in order]
        differ = " (where two are given, rows differ in data)" if any(len(v) > 1 for v in known.values()) else ""
        model = "Chance is" if kind == "chance" else f"Ceiling: a {kind.replace('_', ' ')} model reaches at most"
        notes.append(f"{model} {', '.join(parts)}{differ}.")
    return notes
