"""Tensors in files of weights that are no usable weights: kind, type, shape, declared size."""

from __future__ import annotations

import json
import math
import random
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from tests.model.test_weights_bad_files import JOINT, refused, vivit
from tests.model.weights_files import build, image_vit, load, save, to_npz


@pytest.mark.filterwarnings("ignore::UserWarning")
def test_tensors_of_unusual_kinds_are_refused(tmp_path: Path) -> None:
    for value, message in (
        (torch.empty(3, device="meta"), "a is a meta tensor; save it as a dense tensor in CPU memory"),
        (torch.empty(3, device="meta", dtype=torch.int64), "a is a meta tensor"),
        (torch.eye(3).to_sparse(), r"a is a sparse \(sparse_coo\) tensor"),
        (torch.eye(3).int().to_sparse_csr(), r"a is a sparse \(sparse_csr\) tensor"),
        (torch.nested.nested_tensor([torch.ones(2), torch.ones(3)]), "a is a nested tensor"),
        (torch.quantize_per_tensor(torch.ones(3), 0.1, 0, torch.qint8), "a is a quantised tensor"),
        (torch.ones(3, dtype=torch.complex64), "a has dtype complex64; convert weights to one of: float32"),
        (torch.ones(3).to(torch.float8_e4m3fn), "a has dtype float8_e4m3fn"),
        (torch.ones(1).expand(10**6, 10**6), "but the file holds fewer values"),
        (torch.ones(0), "a has no values"),
        (torch.tensor([1e300], dtype=torch.float64), "not finite in float32"),
    ):
        torch.save({"a": value}, tmp_path / "x.pt")
        refused(tmp_path / "x.pt", message)


def test_declared_sizes_are_not_believed(tmp_path: Path) -> None:
    file = tmp_path / "x.safetensors"
    for shape, end in (([10**12], 4 * 10**12), ([2**62, 4], 0), ([2**62, 0], 0)):
        header = json.dumps({"a": {"dtype": "F32", "shape": shape, "data_offsets": [0, end]}}).encode()
        file.write_bytes(len(header).to_bytes(8, "little") + header)
        refused(file, "damaged|no values")


def test_integers_are_no_weights_and_shared_storage_is_none_of_our_business(tmp_path: Path) -> None:
    state = image_vit()
    torch.save({**state, "norm.weight": torch.ones(16, dtype=torch.int64)}, tmp_path / "x.pt")
    refused(tmp_path / "x.pt", "norm.weight has dtype int64; weights are floating-point numbers")
    both = torch.arange(32, dtype=torch.float64)
    torch.save({**state, "norm.weight": both[:16], "norm.bias": both[8:24]}, tmp_path / "x.pt")
    model, _ = load(build(), tmp_path / "x.pt")
    assert model.state_dict()["readout.norm.bias"].tolist() == list(range(8, 24))


ODD_SHAPES: tuple[tuple[int, ...], ...] = (
    (), (1,), (16,), (1, 1, 16), (3, 3), (16, 1), (1, 7, 16), (16, 3, 4, 4), (16, 3, 2, 4, 4), (1, 2, 1, 2, 1, 2),
)  # fmt: skip


@pytest.mark.parametrize("kind", ["timm", "vivit", "npz"])
def test_a_tensor_of_any_other_shape_is_refused_by_name(kind: str, tmp_path: Path) -> None:
    rng, model = random.Random(kind), build(**({"tubelet_size": 2, **JOINT} if kind == "vivit" else {}))
    whole: dict[str, Any] = {"timm": image_vit, "vivit": lambda: vivit(18), "npz": lambda: to_npz(image_vit(), 2)}[
        kind
    ]()
    file = tmp_path / ("x.npz" if kind == "npz" else "x.safetensors")
    for key, value in whole.items():
        size = math.prod(value.shape)  # as many values in another shape are the same weights in some layouts
        shape = rng.choice([shape for shape in ODD_SHAPES if math.prod(shape) != size])
        if key.startswith("head"):  # the classifier is not used
            continue
        if kind == "npz":
            np.savez(file, **{**whole, key: np.ones(shape)})
        else:
            save({**whole, key: torch.ones(shape, dtype=torch.float64)}, file)
        refused(file, "shape|in the file|cannot be joined|does not allow|no square|divisor", model)
