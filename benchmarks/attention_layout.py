"""Measures whether fused attention is faster on inputs flattened to four dimensions (harness.nn.attention.attend).

Compares `scaled_dot_product_attention` on (B, T, h, n, c), which torch computes with an unfused softmax,
with the same call on (B T, h, n, c), which has a fused kernel; forward alone and with backward. The two alternate
within one process. The result is the ratio five / four dimensions: the ratio of medians with its bootstrap 95 %
interval.

    python benchmarks/attention_layout.py [--rounds 30]
"""

from __future__ import annotations

import argparse
import json
import time

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from harness.measure.machine.environment import cpu_model
from harness.nn.attention import attend

#: (B, T, h, n, c): the demo's frames, a small ViT's, ViT-B's frames, ViT-B's joint space-time
SHAPES = [(64, 8, 4, 17, 12), (8, 8, 4, 65, 16), (2, 8, 6, 197, 64), (1, 1, 12, 1569, 64)]


def five_dimensions(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    """Calls attention on five dimensions."""
    return F.scaled_dot_product_attention(q, k, v)


def milliseconds(function: object, inputs: list[Tensor], backward: bool) -> float:
    """Times one call, optionally with its backward pass; returns milliseconds."""
    begin = time.perf_counter()
    y = function(*inputs)  # type: ignore[operator]
    if backward:
        y.sum().backward()
    return 1e3 * (time.perf_counter() - begin)


def ratio_interval(a: list[float], b: list[float]) -> tuple[float, float, float]:
    """Returns the ratio of medians a / b with its bootstrap 95 % interval."""
    generator = np.random.default_rng(0)
    draws = [np.median(generator.choice(a, len(a))) / np.median(generator.choice(b, len(b))) for _ in range(2000)]
    low, high = np.percentile(draws, [2.5, 97.5])
    return float(np.median(a) / np.median(b)), float(low), float(high)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=30)
    rounds = parser.parse_args().rounds
    torch.set_num_threads(1)
    results = []
    print(f"{'B, T, h, n, c':24s} {'pass':18s} five / four dimensions")
    for shape in SHAPES:
        for backward in (False, True):
            inputs = [torch.randn(shape, requires_grad=backward) for _ in range(3)]
            samples: dict[str, list[float]] = {"five": [], "four": []}
            for index in range(rounds + 1):
                for name, function in (("five", five_dimensions), ("four", attend)):
                    spent = milliseconds(function, inputs, backward)
                    if index:  # the first round warms up
                        samples[name].append(spent)
            ratio, low, high = ratio_interval(samples["five"], samples["four"])
            what = "forward + backward" if backward else "forward"
            print(f"{shape!s:24s} {what:18s} {ratio:.2f} [{low:.2f}, {high:.2f}]", flush=True)
            results.append(
                {"shape": shape, "pass": what, "ratio": ratio, "low": low, "high": high, "samples_ms": samples}
            )
    print(json.dumps({"cpu": cpu_model(), "torch": torch.__version__, "threads": 1, "results": results}))


if __name__ == "__main__":
    main()
