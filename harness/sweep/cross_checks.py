"""Checks combinations of fields: patch tiling, heads, optimizer options, readout and variant.

Every check is a pure function that takes checked configuration and yields problems. A problem names the fields
involved; the resolver chooses the field to report.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import ClassVar, NamedTuple, Protocol

from harness.data import DataSetConfig, data_set
from harness.nn.config import SIZES, ModelConfig, default_init_std
from harness.sweep.schema import (
    ClassTokenReadout,
    ConcatMlpReadout,
    GruReadout,
    MeanFramesReadout,
    MeanTokensReadout,
    TemporalAttentionReadout,
    TrainConfig,
)

AnyReadoutConfig = (
    ClassTokenReadout | MeanFramesReadout | MeanTokensReadout | TemporalAttentionReadout | ConcatMlpReadout | GruReadout
)

# messages list divisors up to this number
MAX_LISTED = 512


class Problem(NamedTuple):
    """Dotted fields that cannot be combined, the most likely cause first, and the reason."""

    fields: tuple[str, ...]
    message: str


def resolve_size(model: ModelConfig) -> ModelConfig:
    """Returns the model with embed_dim, depth and num_heads filled in from `size`, and the derived defaults."""
    embed_dim, depth, num_heads = SIZES[model.size]
    filled = {
        "embed_dim": model.embed_dim or embed_dim,
        "depth": model.depth or depth,
        "num_heads": model.num_heads or num_heads,
        "final_norm_eps": model.final_norm_eps or model.norm_eps,
        "init_std": model.init_std or default_init_std(model.embed_dim or embed_dim),
    }
    return model.model_copy(update=filled)


def divisors(number: int) -> str:
    """Returns the divisors of a number up to 512 as text: 16 -> '1, 2, 4, 8, 16'."""
    return ", ".join(str(d) for d in range(1, min(number, MAX_LISTED) + 1) if number % d == 0)


def model_problems(model: ModelConfig) -> Iterator[Problem]:
    """Yields the problems of a model whose size is resolved."""
    dim, heads = model.embed_dim or 1, model.num_heads or 1
    if model.crop_size % model.patch_size:
        what = f"patches of {model.patch_size} pixels do not tile a crop of {model.crop_size}"
        yield Problem(("model.patch_size", "model.crop_size"), f"{what}; sizes that do: {divisors(model.crop_size)}")
    if model.num_frames % model.tubelet_size:
        what = f"tubelets of {model.tubelet_size} frames do not tile a clip of {model.num_frames}"
        yield Problem(
            ("model.tubelet_size", "model.num_frames"), f"{what}; sizes that do: {divisors(model.num_frames)}"
        )
    if dim % heads:
        what = f"{heads} heads do not divide embed_dim {dim}"
        yield Problem(("model.num_heads", "model.embed_dim", "model.size"), f"{what}; numbers that do: {divisors(dim)}")
    if round(dim * model.mlp_ratio) < 1:
        what = f"a hidden width of {model.mlp_ratio} x {dim} rounds to 0"
        yield Problem(("model.mlp_ratio", "model.embed_dim", "model.size"), f"{what}; at least {1 / dim:.3g} makes 1")
    yield from _position_problems(model, dim)


def _position_problems(model: ModelConfig, dim: int) -> Iterator[Problem]:
    separate = ("spatial_position", "temporal_position")
    if model.joint_position != "none" and any(getattr(model, name) != "none" for name in separate):
        wrong = [name for name in separate if getattr(model, name) != "none"]
        given = ", ".join(f"{name} {getattr(model, name)}" for name in wrong)
        yield Problem(
            ("model.joint_position", *(f"model.{name}" for name in wrong)),
            f"joint positions replace the separate ones, but the file sets {given}; "
            f"write {', '.join(f'{name}: none' for name in wrong)}",
        )
    sincos = [name for name in (*separate, "joint_position") if getattr(model, name) == "sincos"]
    if sincos and dim % 4:
        yield Problem(
            (f"model.{sincos[0]}", "model.embed_dim"),
            f"sincos needs an embed_dim that is a multiple of 4, not {dim}; change it, or use learned positions",
        )


def train_problems(train: TrainConfig) -> Iterator[Problem]:
    """Yields settings that the optimizer would ignore or reject, and batches that processes cannot share equally."""
    if train.batch_size % train.num_processes:
        yield Problem(
            ("train.num_processes", "train.batch_size"),
            f"{train.num_processes} processes cannot take equal shares of a batch of {train.batch_size}; "
            f"numbers that can: {divisors(train.batch_size)}",
        )
    owners = {"momentum": "sgd", "nesterov": "sgd", "betas": "adamw"}
    for field, owner in owners.items():
        default = TrainConfig.model_fields[field].default
        if train.optimizer != owner and getattr(train, field) != default:
            yield Problem(
                (f"train.{field}", "train.optimizer"),
                f"{train.optimizer} has no {field}, so it would have no effect; remove it, or write optimizer: {owner}",
            )
    if train.optimizer == "sgd" and train.nesterov and train.momentum == 0:
        yield Problem(
            ("train.momentum", "train.nesterov"), "nesterov needs a momentum above 0; set one, or write nesterov: false"
        )


def data_problems(data: DataSetConfig, model: ModelConfig) -> Iterator[Problem]:
    """Yields settings of clips that contradict each other or do not fit the crop."""
    for problem in data_set(data).problems(model):
        yield Problem(*problem)


class ReadableVariant(Protocol):
    """The part of a variant that decides which readouts fit."""

    cannot_read: ClassVar[Mapping[str, str]]

    @property
    def class_token_out(self) -> str:
        """The class token that the variant returns: clip, frame or none."""


def readout_problems(
    readout: AnyReadoutConfig, model: ModelConfig, name: str, variant: ReadableVariant
) -> Iterator[Problem]:
    """Yields what the readout needs but the variant (called `name`) or the trunk does not provide."""
    class_token = variant.class_token_out
    if readout.name in variant.cannot_read:
        yield Problem(
            ("readout.name", "variant.name"),
            f"{name} does not support the readout {readout.name}: {variant.cannot_read[readout.name]}",
        )
    if isinstance(readout, ClassTokenReadout) and class_token != "clip":
        has = "one class token per frame" if class_token == "frame" else "no class token"
        yield Problem(
            ("readout.name", "variant.name"),
            f"class_token reads the clip's class token, but {name} gives {has}; "
            "use one of mean_frames, mean_tokens, temporal_attention, concat_mlp, gru",
        )
    dim = model.embed_dim or 1
    if isinstance(readout, TemporalAttentionReadout) and dim % (readout.num_heads or model.num_heads or 1):
        yield Problem(
            ("readout.num_heads", "model.embed_dim", "model.size"),
            f"{readout.num_heads} heads do not divide embed_dim {dim}; numbers that do: {divisors(dim)}",
        )


def variant_problems(found: Iterable[tuple[str, str]], blocks: Iterable[str]) -> Iterator[Problem]:
    """Converts the results of a variant's `validate()` to problems: the field 'ends' becomes 'variant.ends'."""
    known = set(blocks)
    for field, message in found:
        in_block = field.split(".")[0] in known and "." in field
        yield Problem((field if in_block else f"variant.{field}",), message)
