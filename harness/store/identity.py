"""Ids of trials and rows: hashes of the configuration, so that a stored configuration can be compared with its id."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Collection, Mapping, Set
from typing import Any

from harness.record import Record

#: the preset is only a name for sizes that are resolved; a path says where weights lie, their hash what they are
NOT_IDENTITY: dict[str, Set[str]] = {"model": {"size"}, "weights": {"file"}}
#: fields that say where the data lie, by data set, of records that do not hold them
LOCATIONS_BEFORE: dict[str, Set[str]] = {
    "video_list": {"train_list", "val_list", "test_list", "root"}, "moving_shapes": set(), "random": set(),
}  # fmt: skip


def canonical_json(value: Any) -> str:
    """Return JSON with sorted keys, no spaces and the shortest floats; -0.0 is written as 0.0."""
    text = json.dumps(value, sort_keys=True, separators=(",", ":"), allow_nan=False)
    if "-0.0" not in text:
        return text
    return json.dumps(_positive_zero(value), sort_keys=True, separators=(",", ":"), allow_nan=False)


def _positive_zero(value: Any) -> Any:
    if isinstance(value, float):
        return value + 0.0
    if isinstance(value, dict):
        return {key: _positive_zero(item) for key, item in value.items()}
    return [_positive_zero(item) for item in value] if isinstance(value, list | tuple) else value


def block_text(fields: Mapping[str, Any], left_out: Collection[str]) -> str:
    """Return canonical JSON of one block without the fields that are not part of its identity."""
    return canonical_json({key: value for key, value in fields.items() if key not in left_out})


def config_text(block_texts: Mapping[str, str]) -> str:
    """Join the canonical JSON of blocks into that of the whole configuration."""
    return "{" + ",".join(f'"{name}":{block_texts[name]}' for name in sorted(block_texts)) + "}"


def row_id(config: str, data_identity: str) -> str:
    """Return 12 hex digits that identify a configuration without its seed."""
    return _short_hash(f'{{"config":{config},"data":{json.dumps(data_identity)}}}')


def trial_id(config: str, data_identity: str, seed: int) -> str:
    """Return 12 hex digits that identify a configuration with its seed."""
    return _short_hash(f'{{"config":{config},"data":{json.dumps(data_identity)},"seed":{seed}}}')


def _short_hash(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:12]


def can_be_compared(record: Record) -> bool:
    """Return whether the ids of a record follow from it: old records of a user's data set lack its location fields."""
    data = record.config.get("data")
    return record.location_fields is not None or not isinstance(data, dict) or data.get("name") in LOCATIONS_BEFORE


def ids_of_record(record: Record) -> tuple[str, str]:
    """Return the ids of the row and of the trial that the stored configuration has by its content."""
    return ids_of_config(record.config, record.data_identity, record.seed, record.location_fields)


def ids_of_config(
    config: Mapping[str, Any], data_identity: str, seed: Any, location_fields: Collection[str] | None
) -> tuple[str, str]:
    """Return the ids of the row and of the trial of a resolved configuration.

    `location_fields` are the fields of `data` that say where the data lie; None: those of the data sets known here.
    """
    texts = {}
    for name, fields in config.items():
        if isinstance(fields, dict):
            left_out: Collection[str] = NOT_IDENTITY.get(name, set())
            if name == "data":
                known = LOCATIONS_BEFORE.get(str(fields.get("name")), set())
                left_out = known if location_fields is None else location_fields
            texts[name] = block_text(fields, left_out)
    text = config_text(texts)
    return row_id(text, data_identity), trial_id(text, data_identity, seed)
