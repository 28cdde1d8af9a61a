"""Configuration of what all variants share: geometry, trunk, global temporal tokens."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

Positive = Annotated[int, Field(ge=1)]


class StrictConfig(BaseModel):
    """Base of all configuration: closed, frozen, no coercion, defaults checked too."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, validate_default=True, allow_inf_nan=False)


# name -> (embed_dim, depth, num_heads); mlp_ratio is 4 for all. Ti..L are the ViT sizes of the papers.
SIZES: dict[str, tuple[int, int, int]] = {
    "demo": (48, 2, 4),
    "tiny": (64, 4, 4),
    "Ti": (192, 12, 3),
    "S": (384, 12, 6),
    "B": (768, 12, 12),
    "L": (1024, 24, 16),
}


def default_init_std(embed_dim: int) -> float:
    """Return the standard deviation that gives layers of any width the output variance of ViT-B (0.02)."""
    return float(0.02 * (768 / embed_dim) ** 0.5)


class ModelConfig(StrictConfig):
    """The trunk: clip geometry, embedding, positions, width and depth."""

    size: Literal["demo", "tiny", "Ti", "S", "B", "L"] = Field("demo", description="preset of the four fields below")
    embed_dim: Positive | None = Field(None, description="width D; default: of the size")
    depth: Annotated[int, Field(ge=1, le=1000)] | None = Field(None, description="layers L; default: of the size")
    num_heads: Positive | None = Field(None, description="default: of the size")
    mlp_ratio: Annotated[float, Field(gt=0, le=64)] = Field(4.0, description="hidden width of the MLP / embed_dim")
    num_frames: Positive = Field(8, description="frames of a clip")
    crop_size: Positive = Field(16, description="height and width of a clip in pixels")
    patch_size: Positive = Field(4, description="height and width of a patch in pixels")
    tubelet_size: Positive = Field(1, description="frames embedded together in one token")
    spatial_position: Literal["learned", "sincos", "none"] = "learned"
    temporal_position: Literal["learned", "sincos", "none"] = Field(
        "learned", description="added to patches and to class tokens of frames, not to a class token of the clip"
    )
    joint_position: Literal["none", "learned", "sincos"] = Field(
        "none", description="one vector per (time, height, width) place; then the separate positions must be none"
    )
    qkv_bias: Literal["all", "qv", "none"] = "all"
    norm_eps: Annotated[float, Field(gt=0, le=0.1)] = 1e-6
    final_norm_eps: Annotated[float, Field(gt=0, le=0.1)] | None = Field(
        None, description="of the norm after the layers; default: norm_eps (VideoMAE has another)"
    )
    init_std: Annotated[float, Field(gt=0, le=1)] | None = Field(
        None,
        description="of weight matrices at the start; default: 0.02 * sqrt(768 / embed_dim), ViT-B's 0.02 at its width",
    )
    gelu: Literal["erf", "tanh"] = "erf"
    pixel_mean: Annotated[list[float], Field(min_length=3, max_length=3)] = Field(
        [0.5, 0.5, 0.5], description="subtracted from each colour channel, in units of the pixel range 0..1"
    )
    pixel_std: Annotated[list[Annotated[float, Field(gt=0)]], Field(min_length=3, max_length=3)] = Field(
        [0.5, 0.5, 0.5], description="divides each colour channel after that"
    )
    pre_logits: Literal["none", "tanh"] = Field("none", description="tanh: a linear layer and tanh before the head")
    dropout: Annotated[float, Field(ge=0, lt=1)] = Field(0.0, description="before the classifier")
    drop_path: Annotated[float, Field(ge=0, lt=1)] = Field(0.0, description="of the last layer; rises linearly")


class GlobalTokensConfig(StrictConfig):
    """Light global temporal mechanisms that work inside the layers, for every variant that can carry them."""

    summary: Annotated[int, Field(ge=0, le=64)] = Field(
        0, description="summary tokens R per frame, appended to the keys and values of all frames"
    )
    summary_layers: Literal["all", "first_half", "second_half", "odd"] = "all"
    summary_mixed: bool = Field(False, description="summaries go through the variant's mixing of keys and values too")
    registers: Annotated[int, Field(ge=0, le=256)] = Field(
        0, description="learned tokens G of the clip that all frames read and write"
    )
