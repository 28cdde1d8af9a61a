"""Resolves points into configurations with every default filled in; checks fields one by one, then together.

Thousands of rows share a few blocks, so each distinct block and each distinct combination is checked only once.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any, cast

from harness.data import data_set
from harness.data.data_set import DataSetConfig
from harness.errors import UserError
from harness.nn.geometry import TrunkGeometry
from harness.sweep import cross_checks, identity, weights_source
from harness.sweep.blocks import BlockChecker, CheckedBlock, VariantLoader
from harness.sweep.cross_checks import Problem
from harness.sweep.expand import Axis, VaryPoint
from harness.sweep.reading.document import BLOCKS, assign
from harness.sweep.reading.faults import FaultList
from harness.sweep.reading.node import Node, nearest

CONFIG_BLOCKS = tuple(block for block in BLOCKS if block != "launch")

BlockKey = tuple[tuple[Axis, int], ...]
Checks = dict[str, CheckedBlock]


@dataclass(frozen=True)
class Row:
    """One configuration without its seed."""

    row_id: str
    blocks: dict[str, dict[str, Any] | None]
    text: str
    data_identity: str


class Resolver:
    """Resolves the points of one sweep. Problems are added to the fault list, and the row is then None."""

    def __init__(
        self,
        root: Node,
        load_variant: VariantLoader,
        data_identity: Callable[[DataSetConfig], str],
        device: Callable[[], str],
        faults: FaultList,
    ):
        self.root, self.faults = root, faults
        self.checker = BlockChecker(load_variant, faults)
        self.data_identity, self.device = data_identity, device
        self.check_device = False  # whether a GPU that a row names must be there
        self._memo: dict[Any, Any] = {}

    def _once(self, key: Any, make: Callable[..., Any], *inputs: Any) -> Any:
        if key not in self._memo:
            self._memo[key] = make(*inputs)
        return self._memo[key]

    def check_base(self) -> None:
        """Checks the blocks as written in the file, because it may be that no row uses a block unchanged."""
        for block in BLOCKS:
            node = self.root.child(block)
            nameless = block == "readout" and node is not None and node.is_mapping and not node.child("name")
            if node is not None and node.value is not None and not nameless:
                self.checker.check(block, node, self.root, partial=True)

    def row(self, point: VaryPoint) -> Row | None:
        """Returns the configuration of a point, or None if it has a fault."""
        keys: dict[str, BlockKey] = dict.fromkeys(CONFIG_BLOCKS, ())
        for path, node in point.settings.items():
            keys[path[0]] = (*keys[path[0]], (path, id(node)))
        checked = self._checked(point, keys)
        if checked is None or not self._fits(checked) or self._find_weights(checked["weights"]) is None:
            return None
        texts: dict[str, str] = {}
        blocks: dict[str, dict[str, Any] | None] = {}
        for name in CONFIG_BLOCKS:
            # data and readout take a default from the model, so their result depends on it
            shared = id(checked["model"]) if name in ("data", "readout") else 0
            blocks[name], text = self._once(("final", name, id(checked[name]), shared), self._final, name, checked)
            texts |= {} if text is None else {name: text}
        found = self._once(("identity", id(checked["data"])), self._identity, checked["data"])
        text = identity.config_text(texts)
        return None if found is None else Row(identity.row_id(text, found), blocks, text, found)

    def _checked(self, point: VaryPoint, keys: dict[str, BlockKey]) -> Checks | None:
        checked: dict[str, CheckedBlock | None] = {}
        # the variant names the default readout, so it is checked first
        for name in sorted(CONFIG_BLOCKS, key=lambda block: block == "readout"):
            default = None
            if name == "readout":
                variant = checked["variant"]
                default = variant.variant.default_readout if variant and variant.variant else ""
            key = ("block", name, keys[name], default)
            checked[name] = self._once(key, self._block, name, point, default)
        return None if None in checked.values() else cast(Checks, checked)

    def _block(self, name: str, point: VaryPoint, default: str | None) -> CheckedBlock | None:
        base = self.root.child(name)
        root = self.root.holding({name: base} if base is not None else {})
        for path, leaf in point.settings.items():
            if path[0] == name:
                root = assign(root, path, leaf, self.faults)
        return self.checker.check(name, root.child(name), root, default)

    def _fits(self, checked: Checks) -> bool:
        """Returns True if the blocks are compatible; adds a fault for each problem."""
        sound = True
        for names, problems in self._pairs(checked):
            key = ("fits", *names, *(id(checked[name]) for name in names))
            sound &= self._once(key, self._report, problems, checked)
            if names == ("model",) and not sound:
                return False
        return sound

    def _pairs(self, checked: Checks) -> Iterator[tuple[tuple[str, ...], Callable[[], Iterable[Problem]]]]:
        data, readout, train = (checked[name].config for name in ("data", "readout", "train"))
        model = cross_checks.resolve_size(checked["model"].config)
        yield ("model",), lambda: cross_checks.model_problems(model)
        yield ("train",), lambda: cross_checks.train_problems(train)
        yield ("data", "model"), lambda: cross_checks.data_problems(data, model)
        trio = ("variant", "model", "global_tokens")
        key = ("variant", *(id(checked[name]) for name in trio))
        variant = self._once(key, self._build, checked)
        yield trio, lambda: cross_checks.variant_problems(variant.validate(), BLOCKS)
        yield (
            ("readout", *trio),
            lambda: cross_checks.readout_problems(readout, model, self._name(checked), variant),
        )

    def _build(self, checked: Checks) -> Any:
        trunk = TrunkGeometry.of(checked["model"].config, checked["global_tokens"].config)
        variant = checked["variant"].variant
        return variant(checked["variant"].config, trunk) if variant else None

    @staticmethod
    def _name(checked: Checks) -> str:
        return str(checked["variant"].node.children["name"].value)

    def _report(self, problems: Callable[[], Iterable[Problem]], checked: Checks) -> bool:
        """Adds each problem at a field that the file sets, an axis before the base; returns True without problems."""
        sound = True
        for problem in problems():
            sound = False
            self.faults.add(*self._blame(problem, checked))
        return sound

    def _blame(self, problem: Problem, checked: Checks) -> tuple[Any, str, str]:
        written: list[tuple[str, Node, str]] = []
        for field in problem.fields:
            block, *rest = field.split(".")
            node, depth, via = nearest(checked[block].node, tuple(rest))
            if depth == len(rest):
                written.append((field, node, via))
        if not written:
            block = problem.fields[0].split(".")[0]
            return checked[block].node.head, problem.fields[0], problem.message
        field, node, via = next((item for item in written if item[2]), written[0])
        value = node.plain()
        return node.mark, f"{via}{field}" + ("" if isinstance(value, dict | list) else f"={value}"), problem.message

    def _find_weights(self, weights: CheckedBlock) -> str | None:
        """Returns the content hash of the weights file; "" without weights, None if the file cannot be used."""
        return cast(str | None, self._once(("weights", id(weights)), self._weights, weights))

    def _weights(self, weights: CheckedBlock) -> str | None:
        if weights.config is None:
            return ""
        try:
            return weights_source.verified(weights.config.file, weights.config.sha256)[1]
        except UserError as error:
            node, _, via = nearest(weights.node, ("file",))
            self.faults.absorb(error, node.mark, f"{via}weights.file")
            return None

    def _final(self, name: str, checked: Checks) -> tuple[dict[str, Any] | None, str | None]:
        """Returns a block with every default filled in, and its identity; both None for an optional block left out."""
        config = checked[name].config
        if config is None:
            return None, None
        model = cross_checks.resolve_size(checked["model"].config)
        if name == "model":
            config = model
        elif name == "data":
            config = data_set(config).resolved(model)
        fields: dict[str, Any] = config.model_dump(mode="json")
        if name == "variant":
            fields = {"name": self._name(checked), **fields}
        if name == "readout" and fields.get("num_heads", 0) is None:
            fields["num_heads"] = model.num_heads
        if name == "weights":
            fields["sha256"] = self._find_weights(checked[name])
        if name == "train" and fields["device"] == "auto":
            fields["device"] = self._once("device", self.device)
        elif name == "train" and fields["device"] == "cuda" and self.check_device:
            self._check_gpu(checked[name].node)
        return fields, identity.block_text(name, fields)

    def _check_gpu(self, train: Node) -> None:
        """Adds a fault where this machine has no GPU."""
        if self._once("device", self.device) != "cuda":
            node, _, via = nearest(train, ("device",))
            message = "cuda given, but torch sees no CUDA device here; write cpu or auto, or run it on a cluster"
            self.faults.add(node.mark, f"{via}train.device", message)

    def _identity(self, data: CheckedBlock) -> str | None:
        try:
            return self.data_identity(data.config)
        except UserError as error:
            self.faults.absorb(error, data.node.head, "data")
            return None
