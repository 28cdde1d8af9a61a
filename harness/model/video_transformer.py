"""The whole model: pixels -> tokens -> a variant's encoder -> readout -> one classifier per label."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from harness.api import Variant
from harness.model.embedding import Embedding
from harness.model.readout import build_readout
from harness.nn.config import GlobalTokensConfig, ModelConfig, default_init_std
from harness.nn.geometry import TrunkGeometry
from harness.registry import load_variant
from harness.sweep.schema import ReadoutConfig, TrialConfig


def make_variant(
    config: Mapping[str, Any],
    model: ModelConfig,
    global_tokens: GlobalTokensConfig | None = None,
    extra_dirs: Sequence[Path] = (),
) -> Variant:
    """The variant that a block `{name: ..., field: ...}` describes, on the trunk of `model`."""
    fields = dict(config)
    variant_class = load_variant(fields.pop("name"), extra_dirs)
    return variant_class(variant_class.Config(**fields), TrunkGeometry.of(model, global_tokens))


def _blocks(encoder: nn.Module) -> list[nn.Module]:
    """The layers of an encoder: what its lists of modules hold that are not inside another one's layer."""
    found: list[nn.Module] = []
    for child in encoder.children():
        found += list(child) if isinstance(child, nn.ModuleList) else _blocks(child)
    return found


class _Recomputed(nn.Module):
    """Mixed into the class of a layer: in training it keeps its inputs only, and the backward pass runs it again."""

    def forward(self, *inputs: Any) -> Any:
        forward = super().forward
        if not (self.training and torch.is_grad_enabled()):
            return forward(*inputs)
        return checkpoint(forward, *inputs, use_reentrant=False)


@cache
def _recomputed(layer_class: type[nn.Module]) -> type[nn.Module]:
    """The class of a layer with checkpointing; a wrapped method would bind copies to the weights of the original."""
    return type(layer_class.__name__, (_Recomputed, layer_class), {})


class VideoTransformer(nn.Module):
    """Clip uint8 (B, T, 3, H, W) -> {label: logits (B, classes)}.

    Source of the initialisation: timm's ViT (truncated normal, biases 0; `ModelConfig.init_std`), then what the variant
    prescribes.
    """

    pixel_mean: Tensor
    pixel_std: Tensor

    def __init__(self, model: ModelConfig, variant: Variant, readout: ReadoutConfig, labels: Mapping[str, int]):
        super().__init__()
        trunk, self.variant, self.num_classes = variant.trunk, variant, dict(labels)
        self.register_buffer("pixel_mean", torch.tensor(model.pixel_mean).view(3, 1, 1), persistent=False)
        self.register_buffer("pixel_std", torch.tensor(model.pixel_std).view(3, 1, 1), persistent=False)
        self.embed = Embedding(model, trunk, variant.class_token)
        self.encoder = variant.build_encoder()
        self.readout = build_readout(readout, variant.trunk_out)
        self.pre_logits = nn.Linear(trunk.embed_dim, trunk.embed_dim) if model.pre_logits == "tanh" else None
        self.dropout = nn.Dropout(model.dropout)
        self.heads = nn.ModuleDict({label: nn.Linear(trunk.embed_dim, number) for label, number in labels.items()})
        self.init_std = model.init_std or default_init_std(trunk.embed_dim)
        self.initialise()

    @classmethod
    def of(cls, trial: TrialConfig, labels: Mapping[str, int], extra_dirs: Sequence[Path] = ()) -> VideoTransformer:
        """The model of a trial."""
        variant = make_variant(trial.variant, trial.model, trial.global_tokens, extra_dirs)
        return cls(trial.model, variant, trial.readout, labels)

    def initialise(self) -> None:
        """Draws all weights anew from torch's generator."""
        for module in self.modules():
            if isinstance(module, nn.Linear):
                nn.init.trunc_normal_(module.weight, std=self.init_std)
                if module.bias is not None:
                    nn.init.zeros_(module.bias)
        self.embed.initialise(self.init_std)
        self.variant.initialise(self.encoder)

    def checkpoint_activations(self) -> None:
        """From now on, in training, each block keeps its inputs only and computes the rest again going backward.

        For training and its memory: a count of operators must not be made on such a model, it would see blocks twice.
        """
        for block in _blocks(self.encoder):
            if not isinstance(block, _Recomputed):
                block.__class__ = _recomputed(type(block))  # type: ignore[arg-type]

    def forward(self, clip: Tensor) -> dict[str, Tensor]:
        dtype = self.pixel_mean.dtype
        return self.logits((clip.to(dtype) / 255 - self.pixel_mean) / self.pixel_std)

    def logits(self, clip: Tensor) -> dict[str, Tensor]:
        """Like `forward`, for a clip that is normalised already: float (B, T, 3, H, W)."""
        x = self.readout(self.encoder(self.embed(clip)))
        if self.pre_logits is not None:
            x = torch.tanh(self.pre_logits(x))
        x = self.dropout(x)
        return {label: head(x) for label, head in self.heads.items()}

    def macs(self) -> int:
        """Multiply-accumulates of one clip, forward, in closed form."""
        trunk = self.variant.trunk
        heads = trunk.embed_dim * sum(self.num_classes.values())
        pre = self.pre_logits.weight.numel() if self.pre_logits is not None else 0
        embed = self.embed.proj.macs(trunk.num_frames * trunk.num_patches)
        return embed + self.variant.macs() + self.readout.macs() + pre + heads
