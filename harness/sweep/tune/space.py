"""Search spaces of the rows of a sweep, and configurations resolved from proposals."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from harness.fields import path_of
from harness.sweep.expand import VaryPoint
from harness.sweep.reading.faults import FaultList
from harness.sweep.reading.node import Node
from harness.sweep.resolve import Resolver, Row
from harness.sweep.tune.config import ParameterConfig, TuneConfig

VIA = "tune.space."
Value = bool | int | float | str | None


@dataclass(frozen=True)
class Parameter:
    """One searched field of one row; `integer` is True if the field accepts only whole numbers."""

    name: str
    config: ParameterConfig
    integer: bool
    node: Node

    @property
    def path(self) -> tuple[str, ...]:
        """The dotted name as a path."""
        return path_of(self.name)

    def leaf(self, value: Value) -> Node:
        """Returns a value as a node at the place of this parameter in the sweep file."""
        return Node(value, self.node.mark, self.node.key_mark, VIA)

    def contains(self, value: Value) -> bool:
        """Returns True if the search can propose a value."""
        config = self.config
        if config.choices is not None:
            return any(type(value) is type(choice) and value == choice for choice in config.choices)
        if not isinstance(value, int | float) or config.low is None or config.high is None:
            return False
        step = config.step or (1 if self.integer else None)
        on_grid = step is None or abs((value - config.low) / step - round((value - config.low) / step)) < 1e-9
        return config.low <= value <= config.high and on_grid

    @property
    def num_points(self) -> int | None:
        """Number of possible values; None if there are infinitely many."""
        config = self.config
        if config.choices is not None:
            return len(config.choices)
        step = config.step or (1 if self.integer else None)
        assert config.low is not None
        assert config.high is not None
        return None if step is None else round((config.high - config.low) / step) + 1


@dataclass(frozen=True)
class RowSpace:
    """A row of the sweep and its searched parameters."""

    row: Row
    point: VaryPoint
    parameters: tuple[Parameter, ...]

    @property
    def own_values(self) -> dict[str, Value] | None:
        """Values of the searched fields in the file itself; None if the search cannot propose them."""
        blocks = self.row.blocks
        values = {item.name: (blocks[item.path[0]] or {}).get(item.path[1]) for item in self.parameters}
        return values if all(item.contains(values[item.name]) for item in self.parameters) else None


@dataclass(frozen=True)
class Tuning:
    """A checked `tune:` block: `spaces` by row_id, in the order of the rows."""

    config: TuneConfig
    spaces: dict[str, RowSpace]
    train_seed: int
    resolver: Resolver

    def resolve(self, row_id: str, values: Mapping[str, Value]) -> Row | str:
        """Returns the configuration of a proposal, or the reason why it cannot be built."""
        space, faults = self.spaces[row_id], FaultList()
        leaves = {item.path: item.leaf(values[item.name]) for item in space.parameters}
        resolver = Resolver(
            self.resolver.root,
            self.resolver.checker.load_variant,
            lambda data: space.row.data_identity,  # data and device are not searchable: both come from the row
            lambda: str((space.row.blocks["train"] or {})["device"]),
            faults,
        )
        row = resolver.row(VaryPoint({**space.point.settings, **leaves}))
        if row is not None and not len(faults):
            return row
        return "; ".join(f"{fault.path}: {fault.message}" for fault in faults.error().faults)
