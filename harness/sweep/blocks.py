"""Checks one block of a sweep (data, model, variant, ...) and converts it to typed configuration."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Protocol, get_args

from pydantic import BaseModel, ValidationError

from harness.errors import UserError, did_you_mean
from harness.nn.config import GlobalTokensConfig, ModelConfig
from harness.nn.geometry import TrunkGeometry
from harness.sweep.launch.config import LaunchConfig
from harness.sweep.reading.document import OPTIONAL_BLOCKS, as_mapping
from harness.sweep.reading.faults import FaultList, describe, field_faults, literal_faults, one_of, unknown_name
from harness.sweep.reading.node import Node, nearest
from harness.sweep.schema import DataConfig, MeasureConfig, ReadoutConfig, TrainConfig, WeightsConfig

PLAIN_MODELS: dict[str, type[BaseModel]] = {
    "model": ModelConfig,
    "global_tokens": GlobalTokensConfig,
    "train": TrainConfig,
    "measure": MeasureConfig,
    "launch": LaunchConfig,
    "weights": WeightsConfig,
}


class LoadedVariant(Protocol):
    """The part of a variant class that planning uses."""

    Config: ClassVar[Any]
    default_readout: ClassVar[str]
    cannot_read: ClassVar[Mapping[str, str]]

    def __init__(self, config: Any, trunk: TrunkGeometry) -> None: ...

    @property
    def class_token_out(self) -> str:
        """The class token that the variant returns: clip, frame or none."""

    def validate(self) -> Iterable[tuple[str, str]]:
        """Yields (field, message) for every combination that the variant does not support."""


VariantLoader = Callable[[str], type[LoadedVariant]]


def named_models(union: Any) -> dict[str, type[BaseModel]]:
    """Returns name -> model for a block that is selected by its field `name`."""
    members = get_args(get_args(union)[0])
    return {get_args(member.model_fields["name"].annotation)[0]: member for member in members}


NAMED_MODELS: Mapping[str, dict[str, type[BaseModel]]] = {
    "data": named_models(DataConfig),
    "readout": named_models(ReadoutConfig),
}


@dataclass(frozen=True)
class CheckedBlock:
    """A block without faults: its place in the file and its typed configuration.

    `variant` is the class, for a variant block. `config` is None for an optional block that is left out.
    """

    node: Node
    config: Any
    variant: type[LoadedVariant] | None = None


class BlockChecker:
    """Checks blocks one at a time. Problems are added to the fault list, and the block is then None."""

    def __init__(self, load_variant: VariantLoader, faults: FaultList):
        self.load_variant, self.faults = load_variant, faults
        self._loaded: dict[str, type[LoadedVariant]] = {}

    def check(
        self, block: str, node: Node | None, root: Node, default_name: str | None = None, partial: bool = False
    ) -> CheckedBlock | None:
        """Checks one block of a sweep.

        `default_name` replaces the missing name of a named block ("": the name is unknown, and this is no fault).
        `partial` allows missing fields, for a block that rows complete.
        """
        if node is None or node.value is None:
            node = Node({}, root.mark) if node is None else node.holding({})
            if block in OPTIONAL_BLOCKS:
                return CheckedBlock(node, None)
        node = as_mapping(node) if block not in PLAIN_MODELS else node
        if not node.is_mapping:
            expected = "a mapping" if block in PLAIN_MODELS else "a name or a mapping with a name"
            self.faults.add(node.mark, node.via + block, f"expected {expected}, got {describe(node.plain())}")
            return None
        if block in PLAIN_MODELS:
            return self._typed(block, node, PLAIN_MODELS[block], block, node.plain(), partial)
        name = self._name(block, node, default_name)
        if name is None:
            return None
        if block == "variant":
            return self._variant(node, name, partial)
        model = NAMED_MODELS[block].get(name)
        if model is None:
            self._wrong_name(block, node, unknown_name(name, list(NAMED_MODELS[block])))
            return None
        return self._typed(block, node, model, name, {**node.plain(), "name": name}, partial)

    def _name(self, block: str, node: Node, default_name: str | None) -> str | None:
        given = node.child("name")
        if given is None:
            if default_name is None and not self.faults.incomplete:
                self._missing_name(block, node)
            return default_name or None
        if isinstance(given.value, str):
            return given.value
        self._wrong_name(block, node, f"expected the name of a {block}, got {describe(given.plain())}")
        return None

    def _missing_name(self, block: str, node: Node) -> None:
        names = f"; {one_of(list(NAMED_MODELS[block]))}" if block in NAMED_MODELS else ""
        misspelt = [child for key, child in node.children.items() if did_you_mean(key, ["name"])]
        hint = " Did you mean name?" if misspelt else ""
        mark = misspelt[0].head if misspelt else node.head
        self.faults.add(mark, f"{node.via}{block}.name", f"missing; {block} needs a name{names}.{hint}")

    def _wrong_name(self, block: str, node: Node, message: str) -> None:
        name, _, via = nearest(node, ("name",))
        self.faults.add(name.mark, f"{via}{block}.name", message)

    def _variant(self, node: Node, name: str, partial: bool) -> CheckedBlock | None:
        try:
            variant = self._loaded.get(name) or self.load_variant(name)
            self._loaded[name] = variant
        except UserError as error:
            given, _, via = nearest(node, ("name",))
            self.faults.absorb(error, given.mark, f"{via}variant.name")
            return None
        fields = {key: child.plain() for key, child in node.children.items() if key != "name"}
        checked = self._typed("variant", node, variant.Config, name, fields, partial)
        return CheckedBlock(node, checked.config, variant) if checked else None

    def _typed(
        self, block: str, node: Node, model: type[BaseModel], owner: str, fields: dict[str, Any], partial: bool
    ) -> CheckedBlock | None:
        try:
            config = model.model_validate(fields)
        except ValidationError as error:
            allowed = [*model.model_fields, "name"] if block == "variant" else list(model.model_fields)
            for mark, path, message in field_faults(error, node, (block,), owner, allowed):
                if not (message.startswith("missing") and (partial or self.faults.incomplete)):
                    self.faults.add(mark, path, message)
            return None
        before = len(self.faults)
        for fault in literal_faults(config, node, (block,)):
            self.faults.add(*fault)
        return CheckedBlock(node, config) if len(self.faults) == before else None
