"""The tables of `cost`: one line for each row, or the ledger of each row."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

from rich.table import Table

from harness import units
from harness.proofs import UNPROVEN
from harness.python_api.cost_fields import CostRow, differences, ledger_lines
from harness.quantities import Quantity, by_key
from harness.text.streams import console

if TYPE_CHECKING:
    from harness.measure.count.any_module import ModuleCost
    from harness.measure.count.ledger import Ledger
    from harness.measure.count.published import Difference, Published
    from harness.record import Costs, MacsCount


def print_rows(rows: Sequence[CostRow], not_built: Sequence[Published]) -> None:
    """Print one line for each row, with published numbers where they exist."""
    compared = any(row.published for row in rows)
    shown = _quantities(rows, compared)
    columns = ["row", *(item.header for item in shown), "views", by_key("macs_per_video").header, "status"]
    columns += ["published M", "diff", "published GMACs", "diff", ""] if compared else []
    table = Table(*columns, box=None, pad_edge=False)
    for row in rows:
        table.add_row(*_cells(row, shown, compared))
    _show(table)
    for note in _notes(rows, not_built):
        print(note)


def _show(table: Table) -> None:
    # a pipe has no width; lines must not be cut
    console(width=220).print(table, markup=False)


def _is_masked(row: CostRow) -> bool:
    return row.costs.macs.useful_macs not in (None, row.costs.macs.macs_per_view)


def _quantities(rows: Sequence[CostRow], compared: bool) -> list[Quantity]:
    """Return the quantities that are columns: those that some row needs, and per frame and token if there is room."""
    predicted = any(row.costs.predicted_memory for row in rows)
    shown = {
        "num_parameters": True,
        "macs_per_view": True,
        "attention_share": True,
        "useful_macs_per_view": any(_is_masked(row) for row in rows),
        "backward_macs_per_view": any(row.costs.macs.backward for row in rows),
        "predicted_inference_peak_bytes": predicted,
        "predicted_train_step_peak_bytes": predicted,
        "macs_per_frame": not compared,
        "macs_per_token": not compared,
    }
    return [by_key(key) for key, is_shown in shown.items() if is_shown]


def _cells(row: CostRow, shown: Sequence[Quantity], compared: bool) -> list[str]:
    cells = [row.label, *(_text(item, row.costs) for item in shown)]
    cells += [str(row.costs.num_views), _text(by_key("macs_per_video"), row.costs), row.status]
    if compared:
        found = differences(row)
        for difference in (found["parameters"], found["macs"]):
            cells += [f"{difference.theirs:.4g}", f"{100 * difference.relative:+.1f} %"] if difference else ["-", "-"]
        cells.append(_remark(row, found))
    return cells


def _text(quantity: Quantity, costs: Costs) -> str:
    if quantity.key == "backward_macs_per_view":
        return _backward(costs.macs)
    bound = _lower(costs.macs) if quantity.key in ("macs_per_view", "macs_per_video") else ""
    return bound + quantity.text(None if quantity.of_costs is None else quantity.of_costs(costs))


def _lower(macs: MacsCount) -> str:
    return "≥ " if macs.status == "lower_bound" else ""


def _backward(macs: MacsCount) -> str:
    if macs.backward is None:
        return "-"
    mark = "" if macs.backward.status == "exact" else f" ({macs.backward.status.replace('_', ' ')})"
    return units.macs(macs.backward.macs_per_view) + mark


def print_module(label: str, cost: ModuleCost) -> None:
    """Print one line for a module, and its uncounted operators."""
    columns = ["module", "parameters", "MACs of this input", "attention", "backward", "status", "counted on"]
    table, macs = Table(*columns, box=None, pad_edge=False), cost.macs
    table.add_row(
        label, units.count(cost.num_parameters), _lower(macs) + units.macs(macs.macs_per_view),
        units.percent(macs.attention_share), _backward(macs), macs.status.replace("_", " "), cost.device,
    )  # fmt: skip
    _show(table)
    for note in _uncounted(label, macs):
        print(note)
    if cost.not_on_meta:
        print(f"{label}: counted on real tensors, since it does not run on the meta device: {cost.not_on_meta}")


def print_ledger(label: str, macs: MacsCount, ledger: Ledger, by: str) -> None:
    """Print every operator, or every module, of one row, after their sum."""
    backward = f"; backward {_backward(macs)}" if macs.backward else ""
    print(f"{label}: {_lower(macs)}{units.macs(macs.macs_per_view)}, {macs.status.replace('_', ' ')}{backward}")
    lines = ledger_lines(ledger, by)
    table = Table(*(lines[0] if lines else [by]), box=None, pad_edge=False)
    for line in lines:
        cells = {**line, "macs": units.macs(line["macs"]), "share": units.percent(line["share"])}
        table.add_row(*map(str, cells.values()))
    _show(table)
    for note in _uncounted(label, macs):
        print(note)


def _uncounted(label: str, macs: MacsCount) -> Iterator[str]:
    back = {} if macs.backward is None else macs.backward.uncounted_ops
    for ops, when in ((macs.uncounted_ops, ""), (back, " of the backward pass")):
        if ops:
            yield f"{label}: operators of unknown cost{when}: {', '.join(ops)}"


def _remark(row: CostRow, found: Mapping[str, Difference | None]) -> str:
    if any(difference and not difference.is_explained for difference in found.values()):
        return "UNEXPLAINED"
    if row.published is None:
        return ""
    remarks = ["attention not counted"] if row.published.counts_attention == "no" else []
    return ", ".join(remarks + (["cause below"] if row.published.cause else []))


def _notes(rows: Sequence[CostRow], not_built: Sequence[Published]) -> Iterator[str]:
    """Yield the notes below the table: uncounted operators, causes of differences, models that are not built."""
    for row in rows:
        yield from _uncounted(row.label, row.costs.macs)
    if any(row.unproven for row in rows):
        yield UNPROVEN
    sizes = sorted({row.costs.predicted_memory.batch_size for row in rows if row.costs.predicted_memory})
    if sizes:
        yield f"memory: predicted peak with {' or '.join(map(str, sizes))} clips, parameters included; no model was run"
    caused = [row for row in rows if row.published and row.published.cause]
    if caused:
        yield "\nCauses:"
    for row in caused:
        yield f"  {row.label}: {row.published.cause if row.published else ''}"
    if not_built:
        yield "\nPublished, not built:"
    for item in not_built:
        numbers = f"{item.gmacs or '-'} GMACs / {item.num_views} views, {item.parameters_m or '-'} M"
        yield f"  {item.model}, {item.num_frames} x {item.crop_size}: {numbers} ({item.source}): {item.not_built}"
