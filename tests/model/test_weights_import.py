"""Weights of image ViTs and released video models in our models: the mapping and the report."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from harness import contract
from harness.model.interpolation import resize_spatial
from harness.model.video_transformer import VideoTransformer
from harness.registry import variant_names
from tests.golden.official import difference, logits
from tests.golden.official import load as load_golden
from tests.golden.test_timesformer import build as build_timesformer
from tests.golden.test_xvit import build as build_xvit
from tests.golden.test_xvit import clip as xvit_clip
from tests.model.weights_files import SMALL, build, image_vit, load, save, to_npz


def parameters(model: VideoTransformer) -> dict[str, Tensor]:
    return {name: value.detach() for name, value in model.named_parameters()}


def test_image_weights_make_space_only_the_image_model(tmp_path: Path) -> None:
    state = image_vit()
    model, report = load(build("spatial_only"), save(state, tmp_path / "vit.safetensors"))
    ours = parameters(model)
    assert report.layout == "timm_vit"
    assert ours["encoder.blocks.1.attn.qkv.weight"].equal(state["blocks.1.attn.qkv.weight"])
    assert ours["embed.proj.weight"].equal(state["patch_embed.proj.weight"])
    assert ours["embed.pos_embed"].equal(state["pos_embed"])
    assert not ours["embed.temporal_embed"].any()
    assert {item.theirs for item in report.ignored} == {"head.weight", "head.bias"}
    assert {item.ours for item in report.initialised} == {
        "embed.temporal_embed", "heads.label.weight", "heads.label.bias",
    }  # fmt: skip


def test_npz_and_timm_give_the_same_model(tmp_path: Path) -> None:
    state = image_vit()
    arrays = to_npz(state, num_heads=2)
    np.savez(tmp_path / "vit.npz", **arrays)
    np.savez(tmp_path / "old.npz", **{f"opt/target/{name}": value for name, value in arrays.items()})
    ours = parameters(load(build("divided"), save(state, tmp_path / "vit.safetensors"))[0])
    for file in ("vit.npz", "old.npz"):
        model, report = load(build("divided"), tmp_path / file)
        assert report.layout == "vit_npz"
        found = parameters(model)
        assert all(found[name].equal(ours[name]) for name in ours if not name.startswith("heads."))


def test_divided_starts_its_time_attention_from_the_images(tmp_path: Path) -> None:
    state = image_vit()
    model, report = load(build("divided"), save(state, tmp_path / "vit.safetensors"))
    ours = parameters(model)
    for part in ("weight", "bias"):
        assert ours[f"encoder.blocks.1.temporal_attn.proj.{part}"].equal(state[f"blocks.1.attn.proj.{part}"])
        assert ours[f"encoder.blocks.0.temporal_norm1.{part}"].equal(state[f"blocks.0.norm1.{part}"])
        assert not ours[f"encoder.blocks.0.temporal_fc.{part}"].any()
    assert "encoder.blocks.*.temporal_attn.qkv.weight <- blocks.*.attn.qkv.weight (x2)" in report.text()


@pytest.mark.parametrize("name", variant_names())
def test_the_image_weights_of_a_variant_exist(name: str) -> None:
    variant = contract.cases(name)[0].variant()
    encoder, starts = variant.build_encoder(), variant.image_weights()
    own = {part for part, _ in (*encoder.named_modules(), *encoder.named_parameters())}
    image = r"norm|blocks\.\d+\.(norm1|attn|attn\.qkv|attn\.proj|norm2|mlp|mlp\.fc1|mlp\.fc2)(\.(weight|bias))?"
    assert set(starts) <= own
    assert all(re.fullmatch(image, there) for there in starts.values())


def test_motionformers_time_attention_stays_as_initialised(tmp_path: Path) -> None:
    variant = {"name": "divided", "class_mode": "global", "temporal_fc": "none"}
    built = build(variant)
    before = built[0].encoder.blocks[0].temporal_attn.qkv.weight.clone()  # type: ignore[index, union-attr]
    model, report = load(built, save(image_vit(), tmp_path / "vit.safetensors"))
    assert parameters(model)["encoder.blocks.0.temporal_attn.qkv.weight"].equal(before)
    assert "encoder.blocks.0.temporal_attn.qkv.weight" in {item.ours for item in report.initialised}


@pytest.mark.parametrize("inflation", ["central_frame", "average"])
def test_tubelets_are_inflated(inflation: str, tmp_path: Path) -> None:
    state = image_vit()
    file = save(state, tmp_path / "vit.safetensors")
    model, report = load(build(tubelet_size=2), file, tubelet_inflation=inflation)
    kernel, image = parameters(model)["embed.proj.weight"], state["patch_embed.proj.weight"]
    if inflation == "average":
        assert torch.allclose(kernel, image.unsqueeze(2).expand_as(kernel) / 2)
    else:
        assert kernel[:, :, 1].equal(image)
        assert not kernel[:, :, 0].any()
    assert [item.ours for item in report.inflated] == ["embed.proj.weight"]


def test_positions_are_resized_for_another_crop_without_the_class_row(tmp_path: Path) -> None:
    state = image_vit(side=5)
    file = save(state, tmp_path / "vit.safetensors")
    for method, used in (("auto", "bicubic_antialias"), ("nearest", "nearest")):
        model, report = load(build(), file, spatial_interpolation=method)
        table, places = parameters(model)["embed.pos_embed"], state["pos_embed"][:, 1:]
        assert table[:, :1].equal(state["pos_embed"][:, :1])
        assert table[:, 1:].equal(resize_spatial(places, (5, 5), (3, 3), used))
        assert [item.detail for item in report.resized] == [f"5x5 -> 3x3, {used}"]


def test_joint_positions_start_from_the_images_for_every_frame(tmp_path: Path) -> None:
    state = image_vit()
    fields = {"joint_position": "learned", "spatial_position": "none", "temporal_position": "none"}
    model, report = load(build(**fields), save(state, tmp_path / "vit.safetensors"))
    table = parameters(model)["embed.joint_embed"]
    assert table[:, 1:].unflatten(1, (4, 9))[:, 2].equal(state["pos_embed"][:, 1:])
    assert table[:, :1].equal(state["pos_embed"][:, :1])
    assert "repeated for 4 frames" in report.inflated[0].detail


def test_without_class_token_its_weights_are_ignored(tmp_path: Path) -> None:
    state = image_vit()
    model, report = load(build({"name": "joint", "class_token": "none"}), save(state, tmp_path / "vit.safetensors"))
    assert parameters(model)["embed.pos_embed"].equal(state["pos_embed"][:, 1:])
    assert ("cls_token", "the variant has no class token") in [(item.theirs, item.detail) for item in report.ignored]


def test_a_classifier_is_kept_on_request(tmp_path: Path) -> None:
    state = image_vit(classes=5)
    model, report = load(build(), save(state, tmp_path / "vit.safetensors"), classifier="keep")
    assert parameters(model)["heads.label.weight"].equal(state["head.weight"])
    assert not report.ignored


def test_the_report_has_every_parameter_once(tmp_path: Path) -> None:
    state = image_vit(side=5)
    model, report = load(build("divided", tubelet_size=2), save(state, tmp_path / "vit.safetensors"))
    lists = (report.loaded, report.resized, report.inflated, report.initialised)
    assert sorted(item.ours for part in lists for item in part) == sorted(parameters(model))
    keys = {item.theirs for part in (*lists, report.ignored) for item in part if item.theirs}
    assert keys == set(state)
    assert len(report.text().splitlines()) < 45


def test_the_report_notes_fields_that_the_weights_were_not_trained_with(tmp_path: Path) -> None:
    _, report = load(build(gelu="tanh"), save(image_vit(), tmp_path / "vit.safetensors"))
    assert report.notes == ["model.gelu is tanh; these weights were trained with erf"]


@pytest.mark.parametrize("name", ["timesformer_divided", "timesformer_joint", "timesformer_space"])
def test_timesformer_checkpoints_give_the_official_logits(name: str, tmp_path: Path) -> None:
    golden = load_golden(name)
    model = build_timesformer(name, golden)
    content = {"epoch": 3, "model_state": {f"model.{key}": value for key, value in golden.state.items()}}
    check_golden(model, content, golden.values["input"], golden.values["logits64"], tmp_path, 1e-9)


@pytest.mark.parametrize("name", ["xvit_div8_mean", "xvit_div4_ta"])
def test_xvit_checkpoints_give_the_official_logits(name: str, tmp_path: Path) -> None:
    golden = load_golden(name)
    model = build_xvit(golden)
    state = golden.state | {"new_fc.weight": torch.zeros(3, 3), "new_fc.bias": torch.zeros(3)}
    content = {"state_dict": {f"module.{key}": value for key, value in state.items()}, "best_prec1": 1.0}
    report = check_golden(model, content, xvit_clip(golden), golden.values["logits"], tmp_path, 1e-6)
    assert {item.theirs for item in report.ignored} == {"new_fc.weight", "new_fc.bias"}


def check_golden(
    model: VideoTransformer, content: Any, clip: Tensor, want: Tensor, folder: Path, tolerance: float
) -> Any:
    """Save a checkpoint, import it into a fresh model, compare logits; return the report."""
    torch.save(content, folder / "checkpoint.pyth")
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.zero_()
    _, report = load((model, _configuration(model)), folder / "checkpoint.pyth", classifier="keep")
    assert not report.initialised
    assert difference(logits(model, clip), want) <= tolerance
    return report


def _configuration(model: VideoTransformer) -> Any:
    """Return a trunk configuration with the positions and tubelets of the model."""
    fields = {"temporal_position": "none"} if model.embed.temporal_embed is None else {}
    return build(**fields)[1]


def test_eight_temporal_rows_are_repeated_for_sixteen_frames(tmp_path: Path) -> None:
    state = {f"base_model.{name}": value for name, value in image_vit().items()}
    rows = torch.randn(1, 8, 1, 16, dtype=torch.float64)
    state["base_model.temp_embed"] = rows
    file = save(state, tmp_path / "xvit.safetensors")
    variant = {"name": "mixing", "channel_layout": "concat"}
    model, report = load(build(variant, num_frames=16), file)
    table = parameters(model)["embed.temporal_embed"]
    assert all(table[0, t].equal(rows[0, t % 8, 0]) for t in range(16))
    assert report.resized[0].detail == "8 -> 16 frames, tile"


def test_temporal_attention_head_is_dropped_with_the_classifier(tmp_path: Path) -> None:
    golden = load_golden("xvit_div4_ta")
    model, report = load(
        build("mixing", **(SMALL | _sizes(golden.config))), save(golden.state, tmp_path / "xvit.safetensors")
    )
    reasons = {item.detail for item in report.ignored}
    assert reasons == {"weights.classifier: drop", "weights.classifier: drop, and the readout has no such layer"}
    assert model.readout.norm.weight.equal(golden.state["base_model.norm.weight"])


def _sizes(config: dict[str, Any]) -> dict[str, Any]:
    return {
        "embed_dim": config["d"], "depth": config["L"], "num_heads": config["h"], "num_frames": config["T"],
        "crop_size": 224, "patch_size": config["patch"],
    }  # fmt: skip


def test_motionformer_checkpoints_of_the_released_code(tmp_path: Path) -> None:
    golden = load_golden("motionformer_divided")
    config = golden.config
    names = ("embed_dim", "depth", "num_heads", "num_frames", "patch_size", "mlp_ratio")
    fields = {
        **{name: config[name] for name in names},
        "crop_size": config["img_size"],
        "tubelet_size": config["tubelet"],
    }
    variant = {"name": "divided", "class_mode": "global", "temporal_fc": "none"}
    built = build(variant, config["num_classes"], pre_logits=config["head_act"], **fields)
    file = save(golden.state, tmp_path / "motionformer.safetensors")
    model, report = load(built, file, classifier="keep")
    assert not report.initialised
    assert {item.theirs for item in report.ignored} == {"patch_embed.proj.weight", "patch_embed.proj.bias"}
    assert difference(logits(model.eval(), golden.values["input"]), golden.values["logits64"]) <= 1e-9
