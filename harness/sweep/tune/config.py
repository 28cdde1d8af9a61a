"""Configuration of the `tune:` block of a sweep: space, budget, objective and sampler."""

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

    low: int | float | None = Field(None, description="smallest value")
    high: int | float | None = Field(None, description="largest value")
    step: int | float | None = Field(None, description="distance between values; default: 1 for integers, else none")
    log: bool = Field(False, description="uniform in the logarithm")
    choices: Annotated[list[bool | int | float | str | None], Field(min_length=2)] | None = Field(
        None, description="the allowed values, unordered"
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
            raise ValueError(f"step {self.step} does not divide the range from low {low} to high {high}")
        return self


def _listed_twice(choices: Sequence[bool | int | float | str | None]) -> list[Any]:
    """Returns repeated values; 1 and 1.0 are the same number, true and 1 are different values."""
    keys = [(isinstance(choice, bool), choice) for choice in choices]
    return [choice for number, (_, choice) in enumerate(keys) if keys[number] in keys[:number]]


def _divides(step: float, length: float) -> bool:
    return step > 0 and abs(length / step - round(length / step)) < 1e-9


class _Bounds(StrictConfig):
    """Upper bounds on the costs of the chosen configuration; trials above a bound still inform the sampler."""

    def bounds(self) -> dict[str, float]:
        """Returns name of the cost -> bound, for the bounds that are set."""
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
    label: str | None = Field(None, description="label whose accuracy counts; default: action, or the only one")
    constraints: ConstraintsConfig = ConstraintsConfig()
    sampler: Literal["tpe", "random"] = "tpe"
    seed: Annotated[int, Field(ge=0, lt=2**31)] = Field(0, description="seed of the sampler")
    num_startup_trials: Positive = Field(10, description="random configurations before tpe uses its model")
    train_seed: Annotated[int, Field(ge=0, lt=2**31)] | None = Field(
        None, description="seed of all tuning trials; default: the one after the largest of `seeds`"
    )
    parallel: Positive | None = Field(None, description="trials at once; 1: reproducible proposals; default: no limit")
    pruner: Literal["none", "median"] = Field("none", description="median: stop trials below the median of the others")
    report_every_steps: Positive = Field(50, description="training steps between validations (with a pruner)")
    num_unpruned_trials: Positive = Field(4, description="trials that must end before one can be pruned")
    prune_after_steps: Annotated[int, Field(ge=0)] = Field(0, description="training steps before a trial can be pruned")
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
            raise ValueError("pruning compares val_top1 during training; it needs this as the only objective")
        return pruner

    @property
    def objectives(self) -> list[str]:
        """The objectives in the order of the file."""
        return [self.objective] if isinstance(self.objective, str) else list(self.objective)

    @property
    def needs_timings(self) -> bool:
        """True if an objective or a constraint needs the measuring stage."""
        return any(search_quantity(name).measured for name in (*self.objectives, *self.constraints.bounds()))
