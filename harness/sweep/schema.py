"""Typed configuration: every field a sweep file may hold, with its unit and range.

The models are strict (no coercion of text to numbers), closed (an unknown key is a fault) and frozen. What one
field can say about itself is checked here; what needs several fields together is in `harness.sweep.cross_checks`.
A variant's own fields are declared by its `Config` (see `harness.api.VariantConfig`), a data set's by its own
(see `harness.data.data_set.DataSetConfig`).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from harness.data.data_set import DataSetConfig
from harness.data.sets import config_union
from harness.locations import WEIGHT_LAYOUTS
from harness.nn.config import GlobalTokensConfig, ModelConfig, Positive, StrictConfig

Fraction = Annotated[float, Field(ge=0.0, le=1.0)]


# data sets and layouts of checkpoints are found by file; a type checker cannot know them
if TYPE_CHECKING:
    DataConfig = DataSetConfig
    LayoutName = str
else:
    DataConfig = config_union()
    LayoutName = Literal[("auto", *sorted(path.stem for path in WEIGHT_LAYOUTS.glob("[!_]*.py")))]


class ClassTokenReadout(StrictConfig):
    """Classify the clip's class token."""

    name: Literal["class_token"]


class MeanFramesReadout(StrictConfig):
    """Average one feature per frame: its class token, or the mean of its patches without one."""

    name: Literal["mean_frames"]
    norm: Literal["before", "after"] = Field(
        "before", description="final norm before the mean (X-ViT) or after it (TimeSformer space-only)"
    )


class MeanTokensReadout(StrictConfig):
    """Average all patch tokens of the clip."""

    name: Literal["mean_tokens"]
    norm: Literal["before", "after"] = Field("before", description="final norm before or after the mean")


class TemporalAttentionReadout(StrictConfig):
    """Temporal attention (TA): a learned token attends to one feature per frame; its output is classified.

    Source: X-ViT (arXiv 2106.05968) section 3.3 and its released code.
    """

    name: Literal["temporal_attention"]
    num_layers: Annotated[int, Field(ge=1, le=24)] = 1
    num_heads: Positive | None = Field(None, description="default: num_heads of the model")
    positions: bool = Field(False, description="learned temporal positions on the frame features")
    head: Literal["plain", "released"] = Field(
        "plain", description="plain: norm, linear. released: norm, linear, GELU, dropout, linear (X-ViT code)"
    )
    qkv_bias: bool = Field(False, description="bias of q, k and v; the released code has none")
    norm_eps: Annotated[float, Field(gt=0, le=0.1)] = 1e-5


class ConcatMlpReadout(StrictConfig):
    """Late fusion by position: concatenate the features of all frames; a linear layer (T D -> D) and GELU."""

    name: Literal["concat_mlp"]


class GruReadout(StrictConfig):
    """Late fusion in order: the last state of a gated recurrent unit (D -> D) over one feature per frame."""

    name: Literal["gru"]


ReadoutConfig = Annotated[
    ClassTokenReadout
    | MeanFramesReadout
    | MeanTokensReadout
    | TemporalAttentionReadout
    | ConcatMlpReadout
    | GruReadout,
    Field(discriminator="name"),
]


