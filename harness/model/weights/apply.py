"""Imports a file of weights into a model, and accounts for every parameter and every key."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor, nn

from harness.errors import UserError
from harness.model.video_transformer import VideoTransformer
from harness.model.weights import fit
from harness.model.weights.detect import LAYOUTS, detect
from harness.model.weights.files import read_weights
from harness.model.weights.fit import Fitted, Target
from harness.model.weights.layout import Translated, WeightsLayout, some, translate
from harness.model.weights.report import ImportReport, Item
from harness.model.weights.sizes import size_differences
from harness.nn.config import ModelConfig
from harness.sweep.schema import WeightsConfig
from harness.sweep.weights_source import verified

#: parameters that a file must have for every layer
ESSENTIAL = re.compile(
    r"encoder\.blocks\.\d+\.(norm1|attn\.qkv|attn\.proj|norm2|mlp\.fc1|mlp\.fc2)\.weight|embed\.proj\.weight"
)
POSITIONS = {"pos_embed": "spatial_position", "temporal_embed": "temporal_position", "joint_embed": "joint_position"}


def import_weights(model: VideoTransformer, model_config: ModelConfig, config: WeightsConfig) -> ImportReport:
    """Overwrite the parameters of `model` with those of `config.file`; parameters that it lacks stay as they are.

    Raises:
        UserError: the file cannot be read, has no known layout, does not fit the model, or has keys that neither its
            layout nor the model explains. The model is then unchanged.
    """
    path, _ = verified(config.file, config.sha256)
    state = read_weights(path)
    layout = detect(state, config.file) if config.layout == "auto" else LAYOUTS[config.layout]
    translated = translate(state, layout, model_config.tubelet_size > 1, config.file)
    differences = size_differences(model, translated.tensors, layout.num_heads(state))
    if differences:
        raise UserError(f"{config.file} (layout {layout.name}) does not fit the model: {'; '.join(differences)}")
    importer = Importer(model, model_config, config, layout, translated)
    fitted = importer.fit_all()
    with torch.no_grad():
        for name, tensor in fitted.items():
            importer.parameters[name].copy_(tensor)
    return importer.report


class Importer:
    """One import: decides where each parameter of the model comes from, and what happens to each key of the file."""

    def __init__(
        self, model: VideoTransformer, model_config: ModelConfig, config: WeightsConfig, layout: WeightsLayout,
        translated: Translated,
    ):  # fmt: skip
        self.model, self.model_config, self.config, self.layout = model, model_config, config, layout
        self.tensors, self.sources = translated.tensors, translated.sources
        self.parameters: dict[str, nn.Parameter] = dict(model.named_parameters())
        self.starts = model.variant.image_weights()
        self.report = ImportReport(config.file, layout.name, ignored=list(translated.ignored))
        self.report.notes = self._notes()
        self.used: set[str] = set()
        trunk = model.variant.trunk
        self.target = Target(
            (trunk.num_frames, trunk.height, trunk.width),
            layout.spatial if config.spatial_interpolation == "auto" else config.spatial_interpolation,
            layout.temporal if config.temporal_interpolation == "auto" else config.temporal_interpolation,
            config.tubelet_inflation,
            config.position_frames,
        )

    def fit_all(self) -> dict[str, Tensor]:
        """Return parameter -> its tensor, and fill the report."""
        fitted, faults = {}, []
        for name, parameter in self.parameters.items():
            source = self._source(name, parameter)
            if source is None:
                continue
            self.used.add(source)
            result, shape = self._fit_if_possible(name, source, parameter)
            if result is None:
                shapes = f"{tuple(shape)} in the file, {tuple(parameter.shape)} in the model"
                faults.append(f"{self.sources[source]} for {name}: {shapes}")
                continue
            fitted[name] = result.tensor
            getattr(self.report, result.how).append(Item(name, self.sources[source], result.detail))
        if faults:
            raise UserError(f"{self.config.file}: shapes differ: {some(faults)}")
        self._account_for_the_rest()
        return fitted

    def _fit_if_possible(
        self, name: str, source: str, parameter: nn.Parameter
    ) -> tuple[Fitted | None, tuple[int, ...]]:
        """Return (the tensor of a parameter, its shape); None with the shape in the file if it does not fit."""
        try:
            result = self._fit(name, source, parameter)
        except (RuntimeError, IndexError, ValueError):  # it has not the dimensions of such a table
            return None, self.tensors[source].shape
        return (result if result.tensor.shape == parameter.shape else None), result.tensor.shape

    def _source(self, name: str, parameter: nn.Parameter) -> str | None:
        """Return our name of the tensor for a parameter; None, with a line in the report, if there is none."""
        if name.startswith("embed.") and not parameter.requires_grad:
            self.report.initialised.append(Item(name, "", "fixed sinusoids"))
            return None
        if name.startswith("heads."):
            return self._classifier(name)
        if name in self.tensors:
            return name
        if name == "embed.joint_embed" and "embed.pos_embed" in self.tensors:
            return "embed.pos_embed"
        start = self._start(name)
        if start in self.tensors:
            return start
        self._require_optional(name)
        self.report.initialised.append(Item(name, "", "not in the file"))
        return None

    def _start(self, name: str) -> str | None:
        """Return our name of the image parameter from which the variant starts this one."""
        own = name.removeprefix("encoder.")
        for module, image in self.starts.items():
            if own == module or own.startswith(f"{module}."):
                there = image + own.removeprefix(module)
                return f"readout.{there}" if there.startswith("norm.") else f"encoder.{there}"
        return None

    def _require_optional(self, name: str) -> None:
        """Refuse a file that lacks an essential parameter, or one that it has for other layers."""
        kinds = {_kind(key) for key in self.tensors}
        if ESSENTIAL.fullmatch(name) or _kind(name) in kinds:
            raise UserError(
                f"{self.config.file} (layout {self.layout.name}): has nothing for {name}; the file is incomplete"
            )

    def _classifier(self, name: str) -> str | None:
        if self.config.classifier == "drop":
            self.report.initialised.append(Item(name, "", "weights.classifier: drop"))
            return None
        if len(self.model.heads) != 1:
            labels = ", ".join(self.model.heads)
            raise UserError(
                f"weights.classifier: keep, but the model has {len(self.model.heads)} classifiers ({labels}); drop it"
            )
        source = f"head.{name.rsplit('.', 1)[1]}"
        if source not in self.tensors:
            raise UserError(f"weights.classifier: keep, but {self.config.file} has no classifier; drop it")
        return source

    def _fit(self, name: str, source: str, parameter: nn.Parameter) -> Fitted:
        tensor, has_class = self.tensors[source], "embed.cls_token" in self.tensors
        like_has_class = self.model.embed.cls_token is not None
        if name == "embed.proj.weight":
            return fit.fit_patches(tensor, parameter, self.target)
        if name == "embed.temporal_embed":
            return fit.fit_temporal(tensor, self.target)
        with_class: dict[tuple[str, str], Callable[..., Fitted]] = {
            ("embed.pos_embed", "embed.pos_embed"): fit.fit_spatial,
            ("embed.joint_embed", "embed.joint_embed"): fit.fit_joint,
            ("embed.joint_embed", "embed.pos_embed"): fit.fit_image_to_joint,
        }
        if (name, source) in with_class:
            return with_class[name, source](tensor, has_class, parameter.detach(), like_has_class, self.target)
        return Fitted(tensor)

    def _account_for_the_rest(self) -> None:
        """Report the reason for every unused key. Raises: UserError for keys without one."""
        unexplained = []
        for name in self.tensors:
            if name in self.used:
                continue
            reason = self._why_unused(name)
            if reason is None:
                unexplained.append(self.sources[name])
            else:
                self.report.ignored.append(Item("", self.sources[name], reason))
        if unexplained:
            variant = type(self.model.variant).__module__.rsplit(".", 1)[-1]
            readout = type(self.model.readout).__name__
            raise UserError(
                f"{self.config.file} (layout {self.layout.name}): the model (variant {variant}, readout {readout}) has "
                f"no parameter for {some(unexplained)}; choose the variant, its fields and the readout that they "
                f"belong to"
            )

    def _why_unused(self, name: str) -> str | None:
        part, _, rest = name.partition(".")
        if name == "embed.cls_token":
            return "the variant has no class token"
        if part == "embed" and rest in POSITIONS:
            self._refuse_lost_positions(rest)
            field = POSITIONS[rest]
            return f"model.{field}: {getattr(self.model_config, field)}"
        if part == "pre_logits":
            return f"model.pre_logits: {self.model_config.pre_logits}"
        if self.config.classifier == "drop" and part == "head":
            return "weights.classifier: drop"
        if self.config.classifier == "drop" and part == "readout" and not rest.startswith("norm."):
            return "weights.classifier: drop, and the readout has no such layer"
        return None

    def _refuse_lost_positions(self, table: str) -> None:
        """Refuse to drop a joint table for separate positions that are untrained."""
        config = self.model_config
        if table == "joint_embed" and "learned" in (config.spatial_position, config.temporal_position):
            raise UserError(
                f"{self.config.file} has joint positions, but the model has learned separate ones; "
                "set model.joint_position: learned, spatial_position: none and temporal_position: none"
            )

    def _notes(self) -> list[str]:
        """Return the fields in which the model differs from what the weights were trained with."""
        ours: Mapping[str, Any] = self.model_config.model_dump()
        given = {**ours, "final_norm_eps": self.model_config.final_norm_eps or self.model_config.norm_eps}
        return [
            f"model.{field} is {given[field]}; these weights were trained with {value}"
            for field, value in self.layout.expects.items()
            if given[field] != value
        ]


def _kind(name: str) -> str:
    return re.sub(r"\.\d+\.", ".*.", name)
