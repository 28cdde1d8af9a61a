"""Generates the JSON Schema of a sweep file, for completion and validation in editors."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pydantic import BaseModel
from pydantic.json_schema import models_json_schema

from harness.sweep.blocks import NAMED_MODELS, PLAIN_MODELS
from harness.sweep.reading.document import KEYS, SweepHead
from harness.sweep.schema import VaryBlock
from harness.sweep.tune.config import TuneConfig

DIALECT = "https://json-schema.org/draft/2020-12/schema"


def sweep_schema(variant_configs: Mapping[str, type[BaseModel]]) -> dict[str, Any]:
    """Returns the schema of a sweep file (draft 2020-12); `variant_configs` maps names of variants to their Config.

    The schema describes the allowed fields. It does not require any, since a base may provide them, and does not check
    combinations of blocks: planning does.
    """
    named = [model for models in NAMED_MODELS.values() for model in models.values()]
    every: list[type[BaseModel]] = [
        SweepHead,
        VaryBlock,
        TuneConfig,
        *PLAIN_MODELS.values(),
        *named,
        *variant_configs.values(),
    ]
    models = list(dict.fromkeys(every))
    refs, made = models_json_schema([(model, "validation") for model in models], ref_template="#/$defs/{model}")
    keys = {model: refs[model, "validation"]["$ref"].split("/")[-1] for model in models}
    definitions = {name: _nothing_required(definition) for name, definition in made["$defs"].items()}
    properties = dict(definitions.pop(keys[SweepHead])["properties"])
    properties |= {block: _or_null(_ref(keys[model])) for block, model in PLAIN_MODELS.items()}
    for block, choices in NAMED_MODELS.items():
        properties[block] = _named_block({name: keys[model] for name, model in choices.items()})
    for name, model in variant_configs.items():
        definitions[f"variant_{name}"] = _with_name(definitions[keys[model]], name)
    properties["variant"] = _named_block({name: f"variant_{name}" for name in variant_configs})
    properties["tune"] = _or_null(_ref(keys[TuneConfig]))
    properties["vary"] = _or_null({"type": "array", "items": _ref(keys[VaryBlock])})
    return {
        "$schema": DIALECT,
        "title": "sweep",
        "type": "object",
        "additionalProperties": False,
        "properties": {key: properties[key] for key in KEYS},
        "$defs": definitions,
    }


def _ref(key: str) -> dict[str, Any]:
    return {"$ref": f"#/$defs/{key}"}


def _or_null(schema: dict[str, Any]) -> dict[str, Any]:
    return {"oneOf": [schema, {"type": "null"}]}


def _nothing_required(definition: dict[str, Any]) -> dict[str, Any]:
    """Returns a definition without required fields, except `name`, which distinguishes the choices of a block."""
    kept = {key: value for key, value in definition.items() if key != "required"}
    return {**kept, "required": ["name"]} if "name" in definition.get("required", []) else kept


def _with_name(config: dict[str, Any], name: str) -> dict[str, Any]:
    fields = {"name": {"const": name, "type": "string"}, **config.get("properties", {})}
    return {**config, "title": name, "properties": fields, "required": ["name"]}


def _named_block(choices: Mapping[str, str]) -> dict[str, Any]:
    """Returns the schema of a named block: a name, a name with fields, or fields for the name that the base gives."""
    alone = {"enum": list(choices), "description": "the name alone; all fields take their defaults"}
    unnamed = {"type": "object", "not": {"required": ["name"]}, "description": "fields only; the base gives the name"}
    return {"oneOf": [alone, *(_ref(key) for key in choices.values()), unnamed, {"type": "null"}]}
