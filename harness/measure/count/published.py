"""Published costs compared with counted ones: the table next to a sweep file, and what remains to be explained.

`sweeps/NAME.csv` belongs to `sweeps/NAME.yaml`; `label` is the row of the sweep that builds the model. A model that the
trunk cannot build has a reason instead of a label, and stays in the table.
"""

from __future__ import annotations

import csv
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, ValidationError, model_validator

from harness.errors import Fault, UserError
from harness.nn.config import StrictConfig
from harness.record import Costs

#: largest relative difference from a published number that needs no cause
LIMIT = 0.015

PositiveNumber = Annotated[float, Field(gt=0)]


class Published(StrictConfig):
    """One published row, numbers as printed; `cause_*` is the part of our number that the named cause explains."""

    label: str = Field(description="row of the sweep that builds the model; empty: not built")
    model: str = Field(description="its name in the source")
    num_frames: Annotated[int, Field(ge=1)]
    crop_size: Annotated[int, Field(ge=1)] = Field(description="pixels")
    gmacs: PositiveNumber | None = Field(description="giga multiply-accumulates, which the sources call GFLOPs")
    num_views: Annotated[int, Field(ge=1)] = Field(description="views that gmacs are the sum of; 1: per view")
    counts_attention: Literal["yes", "no"] = Field(description="whether gmacs include the attention matrix products")
    parameters_m: PositiveNumber | None = Field(description="parameters in millions")
    source: Annotated[str, Field(min_length=1)]
    cause: str = Field(description="why our numbers differ by more than the limit")
    cause_gmacs: float | None = Field(description="GMACs per view, ours less theirs, that the cause accounts for")
    cause_parameters_m: float | None = Field(description="millions of parameters, likewise")
    not_built: str = Field(description="why the sweep has no such row")

    @model_validator(mode="after")
    def _complete(self) -> Published:
        if bool(self.label) == bool(self.not_built):
            raise ValueError("give either a label or, in not_built, the reason why there is none")
        if bool(self.cause) != (self.cause_gmacs is not None or self.cause_parameters_m is not None):
            raise ValueError("a cause needs a number in cause_gmacs or cause_parameters_m, and a number a cause")
        return self


@dataclass(frozen=True)
class Difference:
    """Our number and theirs, in the same unit, counted by their convention."""

    ours: float
    theirs: float
    cause: float

    @property
    def relative(self) -> float:
        """(ours - theirs) / theirs."""
        return (self.ours - self.theirs) / self.theirs

    @property
    def unexplained(self) -> float:
        """The relative difference without the part that the cause explains."""
        return (self.ours - self.cause - self.theirs) / self.theirs

    @property
    def is_explained(self) -> bool:
        """True if the unexplained part is within the limit."""
        return abs(self.unexplained) <= LIMIT


def macs_difference(row: Published, costs: Costs) -> Difference | None:
    """Compare GMACs per view, without attention if the source leaves it out. None: nothing was published."""
    if row.gmacs is None:
        return None
    macs = costs.macs.macs_per_view - (0 if row.counts_attention == "yes" else costs.macs.attention_macs)
    return Difference(macs / 1e9, row.gmacs / row.num_views, row.cause_gmacs or 0.0)


def parameter_difference(row: Published, costs: Costs) -> Difference | None:
    """Compare millions of parameters. None: nothing was published."""
    if row.parameters_m is None:
        return None
    return Difference(costs.num_parameters / 1e6, row.parameters_m, row.cause_parameters_m or 0.0)


def is_published_table(path: Path) -> bool:
    """Return whether most columns in the first line of the file are those of such a table."""
    with path.open(encoding="utf-8", newline="") as file:
        header = set(next(csv.reader(file), []))
    return 2 * len(header & set(Published.model_fields)) > len(Published.model_fields)


def read_published(path: Path) -> list[Published]:
    """Read a table of published costs.

    Raises:
        UserError: the file is no such table; the message has every wrong line and column.
    """
    with path.open(encoding="utf-8", newline="") as file:
        reader = csv.DictReader(file)
        columns = list(Published.model_fields)
        if reader.fieldnames != columns:
            raise UserError(f"{path}:1: the columns are {reader.fieldnames}; they must be {', '.join(columns)}")
        found = [_row(path, reader.line_num, fields) for fields in reader]
    faults = [fault for item in found if isinstance(item, list) for fault in item]
    if faults:
        raise UserError(faults)
    return [item for item in found if isinstance(item, Published)]


def _row(path: Path, line: int, fields: Mapping[str, str]) -> Published | list[Fault]:
    texts = {name: value for name, value in fields.items() if name is not None}
    try:
        return Published.model_validate({name: _number(name, text) for name, text in texts.items()})
    except ValidationError as error:
        return [
            Fault(f"{path}:{line}", ".".join(str(part) for part in item["loc"]), item["msg"]) for item in error.errors()
        ]


def _number(name: str, text: str) -> str | int | float | None:
    """Convert a cell to the type of its column; a cell that is no number stays text, which the column refuses."""
    if name in ("num_frames", "crop_size", "num_views"):
        return int(text) if text.isdecimal() else text
    if name in ("gmacs", "parameters_m", "cause_gmacs", "cause_parameters_m"):
        try:
            return float(text) if text else None
        except ValueError:
            return text
    return text


def by_label(rows: Iterable[Published], labels: Iterable[str], path: Path) -> dict[str, Published]:
    """Return label of a row of the sweep -> its published row.

    Raises:
        UserError: a label is unknown or occurs twice.
    """
    known, found = set(labels), dict[str, Published]()
    for row in rows:
        if row.label and (row.label not in known or row.label in found):
            problem = "is in the table twice" if row.label in found else "is the label of no row of the sweep"
            raise UserError(f"{path}: {row.label!r} {problem}")
        if row.label:
            found[row.label] = row
    return found
