"""Schemas of `plan.json` and `tuning/studies.json`: which trials answer a question, and how a search chose them."""

from __future__ import annotations

import shlex
from typing import Any, Self

from pydantic import Field, model_validator

from harness.bounds import AnyFloat, AnyInt, Count, SeedText, Text
from harness.record import SCHEMA_VERSION, FileModel, RecordModel


class PlannedRow(RecordModel):
    """A configuration without its seed: one line of the table."""

    row_id: Text
    label: Text
    values: dict[str, Any] = Field(description="every varied field -> its value in this row")
    trials: dict[SeedText, Text] = Field(description="seed -> trial_id")


class PlanSource(RecordModel):
    """What a plan was made from: enough to make it again, in the folder where it was made."""

    file: str | None = Field(None, description="the sweep file; None for a plan from a dict")
    content: dict[str, Any] | None = Field(None, description="the dict of a plan that was made in Python")
    name: str | None = Field(None, description="the name given to a dict")
    overrides: list[str] = Field(default_factory=list, description="`path=value`, in the order given")
    variant_dirs: list[str] = Field(default_factory=list, description="folders with more variants")

    def without_launch(self) -> PlanSource:
        """The same without overrides of `launch:`, which cannot change a result."""
        kept = [override for override in self.overrides if not override.startswith("launch.")]
        return self.model_copy(update={"overrides": kept})

    def command(self) -> str:
        """The command, or the call in Python, that asks this question; what cannot change a result is left out."""
        if self.file is None:
            return self._call() if self.content is not None else ""
        words = ["python", "-m", "harness", "sweep", self.file]
        for override in self.without_launch().overrides:
            words += ["--set", override]
        for folder in self.variant_dirs:
            words += ["--variants", folder]
        return shlex.join(words)

    def _call(self) -> str:
        question = (self.content or {}).get("question")
        words = [f"{{'question': {question!r}, ...}}"]
        words += [f"name={self.name!r}"] * (self.name is not None)
        given = dict(override.split("=", 1) for override in self.without_launch().overrides)
        words += [f"set={given!r}"] * bool(given) + [f"variants={self.variant_dirs!r}"] * bool(self.variant_dirs)
        return f"harness.run(harness.plan({', '.join(words)}))"


class PlanFile(FileModel):
    """`plan.json` of a run: which trials answer the question, and how they form rows."""

    schema_version: Count = SCHEMA_VERSION
    sweep: str
    question: str
    axes: list[Text] = Field(description="the varied fields, in the order of the file")
    baseline_row: Text | None = None
    command: str = Field("", description="the command that made this plan: sweep file, overrides, folders of variants")
    source: PlanSource | None = Field(None, description="the same in a structured form; None in older plans")
    directory: str = Field("", description="working directory of that command, for its relative paths")
    tuned: bool = Field(False, description="the rows were chosen by a search, see `tuning/studies.json`")
    rows: list[PlannedRow]
    stale: list[Text] = Field(
        default_factory=list, description="trials whose record was made by other code than that of the command"
    )

    @model_validator(mode="after")
    def _check_baseline(self) -> Self:
        """Check that the baseline is one of the rows."""
        if self.baseline_row is not None and self.baseline_row not in {row.row_id for row in self.rows}:
            raise ValueError(f"the baseline {self.baseline_row} is none of the rows")
        return self


class TunedTrial(RecordModel):
    """One proposal of a search. `values` are the objectives, in their order; None: unknown, or pruned."""

    number: Count
    trial_id: Text | None = Field(description="None for a proposal that cannot be built or was never started")
    state: str = Field(description="running, complete, pruned; without a value: refused, failed, lost, unbegun")
    message: str = ""
    params: dict[str, Any]
    values: list[AnyFloat] | None = None
    last_val_top1: AnyFloat | None = Field(None, description="last reported accuracy of a pruned trial")
    excess: dict[str, AnyFloat] = Field(
        default_factory=dict, description="constrained cost minus its bound; > 0: too much"
    )
    chosen: bool = False


class TunedRow(RecordModel):
    """The search of one row."""

    row_id: Text
    label: Text
    study: str = Field(description="name of the study in `optuna.journal`")
    num_counted: Count = Field(description="complete and pruned trials, which count for the budget")
    trials: list[TunedTrial]


class TuningFile(FileModel):
    """`tuning/studies.json`: every proposal of the search, on the validation split only."""

    schema_version: Count = SCHEMA_VERSION
    objectives: list[str]
    bounds: dict[str, AnyFloat]
    num_trials: Count = Field(description="budget of each row")
    train_seed: AnyInt
    sampler: Text = Field(description="name, seed and version")
    journal_lines: Count = Field(0, description="lines of `optuna.journal` that this was made from; 0: older files")
    journal_seal: Text = Field("", description="seal of the last of them")
    rows: list[TunedRow]
