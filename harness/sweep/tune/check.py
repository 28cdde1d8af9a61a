"""Checks a `tune:` block: its own fields, and every searched field against the configuration of every row."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pydantic import BaseModel, ValidationError

from harness.data import scored_labels
from harness.errors import did_you_mean
from harness.fields import matches, path_of
from harness.sweep.blocks import BlockChecker
from harness.sweep.expand import Axis, VaryPoint
from harness.sweep.reading.document import NAMED_BLOCKS, SweepHead, assign
from harness.sweep.reading.faults import FaultList, describe, field_faults, unknown_field
from harness.sweep.reading.node import Node
from harness.sweep.resolve import Resolver, Row
from harness.sweep.tune.config import ConstraintsConfig, ParameterConfig, TuneConfig
from harness.sweep.tune.space import VIA, Parameter, RowSpace, Tuning

SEARCHABLE = ("model", "variant", "readout", "global_tokens", "train")


def check_tune(
    root: Node, head: SweepHead, overridden: Sequence[Axis], rows: Sequence[tuple[VaryPoint, Row]], resolver: Resolver
) -> Tuning | None:
    """Returns the checked `tune:` block with a space for each row; None if there is no block or it has faults."""
    node, faults = root.child("tune"), resolver.faults
    if node is None or node.value is None:
        return None
    config = _typed_block(node, faults)
    if config is None:
        return None
    fields = {key: child for key, child in node.children["space"].children.items() if _searchable(key, child, faults)}
    _check_overrides(fields, overridden, faults)
    train_seed = _train_seed(config, node, head, faults)
    spaces: dict[str, RowSpace] = {}
    _check_owners(config, fields, [row for _, row in rows], faults)
    for point, row in rows:
        parameters = tuple(_parameters(config, fields, _RowFields(point, row, resolver)))
        spaces.setdefault(row.row_id, RowSpace(row, point, parameters))
    _check_where(config, fields, [row for _, row in rows], faults)
    _check_label(config, node, [row for _, row in rows], faults)
    for space in spaces.values():
        if not len(faults):  # one fault is enough
            _check_size(space, config, node, faults)
    return Tuning(config, spaces, train_seed, resolver)


def _typed_block(node: Node, faults: FaultList) -> TuneConfig | None:
    """Returns the block's own fields; checks its parts first, so that a fault names the fields of the part."""
    if not node.is_mapping:
        faults.add(node.mark, "tune", f"expected a mapping, got {describe(node.plain())}")
        return None
    before, space, bounds = len(faults), node.child("space"), node.child("constraints")
    for key, child in space.children.items() if space is not None else ():
        _typed(child, ParameterConfig, ("tune", "space", key), key, faults)
    if bounds is not None:
        _typed(bounds, ConstraintsConfig, ("tune", "constraints"), "constraints", faults)
    whole = dict(node.plain())
    if len(faults) > before:  # the faults of the parts are known; placeholders allow checking the rest
        whole = {key: value for key, value in whole.items() if key != "constraints"}
        whole["space"] = {"train.learning_rate": {"low": 1, "high": 2}}
    config = _validated(node, TuneConfig, whole, ("tune",), "tune", faults)
    return config if len(faults) == before else None


def _typed(node: Node, model: type[BaseModel], path: tuple[str, ...], owner: str, faults: FaultList) -> None:
    if not node.is_mapping:
        faults.add(node.mark, _dotted(path), f"expected a mapping, got {describe(node.plain())}")
        return
    _validated(node, model, node.plain(), path, owner, faults)


def _validated(
    node: Node, model: type[BaseModel], fields: Mapping[str, Any], path: tuple[str, ...], owner: str, faults: FaultList
) -> Any:
    try:
        return model.model_validate(fields)
    except ValidationError as error:
        for mark, where, message in field_faults(error, node, path, owner, list(model.model_fields)):
            faults.add(mark, where, message)
    return None


def _dotted(path: Sequence[str]) -> str:
    return ".".join(path)


def _searchable(key: str, node: Node, faults: FaultList) -> bool:
    block, _, field = key.partition(".")
    if block not in SEARCHABLE:
        problem = unknown_field("a search", block, SEARCHABLE)
    elif not field or "." in field:
        problem = f"name one field, such as {block}.FIELD"
    elif block in NAMED_BLOCKS and field == "name":
        problem = f"a search stays within its row; list the names under vary, such as grid: {{{block}: [...]}}"
    elif key in ("train.device", "train.num_threads", "train.num_processes"):
        problem = "this field sets how a trial runs and is no part of a search; set it in the block train"
    else:
        return True
    faults.add(node.head, VIA + key, problem)
    return False


def _check_overrides(fields: Mapping[str, Node], overridden: Sequence[Axis], faults: FaultList) -> None:
    for path in overridden:
        if (name := _dotted(path)) in fields:
            faults.add(
                fields[name].head,
                VIA + name,
                f"--set {name} would have no effect, because the field is searched; remove one of the two",
            )


