"""Unusable files: one message with what was given and what is allowed, and an unchanged model."""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from harness.errors import UserError
from harness.model.weights.detect import LAYOUTS
from harness.model.weights.files import read_weights
from harness.sweep.schema import WeightsConfig
from tests.model.weights_files import build, image_vit, load, save, to_npz

JOINT = {"joint_position": "learned", "spatial_position": "none", "temporal_position": "none"}


class Bomb:
    """Pickles to code that writes a file when it is loaded."""

    def __init__(self, target: Path):
        self.target = target

    def __reduce__(self) -> Any:
        return Path.touch, (self.target,)


def refused(path: Path, message: str, built: Any = None, **fields: Any) -> None:
    model = built or build()
    before = {name: value.clone() for name, value in model[0].state_dict().items()}
    with pytest.raises(UserError, match=message):
        load(model, path, **fields)
    assert all(value.equal(before[name]) for name, value in model[0].state_dict().items())


@pytest.mark.filterwarnings("ignore:Detected pickle protocol")
@pytest.mark.parametrize("ending", [".pt", ".pth", ".bin"])
def test_code_in_a_pickle_is_refused_and_not_run(ending: str, tmp_path: Path) -> None:
    file, trace = tmp_path / f"bomb{ending}", tmp_path / "trace"
    torch.save({"state_dict": {"blocks.0.attn.qkv.weight": Bomb(trace)}}, file)
    refused(file, "pickled objects")
    file.write_bytes(pickle.dumps(Bomb(trace)))
    refused(file, "pickled objects|damaged")
    assert not trace.exists()


def test_objects_in_an_npz_are_refused_and_not_run(tmp_path: Path) -> None:
    trace = tmp_path / "trace"
    np.savez(tmp_path / "bomb.npz", cls=np.array([Bomb(trace)], dtype=object))
    refused(tmp_path / "bomb.npz", "pickled objects")
    assert not trace.exists()


@pytest.mark.parametrize("ending", [".safetensors", ".pt", ".npz"])
@pytest.mark.parametrize("kept", [0, 3, 100, 0.5, 0.99])
def test_a_truncated_file(ending: str, kept: float, tmp_path: Path) -> None:
    file, state = tmp_path / f"vit{ending}", image_vit()
    if ending == ".safetensors":
        save(state, file)
    elif ending == ".pt":
        torch.save(state, file)
    else:
        np.savez(file, **to_npz(state, 2))
    data = file.read_bytes()
    file.write_bytes(data[: int(kept * len(data)) if isinstance(kept, float) else kept])
    refused(file, "damaged, or not of the kind|pickled objects")


def test_garbage_missing_folder_and_unknown_suffix(tmp_path: Path) -> None:
    (tmp_path / "x.safetensors").write_bytes(b"\xff" * 100)
    (tmp_path / "x.ckpt").write_bytes(b"x")
    refused(tmp_path / "x.safetensors", "damaged")
    refused(tmp_path / "x.ckpt", r".ckpt suffix; allowed: .safetensors, .pt")
    refused(tmp_path / "missing.pt", "no such file")
    refused(tmp_path, "is a folder")


def test_other_things_than_tensors_by_name(tmp_path: Path) -> None:
    file = tmp_path / "x.pt"
    for content, message in (
        ([torch.zeros(1)], "contains a list"),
        ({}, "the file has no tensors"),
        ({"a": torch.zeros(1), "epoch": 3}, "'epoch' is a int, not a named tensor"),
        ({3: torch.zeros(1)}, "3 is a Tensor"),
        ({"a": torch.tensor([float("nan")])}, "a has values that are not finite"),
    ):
        torch.save(content, file)
        refused(file, message)


def test_containers_and_prefixes_are_removed(tmp_path: Path) -> None:
    state = {"module.model.a": torch.ones(2), "module.model.b": torch.zeros(1)}
    for content in ({"model_state": state, "epoch": 1}, {"state_dict": state}, {"model": {"state_dict": state}}, state):
        torch.save(content, tmp_path / "x.pth")
        assert sorted(read_weights(tmp_path / "x.pth")) == ["a", "b"]


def test_all_wrong_sizes_are_in_one_message(tmp_path: Path) -> None:
    file = save(image_vit(dim=24, depth=3), tmp_path / "vit.safetensors")
    refused(file, "depth 3 in the file, 2 in the model; embed_dim 24 in the file, 16 in the model")
    refused(save(image_vit(patch=6), file), "patch_size 6 in the file, 4 in the model")
    refused(save(image_vit(depth=1), file), "depth 1 in the file, 2 in the model")
    refused(save(image_vit(), file), "hidden width of the MLP 64 in the file, 32", build(mlp_ratio=2.0))
    np.savez(tmp_path / "vit.npz", **to_npz(image_vit(), num_heads=4))
    refused(tmp_path / "vit.npz", "num_heads 4 in the file, 2 in the model")


def test_a_video_kernel_does_not_fit_single_frames(tmp_path: Path) -> None:
    state = image_vit()
    state["patch_embed.proj.weight"] = torch.zeros(16, 3, 2, 4, 4)
    file = save(state, tmp_path / "vit.safetensors")
    refused(file, "tubelet_size 2 in the file, 1 in the model")
    refused(file, "tubelet_size 2 in the file, 4 in the model", build(tubelet_size=4))


