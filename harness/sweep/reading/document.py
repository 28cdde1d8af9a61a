"""Merges a sweep file, its bases and `--set` overrides into one tree of nodes; types its top-level fields."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

from pydantic import Field, ValidationError, field_validator

from harness.errors import Fault, UserError
from harness.nn.config import StrictConfig
from harness.sweep.reading.faults import FaultList, describe, field_faults, unknown_field
from harness.sweep.reading.mapping import compose_mapping
from harness.sweep.reading.node import Mark, Node
from harness.sweep.reading.text import check_characters, printable, read_file
from harness.sweep.reading.yaml import compose_text

NAMED_BLOCKS = ("data", "variant", "readout")
PLAIN_BLOCKS = ("model", "global_tokens", "train", "measure", "launch")
OPTIONAL_BLOCKS = ("weights",)  # null or absent means none, not the defaults
BLOCKS = (*NAMED_BLOCKS, *PLAIN_BLOCKS, *OPTIONAL_BLOCKS)
KEYS = ("question", "base", *BLOCKS, "vary", "tune", "seeds", "baseline")
MAX_BASES = 10
MAX_TRIALS = 20_000

Seed = Annotated[int, Field(ge=0, lt=2**31)]


class SweepHead(StrictConfig):
    """The top-level fields of a sweep other than its blocks: question, base, seeds, baseline."""

    question: Annotated[str, Field(min_length=1, description="the question that the sweep answers, in one sentence")]
    base: str | None = Field(None, description="file whose blocks are the defaults, relative to this file")
    seeds: Annotated[int, Field(ge=1, le=MAX_TRIALS)] | Annotated[list[Seed], Field(min_length=1)] = Field(
        1, description="N = seeds 0 to N-1, or a list of distinct seeds; all rows run with each"
    )
    baseline: dict[str, Any] | None = Field(None, description="dotted paths and values that select one row")

    @field_validator("seeds")
    @classmethod
    def _distinct(cls, seeds: int | list[int]) -> int | list[int]:
        if isinstance(seeds, list) and len(set(seeds)) < len(seeds):
            raise ValueError("a seed is listed twice; each runs once")
        return seeds

    @property
    def seed_list(self) -> list[int]:
        """The seeds in the order of the file."""
        return list(range(self.seeds)) if isinstance(self.seeds, int) else self.seeds


@dataclass(frozen=True)
class Setting:
    """One `--set path=value`."""

    path: tuple[str, ...]
    leaf: Node


def sweep_name(path: Path) -> str:
    """Returns the name of a sweep: the stem of its file, which also names the folder of its runs.

    Raises:
        UserError: the stem has characters other than letters, digits, '.', '_' and '-', or starts with a dot.
    """
    file = printable(str(path))
    return check_name(path.stem, Mark(file, 1, 1, file), "Rename the file")


def check_name(name: str, mark: Mark, way_out: str) -> str:
    """Return a name that can be that of a sweep, see `sweep_name`. Raises: UserError where it cannot."""
    if not re.fullmatch(r"[A-Za-z0-9_-][A-Za-z0-9._-]*", name):
        message = f"{name!r} cannot name a sweep: letters, digits, '.', '_', '-', no dot in front. {way_out}"
        raise UserError([Fault(str(mark), "", printable(message))])
    return name


def read_document(
    source: Path | Mapping[str, Any], overrides: Sequence[str], faults: FaultList
) -> tuple[Node | None, list[tuple[str, ...]]]:
    """The merged tree of a sweep file or dict (None where it cannot be read at all) and the paths set by hand."""
    settings = [item for item in (parse_override(text, faults) for text in overrides) if item is not None]
    if isinstance(source, Path):
        root = _with_bases(source, faults, (), None)
    else:
        content = compose_mapping(source, faults)
        root = content if content is None else _on_base(content, Path(), faults, ())
    if root is None:
        return None, []
    seen: set[tuple[str, ...]] = set()
    for setting in sorted(settings, key=lambda item: assignment_order(item.path)):
        if setting.path in seen:
            faults.add(setting.leaf.head, ".".join(setting.path), "set twice; keep one")
        seen.add(setting.path)
        root = assign(root, setting.path, setting.leaf, faults)
    return root, [setting.path for setting in settings]


def _with_bases(path: Path, faults: FaultList, above: tuple[Path, ...], blame: Mark | None) -> Node | None:
    root = read_file(path, faults, blame)
    return None if root is None else _on_base(root, path.parent, faults, (*above, path))


def _on_base(root: Node, folder: Path, faults: FaultList, chain: tuple[Path, ...]) -> Node:
    """`root` on the base that it names, whose path starts in `folder`; `chain` are the files read so far."""
    base = root.child("base")
    for key, child in root.children.items():
        if key not in KEYS:
            faults.add(child.head, key, unknown_field("a sweep", key, KEYS))
    if base is None or base.value is None:
        return root
    if not isinstance(base.value, str) or not base.value:
        faults.add(base.mark, "base", f"expected the path of a YAML file or null, got {describe(base.plain())}")
        return root
    target = folder / base.value
    if len(chain) > MAX_BASES or target.resolve() in [file.resolve() for file in chain]:
        faults.add(base.mark, "base", f"{printable(base.value)} leads back to this file; a chain of bases must end")
        return root
    below = _with_bases(target, faults, chain, base.mark)
    return root if below is None else _merge(below, root)


def _merge(below: Node, above: Node) -> Node:
    """Returns `above` with missing fields taken from `below`, block by block."""
    merged = {**below.children, **above.children}
    for block in BLOCKS:
        lower, upper = below.child(block), above.child(block)
        if lower is not None and upper is not None:
            merged[block] = _merge_block(block, lower, upper)
    return above.holding(merged)


def _merge_block(block: str, lower: Node, upper: Node) -> Node:
    if block in NAMED_BLOCKS:
        lower, upper = as_mapping(lower), as_mapping(upper)
        name = upper.child("name")
        other = lower.child("name")
        if name is not None and (other is None or other.value != name.value):
            return upper
    if not (lower.is_mapping and upper.is_mapping):
        return upper
    return upper.holding({**lower.children, **upper.children})


def as_mapping(block: Node) -> Node:
    """Converts a named block written as plain text to a mapping: joint -> {name: joint}."""
    return block.holding({"name": block}) if isinstance(block.value, str) else block


def parse_override(text: str, faults: FaultList) -> Setting | None:
    """Parses one `--set` argument; returns None, with a fault added, if it cannot be used."""
    place = Mark(f"--set {printable(text)}", 1, 1)
    name, equals, value = text.partition("=")
    path = tuple(part.strip() for part in name.split("."))
    if not equals or not all(path) or not value.strip():
        faults.add(place, "", "expected path=value, such as train.num_steps=100 (null removes a value)")
    elif path[0] not in KEYS:
        faults.add(place, printable(name), printable(unknown_field("a sweep", path[0], KEYS)))
    elif path[0] == "base":
        faults.add(place, "base", "the base is read before --set; change it in the file")
    elif path[0] in PLAIN_BLOCKS and len(path) == 1:
        faults.add(place, name, f"the whole block cannot be replaced; set its fields, such as {name}.FIELD=value")
    elif path[0] not in (*BLOCKS, "tune") and len(path) > 1:
        faults.add(place, name, f"{path[0]} has no fields; set it as a whole")
    elif check_characters(value, place.file, faults, len(name) + 1):
        leaf = compose_text(value, place.file, faults, len(name) + 1, path)
        return Setting(path, Node(leaf.value, leaf.mark, place)) if leaf is not None else None
    return None


def assignment_order(path: Sequence[str]) -> int:
    """Returns the sort key of an assignment: whole blocks first, then names, then fields of those blocks."""
    return 0 if len(path) == 1 else 1 if path[0] in NAMED_BLOCKS and path[1] == "name" else 2


def assign(root: Node, path: Sequence[str], leaf: Node, faults: FaultList) -> Node:
    """Returns the tree with one field set; adds a fault if the field cannot be set.

    A new name for a named block clears the block, so that fields of one variant never reach another. Setting the
    current name changes nothing.
    """
    block = root.child(path[0])
    if len(path) == 1:
        return root.put(path, leaf)
    if block is not None and path[0] in NAMED_BLOCKS:
        block = as_mapping(block)
        old = block.child("name")
        if path[1:] == ("name",) and (old is None or old.value != leaf.value) and block.is_mapping:
            block = block.holding({})
        root = root.put(path[:1], block)
    try:
        return root.put(path, leaf)
    except TypeError:
        where = ".".join(path)
        faults.add(leaf.head, leaf.via + where, "cannot be set: its parent is not a mapping; set the parent as a whole")
        return root


def read_head(root: Node, faults: FaultList) -> SweepHead:
    """Returns the typed top-level fields; placeholders if they have faults, so that the other checks still run."""
    typed = ("question", "seeds", "baseline")
    head = root.holding({key: child for key, child in root.children.items() if key in typed})
    try:
        return SweepHead.model_validate(head.plain())
    except ValidationError as error:
        for mark, path, message in field_faults(error, head, (), "a sweep", KEYS):
            if not (faults.incomplete and message.startswith("missing")):
                faults.add(mark, path, message)
    return SweepHead(question="?")