class TrainConfig(StrictConfig):
    """Optimisation of one trial."""

    num_steps: Annotated[int, Field(ge=0, le=100_000_000)] = Field(600, description="optimizer steps")
    batch_size: Positive = Field(64, description="clips per optimizer step")
    optimizer: Literal["adamw", "sgd"] = "adamw"
    learning_rate: Annotated[float, Field(gt=0, le=100)] = Field(2e-3, description="peak learning rate, after warm-up")
    weight_decay: Annotated[float, Field(ge=0, le=10)] = Field(
        0.05, description="not applied to norms, biases, tokens and positions"
    )
    momentum: Annotated[float, Field(ge=0, lt=1)] = Field(0.9, description="sgd only")
    nesterov: bool = Field(True, description="sgd only")
    betas: Annotated[list[Annotated[float, Field(ge=0, lt=1)]], Field(min_length=2, max_length=2)] = Field(
        [0.9, 0.999], description="adamw only"
    )
    schedule: Literal["cosine", "constant"] = "cosine"
    warmup_fraction: Fraction = Field(0.1, description="fraction of the steps with a linear warm-up of the rate")
    clip_norm: Annotated[float, Field(gt=0)] | None = Field(
        1.0, description="upper bound of the gradient norm; null: no clipping"
    )
    label_smoothing: Annotated[float, Field(ge=0, lt=1)] = 0.0
    precision: Literal["fp32", "bf16"] = Field("fp32", description="bf16: autocast with fp32 weights")
    activation_checkpointing: bool = Field(
        False, description="store only the inputs of each block and recompute its activations in the backward pass"
    )
    device: Literal["cpu", "cuda", "auto"] = Field("auto", description="auto: cuda if available, else cpu")
    num_threads: Positive = Field(
        1, description="CPU threads of each process; they change the bits of a result, so they are part of the trial id"
    )
    num_processes: Positive = Field(
        1,
        description="processes that share each batch, each with num_threads threads (cuda: one GPU); docs/processes.md",
    )

    @property
    def batch_size_per_process(self) -> int:
        """Clips of each step that one process trains on."""
        return self.batch_size // self.num_processes


class MeasureConfig(StrictConfig):
    """Measurement of latency, throughput and memory of the trained configuration."""

    batch_size: Positive = Field(16, description="clips per batch of throughput, training step and memory")
    min_samples: Annotated[int, Field(ge=3, le=100_000)] = Field(30, description="minimum number of timed iterations")
    max_seconds: Annotated[float, Field(gt=0, le=3600)] = Field(
        1.0, description="time limit of each timing, in seconds"
    )


class WeightsConfig(StrictConfig):
    """Pretrained weights that a trial starts from; docs/weights.md. Null for the whole block: none."""

    file: Annotated[str, Field(min_length=1)] = Field(
        description=".safetensors, .pt, .pth, .pyth, .bin or .npz file, or hf://org/name[@revision][/file]"
    )
    sha256: Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")] | None = Field(
        None, description="SHA-256 of the file; filled in at planning, and part of the trial id (the path is not)"
    )
    layout: LayoutName = Field("auto", description="layout of the checkpoint; auto: detected from the keys of the file")
    spatial_interpolation: Literal[
        "auto", "bicubic", "bicubic_antialias", "bilinear_corners", "nearest", "nearest_flat"
    ] = Field("auto", description="interpolation of positions for another crop; auto: as in the source of the layout")
    temporal_interpolation: Literal["auto", "nearest", "linear", "tile"] = Field(
        "auto",
        description="interpolation of positions for another number of frames; auto: as in the source of the layout",
    )
    tubelet_inflation: Literal["central_frame", "average"] = Field(
        "central_frame", description="how the patch kernel of an image model fills a tubelet"
    )
    position_frames: Positive | None = Field(
        None,
        description="token frames of joint positions in the file; required if their number differs from the model's",
    )
    classifier: Literal["drop", "keep"] = Field(
        "drop", description="keep: also load the classifier of the file; requires the same classes"
    )


class TrialConfig(StrictConfig):
    """One fully resolved configuration with its seed."""

    data: DataConfig
    model: ModelConfig
    variant: dict[str, Any]
    readout: ReadoutConfig
    global_tokens: GlobalTokensConfig = GlobalTokensConfig()
    train: TrainConfig = TrainConfig()
    measure: MeasureConfig = MeasureConfig()
    weights: WeightsConfig | None = None
    seed: Annotated[int, Field(ge=0, lt=2**31)]


class VaryBlock(BaseModel):
    """One block of `vary`: exactly one of grid, zip, list."""

    model_config = ConfigDict(extra="forbid", strict=True)

    grid: dict[str, list[Any]] | None = Field(None, description="all combinations of the listed values")
    zip: dict[str, list[Any]] | None = Field(None, description="lists of equal length, combined element by element")
    points: list[dict[str, Any]] | None = Field(None, alias="list", description="explicit rows; `label` names a row")