def _train_seed(config: TuneConfig, node: Node, head: SweepHead, faults: FaultList) -> int:
    """Returns the seed of the tuning trials. It differs from the sweep's seeds: a selected trial is biased upwards."""
    if config.train_seed in head.seed_list:
        message = f"{config.train_seed} is one of seeds, so the table would show trials that the search selected"
        faults.add(node.children["train_seed"].mark, "tune.train_seed", f"{message}; choose another")
    return max(head.seed_list) + 1 if config.train_seed is None else config.train_seed


@dataclass(frozen=True)
class _RowFields:
    """The fields of one row, for checking one value at a time."""

    point: VaryPoint
    row: Row
    resolver: Resolver

    def takes(self, path: Axis, value: Node, faults: FaultList) -> bool:
        """Returns True if the block accepts a value; combinations of fields are checked for a whole proposal only."""
        block, root, before = path[0], self.resolver.root, len(faults)
        base = root.child(block)
        tree = root.holding({block: base} if base is not None else {})
        for axis, node in {**self.point.settings, path: value}.items():
            tree = assign(tree, axis, node, faults) if axis[0] == block else tree
        checker = BlockChecker(self.resolver.checker.load_variant, faults)
        checker.check(block, tree.child(block), tree, default_name=(self.row.blocks[block] or {}).get("name"))
        return len(faults) == before


def _parameters(config: TuneConfig, fields: Mapping[str, Node], of_row: _RowFields) -> Iterator[Parameter]:
    """Yields the searched parameters of one row; checks each value against the row's typed configuration."""
    faults = of_row.resolver.faults
    for key, node in fields.items():
        parameter, path = config.space[key], path_of(key)
        if parameter.where is not None and not matches(of_row.row.blocks, parameter.where):
            continue
        if faults.has(node.head, VIA + key):
            continue
        if path in of_row.point.settings:
            faults.add(node.head, VIA + key, f"vary sets {key} in its rows; search it or vary it, not both")
            continue
        taken = [
            of_row.takes(path, value, faults) for value in _values(node)
        ]  # a list, to report the faults of all values
        if all(taken):
            yield Parameter(key, parameter, _takes_integers_only(parameter, node, path, of_row), node)


def _values(node: Node) -> list[Node]:
    """Returns every value that a parameter names: both ends, or all choices."""
    choices, ends = node.child("choices"), (node.child("low"), node.child("high"))
    named = list(choices.value) if choices is not None else [child for child in ends if child is not None]
    return [Node(child.value, child.mark, node.key_mark, VIA) for child in named]


def _takes_integers_only(parameter: ParameterConfig, node: Node, path: Axis, of_row: _RowFields) -> bool:
    """Returns True if the field rejects a fractional number between the two ends."""
    low, high = parameter.low, parameter.high
    if not isinstance(low, int) or not isinstance(high, int):
        return False
    return not of_row.takes(path, Node(low + (high - low) * 0.4142135, node.mark), FaultList())


def _check_owners(config: TuneConfig, fields: Mapping[str, Node], rows: Sequence[Row], faults: FaultList) -> None:
    """Adds a fault for a field that only some of its rows have: `where` must select those rows."""
    for key, node in fields.items():
        (block, field), where = path_of(key), config.space[key].where or {}
        blocks = [row.blocks[block] or {} for row in rows if matches(row.blocks, where)]
        owners = list(dict.fromkeys(of_row["name"] for of_row in blocks if field in of_row and "name" in of_row))
        others = list(dict.fromkeys(of_row["name"] for of_row in blocks if field not in of_row and "name" in of_row))
        if owners and others:
            way_out = f"select the rows that have it with where: {{{block}: [{', '.join(owners)}]}}"
            faults.add(node.head, VIA + key, f"{', '.join(others)} has no such field; {way_out}")


def _check_where(config: TuneConfig, fields: Mapping[str, Node], rows: Sequence[Row], faults: FaultList) -> None:
    for key, node in fields.items():
        where = config.space[key].where
        if where is not None and rows and not any(matches(row.blocks, where) for row in rows):
            faults.add(
                node.children["where"].head,
                f"{VIA}{key}.where",
                "no row has these values; use values of the rows in vary",
            )


def _check_label(config: TuneConfig, node: Node, rows: Sequence[Row], faults: FaultList) -> None:
    for row in rows if config.label is not None else ():
        known = scored_labels(row.blocks["data"] or {})
        if config.label not in known:
            message = f"{config.label!r} given; the data has the labels {', '.join(known)}."
            faults.add(node.children["label"].mark, "tune.label", message + did_you_mean(config.label or "", known))
            return


def _check_size(space: RowSpace, config: TuneConfig, node: Node, faults: FaultList) -> None:
    """Adds a fault for an empty space, and for one with fewer configurations than the budget."""
    size = 1
    for item in space.parameters:
        points = item.num_points
        if points is None:
            return
        size *= points
    name = (space.row.blocks["variant"] or {})["name"]
    if not space.parameters:
        message = f"nothing is searched for a row with variant {name}; widen a `where`, or remove the row from vary"
        faults.add(node.children["space"].head, "tune.space", message)
    elif size < config.num_trials:
        message = f"{config.num_trials} given, but a row with variant {name} has only {size} configurations"
        faults.add(
            node.children["num_trials"].mark, "tune.num_trials", f"{message}; at most {size}, or list them under vary"
        )
