"""From image weights to video weights: a patch kernel for tubelets, positions for several frames.

Source: ViViT (arXiv 2103.15691), section 3.4: "central frame initialisation", "filter inflation", repeated positions.
"""

from __future__ import annotations

import torch
from torch import Tensor


def inflate_central_frame(kernel: Tensor, tubelet_size: int) -> Tensor:
    """Inflate an image kernel (D, C, p, p) to (D, C, t, p, p): frame t // 2 holds it, the others are zero."""
    inflated = torch.zeros(*kernel.shape[:2], tubelet_size, *kernel.shape[2:], dtype=kernel.dtype, device=kernel.device)
    inflated[:, :, tubelet_size // 2] = kernel
    return inflated


def inflate_average(kernel: Tensor, tubelet_size: int) -> Tensor:
    """Inflate an image kernel (D, C, p, p) to (D, C, t, p, p), 1/t of it per frame; equal frames embed as the image."""
    return (kernel / tubelet_size).unsqueeze(2).repeat(1, 1, tubelet_size, 1, 1)


def tile_positions(positions: Tensor, num_frames: int, num_class: int) -> Tensor:
    """Repeat image positions (1, num_class + S, D) for each frame: (1, num_class + T S, D).

    `num_class` is 1 if the first position belongs to the class token, which is not repeated, else 0.
    """
    return torch.cat([positions[:, :num_class], positions[:, num_class:].repeat(1, num_frames, 1)], dim=1)
