"""Videos in files, named by lists."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch

from harness.data.decode import Frames, VideoInfo, probe, read_frames
from harness.data.lists import LABEL, Lists, Video, read_lists
from harness.data.sampling import (
    Indices,
    dense_span,
    dense_test,
    dense_train,
    uniform_test,
    uniform_train,
)
from harness.data.source import Batch, ClipSource, Split
from harness.data.transforms import draw_train_view, eval_crops, train_crop
from harness.errors import Fault, UserError
from harness.nn.config import ModelConfig
from harness.sweep.schema import VideoListConfig

CACHE_BYTES = 256 * 2**20  # decoded frames kept in memory by one split
CACHE_VIDEO_BYTES = 4 * 2**20  # of a video that is worth keeping; longer ones are decoded up to the last frame needed


class VideoList(ClipSource):
    """One split of a data set of video files, decoded when asked for.

    Small videos are kept decoded, up to `CACHE_BYTES` in all; nothing is dropped again, since training visits all
    videos equally often.

    Raises:
        UserError: the lists cannot be used, or a video cannot be read; no video is ever replaced by another.
    """

    def __init__(self, data: VideoListConfig, model: ModelConfig, split: Split, seed: int) -> None:
        lists: Lists = read_lists(data)
        self._data, self._model, self._seed = data, model, seed
        self._short_side = data.scale_size or model.crop_size
        if self._short_side < model.crop_size:
            message = f"{data.scale_size} is less than model.crop_size {model.crop_size}; raise it or leave it out"
            raise UserError([Fault("", "data.scale_size", message)])
        self._videos: tuple[Video, ...] = lists.videos[split]
        self._infos: dict[int, VideoInfo] = {}
        self._cache: dict[int, Frames] = {}
        self._free_bytes = CACHE_BYTES
        self.labels = {LABEL: lists.num_classes}
        self.num_views = data.num_clips * data.num_crops

    def __len__(self) -> int:
        return len(self._videos)

    def train_batch(self, indices: Sequence[int] | np.ndarray, draw: int) -> Batch:
        """Clips (B, T, 3, H, W): randomly placed in time, scaled, cropped and flipped as the configuration says."""
        clips = torch.stack([self._train_clip(int(index), draw) for index in indices])
        return Batch(clips, self._labels(indices))

    def views(self, indices: Sequence[int] | np.ndarray) -> Batch:
        """Clips (B, V, T, 3, H, W) at the fixed places of `num_clips` and `num_crops`."""
        return Batch(torch.stack([self._views(int(index)) for index in indices]), self._labels(indices))

    def _labels(self, indices: Sequence[int] | np.ndarray) -> dict[str, torch.Tensor]:
        return {LABEL: torch.tensor([self._videos[int(index)].label for index in indices], dtype=torch.int64)}

    def _train_clip(self, index: int, draw: int) -> torch.Tensor:
        rng = np.random.Generator(np.random.Philox(np.random.SeedSequence((self._seed, draw, index))))
        info, num_frames = self._info(index), self._model.num_frames
        if self._data.sampling == "dense":
            places = dense_train(info.num_frames, num_frames, self._span(index), rng)
        else:
            places = uniform_train(info.num_frames, num_frames, rng)
        view = draw_train_view(self._data, self._model.crop_size, rng)
        return train_crop(_to_clip(self._frames(index, places)), view, self._model.crop_size)

    def _views(self, index: int) -> torch.Tensor:
        places = np.stack([self._test_places(index, clip) for clip in range(self._data.num_clips)])
        unique, inverse = np.unique(places, return_inverse=True)
        frames = _to_clip(self._frames(index, unique))
        crops = eval_crops(frames, self._short_side, self._model.crop_size, self._data.num_crops)
        views = crops[:, torch.from_numpy(inverse.reshape(places.shape))]  # (crops, clips, T, 3, H, W)
        return views.transpose(0, 1).flatten(0, 1)

    def _test_places(self, index: int, clip: int) -> Indices:
        length, num_frames, num_clips = self._info(index).num_frames, self._model.num_frames, self._data.num_clips
        if self._data.sampling == "uniform":
            return uniform_test(length, num_frames, clip, num_clips)
        return dense_test(length, num_frames, self._span(index), clip, num_clips)

    def _span(self, index: int) -> float:
        fps = self._info(index).fps
        if fps is None:
            way_out = "re-encode it with a frame rate, or use data.sampling: uniform"
            raise UserError(f"{self._videos[index].path}: states no frame rate, which dense sampling needs; {way_out}")
        return dense_span(self._model.num_frames, self._data.sampling_rate, fps)

    def _info(self, index: int) -> VideoInfo:
        if index not in self._infos:
            self._infos[index] = probe(self._videos[index].path)
        return self._infos[index]

    def _frames(self, index: int, places: Indices) -> Frames:
        """The frames (n, H, W, 3) at `places`, from memory where the video is kept there."""
        if index in self._cache:
            return self._cache[index][places]
        info = self._info(index)
        if info.num_bytes > min(CACHE_VIDEO_BYTES, self._free_bytes):
            return read_frames(self._videos[index].path, places)
        self._cache[index] = read_frames(self._videos[index].path, np.arange(info.num_frames))
        self._free_bytes -= info.num_bytes
        return self._cache[index][places]


def _to_clip(frames: Frames) -> torch.Tensor:
    return torch.from_numpy(frames).permute(0, 3, 1, 2).contiguous()
