"""Full space-time attention approximated through landmarks: cost linear in the number of tokens.

Landmarks are means of contiguous segments of each frame's patches, for queries and for keys. A patch attends to the
landmark keys, the landmark queries attend to all tokens, and a pseudo-inverse of landmark attention joins the two:
softmax(Q K~^T) softmax(Q~ K~^T)^+ softmax(Q~ K^T) V, each softmax scaled as usual. The class token attends to all
tokens exactly.
Source: Nyströmformer (arXiv 2102.03902), sections 3.2 and 3.3, with its iteration for the pseudo-inverse; Motionformer
(arXiv 2106.05392) tries it on video. Ours differs in the segments, which do not straddle frames, in the exact class
token, in the start of the iteration, which is scaled by each matrix and not by the largest of the batch, and in that
there is no convolution in parallel to the attention.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, Any, ClassVar

import torch
from torch import Tensor

from harness.api import (
    Attention,
    Block,
    DegenerateCase,
    Field,
    Layout,
    SequenceEncoder,
    TrunkGeometry,
    Variant,
    VariantConfig,
    attend,
    count,
    plain,
    pooled_means,
)


class NystromConfig(VariantConfig):
    """Knobs of landmark attention."""

    landmarks_per_frame: Annotated[int, Field(ge=1)] = Field(2, description="segments that a frame's patches form")
    num_iterations: Annotated[int, Field(ge=1, le=100)] = Field(6, description="steps towards the pseudo-inverse")


class Nystrom(Variant[NystromConfig]):
    """Landmark attention over space and time, one class token per clip."""

    class_token = "clip"
    encoder_type = SequenceEncoder
    cannot_carry: ClassVar = {
        "summary": "every query sees landmarks of all frames already",
        "registers": "landmarks are means of patches, and a register would be approximated through them",
    }

    def validate(self) -> Iterator[tuple[str, str]]:
        yield from super().validate()
        most, given = self.trunk.num_patches, self.config.landmarks_per_frame
        if given > most:
            yield "landmarks_per_frame", f"{given} given; a frame has {most} patches, so at most {most}"

    def build_block(self, layer: int) -> Block:
        return Block(self.trunk, layer, NystromAttention(self.trunk, self.config))

    def block_macs(self, layer: int) -> int:
        trunk, marks = self.trunk, self.trunk.num_frames * self.config.landmarks_per_frame
        patches = trunk.num_frames * trunk.num_patches
        # class token to all, landmarks to all, then patches to landmarks and landmarks to landmarks
        pairs = (1 + marks) * (1 + patches) + patches * marks + marks**2
        inverse = self.config.num_iterations * 4 * marks**3 * trunk.num_heads
        return count.block_macs(trunk, 1 + patches, pairs) + inverse

    def block_influence(self, layout: Layout, layer: int) -> Tensor:
        return layout.all_pairs()

    def reference_attention(self, attention: Any, x: Tensor, layout: Layout, layer: int) -> Tensor:
        """Attend head by head; the attention of patches is written as one matrix (patches, tokens)."""
        outputs = []
        for q, k, v in zip(*(z.chunk(attention.num_heads, -1) for z in plain.project(attention, x)), strict=True):
            marks_q, marks_k = (plain.summaries(z, layout, self.config.landmarks_per_frame) for z in (q, k))
            exact, first, last = _weights(q[:, :1], k), _weights(q[:, 1:], marks_k), _weights(marks_q, k)
            middle = torch.stack([self._reference_inverse(matrix) for matrix in _weights(marks_q, marks_k)])
            approximate = torch.einsum("bnl,blm,bmk->bnk", first, middle, last)
            outputs.append(torch.einsum("bnk,bkc->bnc", torch.cat([exact, approximate], dim=1), v))
        return plain.linear(attention.proj, torch.cat(outputs, dim=-1))

    def _reference_inverse(self, matrix: Tensor) -> Tensor:
        """Iterate one matrix, multiplied out: z (13 - 15 a + 7 a^2 - a^3) / 4 with a = matrix z."""
        one = torch.eye(len(matrix), dtype=matrix.dtype)
        z = matrix.T / (max(column.sum() for column in matrix.T) * max(row.sum() for row in matrix))
        for _ in range(self.config.num_iterations):
            a = torch.einsum("ij,jk->ik", matrix, z)
            a2 = torch.einsum("ij,jk->ik", a, a)
            z = torch.einsum("ij,jk->ik", z, 13 * one - 15 * a + 7 * a2 - torch.einsum("ij,jk->ik", a2, a)) / 4
        return z

    def degenerate_cases(self) -> Iterator[DegenerateCase]:
        every = {"landmarks_per_frame": self.trunk.num_patches, "num_iterations": 60}
        yield DegenerateCase("every patch a landmark", equals="joint", config=every)


def _weights(q: Tensor, k: Tensor) -> Tensor:
    """Return the softmax of scaled scores of one head, q (B, n, c), k (B, m, c) -> (B, n, m)."""
    weights = torch.exp(torch.einsum("bnc,bmc->bnm", q, k) / q.shape[-1] ** 0.5)
    return weights / weights.sum(-1, keepdim=True)


class NystromAttention(Attention):
    """Landmark attention of a row [class token; patches (t h w)]."""

    def __init__(self, trunk: TrunkGeometry, config: NystromConfig):
        super().__init__(trunk.embed_dim, trunk.num_heads, trunk.qkv_bias)
        self.num_frames, self.num_iterations = trunk.num_frames, config.num_iterations
        self.landmarks_per_frame = config.landmarks_per_frame

    def forward(self, x: Tensor, mask: Tensor | None = None) -> Tensor:
        q, k, v = self.project(x)
        of_class = attend(q[:, :, :1], k, v)
        marks_q, marks_k = self._landmarks(q[:, :, 1:]), self._landmarks(k[:, :, 1:])
        to_marks, among_marks = (self._softmax(z, marks_k) for z in (q[:, :, 1:], marks_q))
        read = pseudo_inverse(among_marks, self.num_iterations) @ attend(marks_q, k, v)
        return self.merge(torch.cat([of_class, to_marks @ read], dim=2))

    def _landmarks(self, patches: Tensor) -> Tensor:
        """Average segments of each frame: (B, h, T S, c) -> (B, h, landmarks, c)."""
        # patch s belongs to segment floor(s R / S), as the summaries of the trunk
        frames = patches.unflatten(2, (self.num_frames, -1))
        return pooled_means(frames, self.landmarks_per_frame).flatten(2, 3)

    @staticmethod
    def _softmax(q: Tensor, k: Tensor) -> Tensor:
        return ((q * q.shape[-1] ** -0.5) @ k.transpose(-1, -2)).softmax(-1)


def pseudo_inverse(matrix: Tensor, num_iterations: int) -> Tensor:
    """Approximate the Moore-Penrose inverse of row-stochastic matrices (..., m, m) by third-order steps."""
    one = torch.eye(matrix.shape[-1], dtype=matrix.dtype, device=matrix.device)
    z = matrix.transpose(-1, -2) / matrix.sum(-2).amax(-1)[..., None, None]  # rows sum to one
    for _ in range(num_iterations):
        a = matrix @ z
        z = 0.25 * (z @ (13 * one - a @ (15 * one - a @ (7 * one - a))))
    return z
