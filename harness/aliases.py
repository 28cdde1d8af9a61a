"""Other names for what this harness has; hints use them wherever a name is unknown."""

from __future__ import annotations

import re
from collections.abc import Collection
from difflib import get_close_matches

#: our name -> what others call it, in lower case with _. Fields, variants, readouts, data and values, verbs.
OTHER_NAMES = {
    "learning_rate": "lr rate base_lr", "weight_decay": "wd decay", "batch_size": "bs batch",
    "optimizer": "optimiser optim",
    "num_steps": "steps iterations iters max_steps epochs num_epochs", "warmup_fraction": "warmup warmup_steps",
    "schedule": "scheduler lr_schedule", "clip_norm": "grad_clip gradient_clip clip_grad max_norm",
    "precision": "amp dtype mixed_precision", "num_threads": "threads", "num_processes": "processes ranks world_size",
    "num_workers": "workers", "label_smoothing": "smoothing", "activation_checkpointing": "gradient_checkpointing",
    "num_frames": "frames clip_length num_frame", "crop_size": "resolution image_size img_size input_size crop",
    "patch_size": "patch", "tubelet_size": "tubelet", "depth": "layers num_layers n_layers blocks",
    "num_heads": "heads n_heads", "embed_dim": "width dim hidden_size hidden_dim channels d_model",
    "num_classes": "classes", "temporal_window": "t_w tw window", "seeds": "seed num_seeds repeats",
    "vary": "grid sweep axes", "tune": "search", "weights": "pretrained checkpoint init import load",
    "variant": "attention scheme", "readout": "pooling head", "where": "launcher", "device": "gpu",
    "macs": "gflops flops gmacs", "latency": "speed runtime", "memory": "vram",
    "divided": "timesformer divided_space_time", "spatial_only": "space_only spatial per_frame vit tsn",
    "joint": "videomae vivit1 full joint_space_time spatiotemporal space_time", "trajectory": "motionformer",
    "factorised_encoder": "vivit vivit2 factorized_encoder", "mixing": "x_vit xvit space_time_mixing",
    "factorised_self_attention": "vivit3 factorized_self_attention", "nystrom": "nystromformer",
    "factorised_dot_product": "vivit4 factorized_dot_product", "token_shift": "tsm shift tokshift",
    "window3d": "swin video_swin swin3d", "pooled": "mvit mvitv2", "axial": "ccnet",
    "local_window": "local neighbourhood neighborhood", "local_global": "sparse longformer",
    "class_token": "cls cls_token", "mean_tokens": "gap average mean", "temporal_attention": "ta", "gru": "lstm rnn",
    "video_list": "kinetics k400 ssv2 videos files", "moving_shapes": "synthetic shapes", "random": "noise",
    "adamw": "adam", "bf16": "fp16 bfloat16 float16 half", "fp32": "float32", "cuda": "gpu",
    "sweep": "run launch start plan resume continue ablate train", "report": "plot table results",
    "bench": "time timing benchmark compare", "cost": "count macs flops profile", "list": "ls variants sweeps",
    "cancel": "kill stop", "clean": "delete rm remove", "check": "test verify validate", "new": "create add",
    "data": "export dataset", "logs": "tail", "status": "show", "watch": "progress monitor", "retry": "rerun",
}  # fmt: skip


def nearest_name(given: str, allowed: Collection[str], cutoff: float = 0.7) -> str | None:
    """Return the allowed name that was most likely meant: the nearest spelling, or ours for another name of it."""
    lowered = {name.lower(): name for name in reversed([*allowed])}
    plain = re.sub(r"[-\s]+", "_", given.strip().lower())
    ours = [name for name, others in OTHER_NAMES.items() if plain == name or plain in others.split()]
    near = [plain, *ours, *get_close_matches(given.lower(), [*lowered], n=1, cutoff=cutoff)]
    return next((lowered[name] for name in near if name in lowered), None)
