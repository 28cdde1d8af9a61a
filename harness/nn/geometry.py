"""Geometry of the trunk: widths, depth, token grid, norms."""

from __future__ import annotations

from dataclasses import dataclass, field

from harness.nn.config import SIZES, GlobalTokensConfig, ModelConfig


@dataclass(frozen=True)
class TrunkGeometry:
    """Sizes of the token grid and of the layers, with every default filled in.

    `num_frames` counts frames of tokens (frames of the clip / tubelet_size); `height` and `width` count patches.
    """

    embed_dim: int
    depth: int
    num_heads: int
    mlp_ratio: float
    num_frames: int
    height: int
    width: int
    qkv_bias: str = "all"
    norm_eps: float = 1e-6
    final_norm_eps: float | None = None
    gelu: str = "erf"
    drop_path: float = 0.0
    global_tokens: GlobalTokensConfig = field(default_factory=GlobalTokensConfig)

    @classmethod
    def of(cls, model: ModelConfig, global_tokens: GlobalTokensConfig | None = None) -> TrunkGeometry:
        """Return the geometry of a checked configuration; sizes that do not divide are rounded down."""
        embed_dim, depth, num_heads = SIZES[model.size]
        grid = model.crop_size // model.patch_size
        return cls(
            embed_dim=model.embed_dim or embed_dim,
            depth=model.depth or depth,
            num_heads=model.num_heads or num_heads,
            mlp_ratio=model.mlp_ratio,
            num_frames=model.num_frames // model.tubelet_size,
            height=grid,
            width=grid,
            qkv_bias=model.qkv_bias,
            norm_eps=model.norm_eps,
            final_norm_eps=model.final_norm_eps,
            gelu=model.gelu,
            drop_path=model.drop_path,
            global_tokens=global_tokens or GlobalTokensConfig(),
        )

    @property
    def head_dim(self) -> int:
        """Channels of one head."""
        return self.embed_dim // self.num_heads

    @property
    def mlp_dim(self) -> int:
        """Hidden width of the MLP: embed_dim * mlp_ratio to the nearest integer, the even one of two."""
        return round(self.embed_dim * self.mlp_ratio)

    @property
    def num_patches(self) -> int:
        """Patches of one frame, S."""
        return self.height * self.width

    def layer_drop_path(self, layer: int) -> float:
        """Return the stochastic-depth rate of a layer; it rises linearly from 0 to `drop_path` over the depth."""
        return self.drop_path * layer / max(self.depth - 1, 1)

    def summaries(self, layer: int) -> int:
        """Return the number of summary tokens per frame in this layer, R or 0."""
        config = self.global_tokens
        return config.summary if layer in layer_set(config.summary_layers, self.depth) else 0


def layer_set(layers: str | list[int], depth: int) -> frozenset[int]:
    """Return the layer indices (from 0) of 'all', 'first_half', 'second_half', 'odd' or an explicit list.

    'odd' are the 1st, 3rd, 5th, ... layer, that is the indices 0, 2, 4, ...
    """
    if not isinstance(layers, str):
        return frozenset(layers)
    half = depth // 2
    ranges = {
        "all": range(depth),
        "first_half": range(half),
        "second_half": range(half, depth),
        "odd": range(0, depth, 2),
    }
    return frozenset(ranges[layers])
