"""The whole model: pixels -> tokens -> encoder of a variant -> readout -> one classifier per label."""

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
    """Make the variant of a block `{name: ..., field: ...}` on the trunk of `model`."""
    fields = dict(config)
    variant_class = load_variant(fields.pop("name"), extra_dirs)
    return variant_class(variant_class.Config(**fields), TrunkGeometry.of(model, global_tokens))


def _blocks(encoder: nn.Module) -> list[nn.Module]:
    """Return the layers of an encoder: the items of its module lists, except lists inside of a layer."""
    found: list[nn.Module] = []
    for child in encoder.children():
        found += list(child) if isinstance(child, nn.ModuleList) else _blocks(child)
    return found


class _Recomputed(nn.Module):
    """Mixin for a layer: in training it keeps its inputs only, and the backward pass recomputes the rest."""

    def forward(self, *inputs: Any) -> Any:
        forward = super().forward
        if not (self.training and torch.is_grad_enabled()):
            return forward(*inputs)
        return checkpoint(forward, *inputs, use_reentrant=False)


@cache
def _recomputed(layer_class: type[nn.Module]) -> type[nn.Module]:
    """Derive the class of a layer with recomputation. A wrapped method would bind copies to the original weights."""
    return type(layer_class.__name__, (_Recomputed, layer_class), {})


class VideoTransformer(nn.Module):
    """Maps a clip uint8 (B, T, 3, H, W) to {label: logits (B, classes)}.

    Initialisation: as timm's ViT (truncated normal, biases 0; `ModelConfig.init_std`), then as the variant prescribes.
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
        """Build the model of a trial."""
        variant = make_variant(trial.variant, trial.model, trial.global_tokens, extra_dirs)
        return cls(trial.model, variant, trial.readout, labels)

    def initialise(self) -> None:
        """Draw all weights from the generator of torch."""
        for module in self.modules():
            if isinstance(module, nn.Linear):
                nn.init.trunc_normal_(module.weight, std=self.init_std)
                if module.bias is not None:
                    nn.init.zeros_(module.bias)
        self.embed.initialise(self.init_std)
        self.variant.initialise(self.encoder)

    def checkpoint_activations(self) -> None:
        """Make each layer keep its inputs only in training, and recompute the rest in the backward pass.

        For training and its memory. Do not count operators of such a model: they would see layers twice.
        """
        for block in _blocks(self.encoder):
            if not isinstance(block, _Recomputed):
                block.__class__ = _recomputed(type(block))  # type: ignore[arg-type]

    def forward(self, clip: Tensor) -> dict[str, Tensor]:
        """Normalise the clip and classify it."""
        dtype = self.pixel_mean.dtype
        return self.logits((clip.to(dtype) / 255 - self.pixel_mean) / self.pixel_std)

    def logits(self, clip: Tensor) -> dict[str, Tensor]:
        """Return the logits for a clip that is normalised already: float (B, T, 3, H, W)."""
        x = self.readout(self.encoder(self.embed(clip)))
        if self.pre_logits is not None:
            x = torch.tanh(self.pre_logits(x))
        x = self.dropout(x)
        return {label: head(x) for label, head in self.heads.items()}

    def macs(self) -> int:
        """Return the multiply-accumulates of one clip, forward, in closed form."""
        trunk = self.variant.trunk
        heads = trunk.embed_dim * sum(self.num_classes.values())
        pre = self.pre_logits.weight.numel() if self.pre_logits is not None else 0
        embed = self.embed.proj.macs(trunk.num_frames * trunk.num_patches)
        return embed + self.variant.macs() + self.readout.macs() + pre + heads