def test_unknown_keys_are_named(tmp_path: Path) -> None:
    state = image_vit() | {"blocks.0.ls1.gamma": torch.ones(16), "dist_token": torch.ones(1)}
    refused(save(state, tmp_path / "vit.safetensors"), "blocks.0.ls1.gamma, dist_token: not known in layout timm_vit")


def test_a_missing_part_is_named(tmp_path: Path) -> None:
    state, file = image_vit(), tmp_path / "vit.safetensors"
    for name in ("blocks.1.mlp.fc1.weight", "blocks.0.attn.proj.bias", "norm.bias", "patch_embed.proj.weight"):
        rest = {key: value for key, value in state.items() if key != name}
        if name == "norm.bias":  # the file has no other of its kind: it stays as initialised, and is reported
            _, report = load(build(), save(rest, file))
            assert "readout.norm.bias" in {item.ours for item in report.initialised}
        else:
            ours = name.replace("blocks", "encoder.blocks").replace("patch_embed", "embed")
            refused(save(rest, file), f"has nothing for {ours}|fit no known layout", layout="timm_vit")


def test_a_key_without_its_partners(tmp_path: Path) -> None:
    arrays = to_npz(image_vit(), 2)
    del arrays["Transformer/encoderblock_0/MultiHeadDotProductAttention_1/key/kernel"]
    np.savez(tmp_path / "vit.npz", **arrays)
    refused(tmp_path / "vit.npz", "k of encoder.blocks.0.attn.qkv.weight missing")


def test_no_known_layout_and_the_wrong_one(tmp_path: Path) -> None:
    refused(
        save({"conv1.weight": torch.zeros(2)}, tmp_path / "x.safetensors"),
        r"fit no known layout\. Layouts: hf_timesformer: .*; timm_vit: ",
    )
    refused(save(image_vit(), tmp_path / "vit.safetensors"), "not known in layout xvit", layout="xvit")


def test_weights_of_another_scheme_are_refused(tmp_path: Path) -> None:
    state = image_vit() | {"time_embed": torch.zeros(1, 4, 16)}
    extra = {"blocks.0.temporal_fc.weight": torch.zeros(16, 16), "blocks.0.temporal_fc.bias": torch.zeros(16)}
    file = save(state | extra, tmp_path / "t.safetensors")
    refused(file, r"variant joint, readout ClassToken\) has no parameter for blocks.0.temporal_fc")


def vivit(length: int) -> dict[str, Tensor]:
    state = {name.replace("blocks.", "vivit.layers."): value for name, value in image_vit().items() if "blocks" in name}
    renamed = {}
    for name, value in state.items():
        for ours, theirs in (
            ("norm1", "layernorm_before"),
            ("norm2", "layernorm_after"),
            ("attn.proj", "attention.o_proj"),
        ):
            name = name.replace(ours, theirs)
        parts = zip("qkv", value.chunk(3), strict=True) if "attn.qkv" in name else [("", value)]
        renamed |= {name.replace("attn.qkv", f"attention.{part}_proj"): tensor for part, tensor in parts}
    patches = "vivit.embeddings.patch_embeddings.projection"
    renamed |= {f"{patches}.weight": torch.ones(16, 3, 2, 4, 4), f"{patches}.bias": torch.zeros(16)}
    tables = {"cls_token": torch.ones(1, 1, 16), "position_embeddings": torch.randn(1, 1 + length, 16)}
    return renamed | {f"vivit.embeddings.{name}": value for name, value in tables.items()}


def test_joint_positions_of_another_clip_need_the_number_of_frames(tmp_path: Path) -> None:
    file = save(vivit(4 * 25), tmp_path / "vivit.safetensors")
    make = {"tubelet_size": 2, **JOINT}
    refused(file, "100 places in the file, 18 in the model", build(**make))
    refused(file, "divisor of 100", build(**make), position_frames=3)
    refused(file, "50 places are no square", build(**make), position_frames=2)
    _, report = load(build(**make), file, position_frames=4)
    assert report.resized[0].detail == "4x5x5 -> 2x3x3, bilinear_corners and linear"


def test_joint_positions_are_not_dropped_for_untrained_ones(tmp_path: Path) -> None:
    refused(save(vivit(18), tmp_path / "vivit.safetensors"), "set model.joint_position: learned", build(tubelet_size=2))


def test_a_source_without_a_method_for_time_is_refused(tmp_path: Path) -> None:
    state = image_vit() | {"temp_embed": torch.ones(1, 8, 16)}
    file = save(state, tmp_path / "m.safetensors")
    refused(file, "8 frames in the file, 4 in the model", build())
    _, report = load(build(), file, temporal_interpolation="linear")
    assert report.resized[0].detail == "8 -> 4 frames, linear"


def test_a_classifier_for_other_classes(tmp_path: Path) -> None:
    file = save(image_vit(classes=7), tmp_path / "vit.safetensors")
    refused(
        file, r"head.weight for heads.label.weight: \(7, 16\) in the file, \(5, 16\) in the model", classifier="keep"
    )


def test_changed_content_is_refused(tmp_path: Path) -> None:
    refused(save(image_vit(), tmp_path / "vit.safetensors"), "it has changed", sha256="0" * 64)


def test_every_layout_can_be_named() -> None:
    from typing import get_args

    assert set(get_args(WeightsConfig.model_fields["layout"].annotation)) == {"auto", *LAYOUTS}
    assert {name: layout.name for name, layout in LAYOUTS.items()} == {name: name for name in LAYOUTS}
