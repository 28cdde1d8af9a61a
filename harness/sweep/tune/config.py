"""The `tune:` block of a sweep: what is searched for each row, within which budget, by which sampler."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import Field, create_model, field_validator, model_validator

from harness.nn.config import Positive, StrictConfig
from harness.quantities import VAL_TOP1, search_costs, search_quantity

Bound = Annotated[float, Field(gt=0)]
COSTS = search_costs()
if TYPE_CHECKING:
    Objective = str
else:
    Objective = Literal[VAL_TOP1, *COSTS]


class ParameterConfig(StrictConfig):
    """One searched field: a range (low to high, both included) or a list of choices."""

    low: int | float | None = Field(None, description="least value")
    high: int | float | None = Field(None, description="largest value")
    step: int | float | None = Field(None, description="distance between values; default: 1 for integers, else none")
    log: bool = Field(False, description="uniform in the logarithm")
    choices: Annotated[list[bool | int | float | str | None], Field(min_length=2)] | None = Field(
        None, description="the values themselves, without order"
    )
    where: dict[str, Any] | None = Field(
        None, description="only for rows with these values, e.g. {variant: mixing}; a list means any of them"
    )

    @model_validator(mode="after")
    def _one_kind(self) -> ParameterConfig:
        if self.choices is not None:
            if (self.low, self.high, self.step, self.log) != (None, None, None, False):
                raise ValueError("choices have no low, high, step or log; write a range or choices")
            if twice := _listed_twice(self.choices):
                raise ValueError(f"{twice[0]!r} is listed twice under choices")
            return self
        low, high = self.low, self.high
        if low is None or high is None:
            raise ValueError("give low and high, or choices")
        if not (math.isfinite(low) and math.isfinite(high) and low < high):
            raise ValueError(f"low {low} must be less than high {high}")
        if self.log and (low <= 0 or self.step is not None):
            raise ValueError("log needs low above 0 and has no step")
        if self.step is not None and not _divides(self.step, high - low):
            raise ValueError(f"step {self.step} does not lead from low {low} to high {high}")
        return self


def _listed_twice(choices: Sequence[bool | int | float | str | None]) -> list[Any]:
    """Values that are there before; 1 and 1.0 are the same number, true and 1 are not the same value."""
    keys = [(isinstance(choice, bool), choice) for choice in choices]
    return [choice for number, (_, choice) in enumerate(keys) if keys[number] in keys[:number]]


def _divides(step: float, length: float) -> bool:
    return step > 0 and abs(length / step - round(length / step)) < 1e-9


class _Bounds(StrictConfig):
    """Largest costs that the chosen configuration may have; a trial above one of them is known, but never chosen."""

    def bounds(self) -> dict[str, float]:
        """Name of the cost -> its bound, of those that are given."""
        return {name: bound for name, bound in self.model_dump().items() if bound is not None}


if TYPE_CHECKING:
    ConstraintsConfig = _Bounds
else:  # a field for each declared cost of which less is better
    _FIELDS = {
        name: (Bound | None, Field(None, description=f"{quantity.name}; {quantity.description}"))
        for name, quantity in COSTS.items()
        if quantity.direction == "lower"
    }
    ConstraintsConfig = create_model("ConstraintsConfig", __base__=_Bounds, __doc__=_Bounds.__doc__, **_FIELDS)


class TuneConfig(StrictConfig):
    """A search for each row, all with the same budget, on the validation split."""

    num_trials: Annotated[int, Field(ge=1, le=10_000)] = Field(
        description="budget of each row: configurations trained to the end or pruned"
    )
    space: Annotated[dict[str, ParameterConfig], Field(min_length=1)] = Field(
        description="dotted field, such as train.learning_rate -> range or choices"
    )
    objective: Objective | Annotated[list[Objective], Field(min_length=1, max_length=3)] = Field(
        VAL_TOP1,
        description="accuracy and throughput are maximized, costs are minimized; several: the front of best trade-offs",
    )
    label: str | None = Field(None, description="which label's accuracy; default: action, or the only one")
    constraints: ConstraintsConfig = ConstraintsConfig()
    sampler: Literal["tpe", "random"] = "tpe"
    seed: Annotated[int, Field(ge=0, lt=2**31)] = Field(0, description="of the sampler")
    num_startup_trials: Positive = Field(10, description="drawn at random before tpe models anything")
    train_seed: Annotated[int, Field(ge=0, lt=2**31)] | None = Field(
        None, description="seed of all tuning trials; default: the one after the largest of `seeds`"
    )
    parallel: Positive | None = Field(None, description="trials at once; 1: the same proposals each time; default: all")
    pruner: Literal["none", "median"] = Field("none", description="median: stop what is worse than half of the others")
    report_every_steps: Positive = Field(50, description="training steps between looks at val (with a pruner)")
    num_unpruned_trials: Positive = Field(4, description="trials that end before any is stopped early")
    prune_after_steps: Annotated[int, Field(ge=0)] = Field(0, description="training steps that each trial may take")
    max_failures: Positive | None = Field(
        None, description="failed trials (NaN, out of memory, ...) of a row after which the search stops; "
        "default: num_trials"
    )  # fmt: skip

    @field_validator("objective")
    @classmethod
    def _distinct(cls, objective: str | list[str]) -> str | list[str]:
        if isinstance(objective, list) and len(set(objective)) < len(objective):
            raise ValueError("an objective is listed twice")
        return objective

    @field_validator("pruner")
    @classmethod
    def _prunable(cls, pruner: str, info: Any) -> str:
        objective = info.data.get("objective", "val_top1")
        if pruner != "none" and objective not in ("val_top1", ["val_top1"]):
            raise ValueError("pruning looks at val_top1 while a trial trains; it needs this as the only objective")
        return pruner

    @property
    def objectives(self) -> list[str]:
        """The objectives in the order of the file."""
        return [self.objective] if isinstance(self.objective, str) else list(self.objective)

    @property
    def needs_timings(self) -> bool:
        """Whether a trial is only judged after its measuring stage."""
        return any(search_quantity(name).measured for name in (*self.objectives, *self.constraints.bounds()))
