"""From image weights to video weights: a patch kernel for tubelets, positions for several frames.

Source: ViViT (arXiv 2103.15691), section 3.4: "central frame initialisation", "filter inflation", repeated positions.
"""

from __future__ import annotations

import torch
from torch import Tensor


def inflate_central_frame(kernel: Tensor, tubelet_size: int) -> Tensor:
    """Image kernel (D, C, p, p) -> (D, C, t, p, p): all of it in frame t // 2, zeros in the others."""
    inflated = torch.zeros(*kernel.shape[:2], tubelet_size, *kernel.shape[2:], dtype=kernel.dtype, device=kernel.device)
    inflated[:, :, tubelet_size // 2] = kernel
    return inflated


def inflate_average(kernel: Tensor, tubelet_size: int) -> Tensor:
    """Image kernel (D, C, p, p) -> (D, C, t, p, p): a t-th of it in each frame; equal frames embed as the image."""
    return (kernel / tubelet_size).unsqueeze(2).repeat(1, 1, tubelet_size, 1, 1)


def tile_positions(positions: Tensor, num_frames: int, num_class: int) -> Tensor:
    """Positions of an image (1, num_class + S, D) -> (1, num_class + T S, D): those of patches repeated for each frame.

    `num_class` is 1 where the first position is the class token's, which is kept as it is, and 0 where there is none.
    """
    return torch.cat([positions[:, :num_class], positions[:, num_class:].repeat(1, num_frames, 1)], dim=1)
