"""Videos in files, named by lists."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING, Annotated, Literal

import numpy as np
from pydantic import Field

from harness.data import lists
from harness.data.data_set import Ceilings, DataProblem, DataSet, DataSetConfig
from harness.data.sampling import Indices, dense_span, dense_test, dense_train, uniform_test, uniform_train
from harness.data.source import Batch, ClipSource, Split
from harness.errors import Fault, UserError
from harness.nn.config import ModelConfig, Positive

if TYPE_CHECKING:  # planning imports this file and must not pay for torch and PyAV
    import torch

    from harness.data.decode import Frames, VideoInfo

LABEL = "class"
#: what an identity is made of, see `harness.data.video_content`: the part of it before the hash
SIZES, SAMPLES, WHOLE = SCHEMES = ("video_list/sha256:", "video_list/v2/sha256:", "video_list/v2-whole/sha256:")
CACHE_BYTES = 256 * 2**20  # decoded frames kept in memory by one split
CACHE_VIDEO_BYTES = 4 * 2**20  # largest video that is kept; longer ones are decoded up to the last frame needed

ScaleRange = Annotated[list[Annotated[float, Field(ge=1.0, le=4.0)]], Field(min_length=2, max_length=2)]


class VideoListConfig(DataSetConfig):
    """Video files named by Kinetics-style lists: one `path label` a line, paths relative to `root`."""

    name: Literal["video_list"]
    train_list: str = Field(description="list of training videos")
    val_list: str = Field(description="list of validation videos")
    test_list: str = Field(description="list of test videos")
    root: str | None = Field(None, description="folder the paths start from; default: the folder of the list")
    identity_version: Literal[1, 2] = Field(
        2, description="2: content of the files; 1: their sizes only, to continue a run of before version 2"
    )
    num_classes: Positive | None = Field(None, description="default: largest label of the lists + 1")
    sampling: Literal["dense", "uniform"] = Field(
        "dense", description="dense: num_frames at sampling_rate; uniform: one frame of each equal segment"
    )
    sampling_rate: Positive = Field(1, description="frames between two sampled frames (dense)")
    scale_size: Positive | None = Field(None, description="short side in pixels before the crop; default: crop_size")
    scale_jitter: ScaleRange | None = Field(
        None, description="training: short side drawn from scale_size times [low, high]"
    )
    flip: bool = Field(False, description="training: mirror half of the clips left-right (not where sides matter)")
    num_clips: Positive = Field(1, description="test: clips of each video along time")
    num_crops: Literal[1, 3] = Field(1, description="test: 1 = centre; 3 = left, centre, right (or top, .., bottom)")


class VideoList(DataSet):
    """Video files, identified by the hash of their lists and of the files."""

    Config = VideoListConfig
    config: VideoListConfig
    location_fields = frozenset({"train_list", "val_list", "test_list", "root", "identity_version"})
    label_names = (LABEL,)

    def read_lists(self) -> lists.Lists:
        """Reads the three lists. Raises: UserError with all faults, each with its list and line."""
        data = self.config
        files: dict[Split, str] = {"train": data.train_list, "val": data.val_list, "test": data.test_list}
        return replace(lists.read_lists(files, data.root, data.num_classes), alive=self.alive)

    def identity(self) -> str:
        from harness.data import video_hashes

        found = self.read_lists()
        if self.config.identity_version == 1:
            return _identity(SIZES, found)
        return _identity(WHOLE if video_hashes.are_stored(found) else SAMPLES, found)

    def has_identity(self, identity: str) -> bool:
        scheme = f"{identity.rpartition(':')[0]}:"
        return scheme in SCHEMES and _identity(scheme, self.read_lists()) == identity

    def check_files(self) -> list[str]:
        from harness.data import video_hashes

        found = self.read_lists()
        number = len(video_hashes.check(found))
        names = [f"  {video_hashes.hashes_file(file)}" for file in found.files.values()]
        return [f"{number} videos decoded to the end; the hashes of the whole files are in", *names]

    def ceilings(self) -> Ceilings:
        return {"chance": {LABEL: 1 / (self.config.num_classes or self.read_lists().num_classes)}}

    def problems(self, model: ModelConfig) -> Iterator[DataProblem]:
        data = self.config
        if data.scale_size is not None and data.scale_size < model.crop_size:
            need = f"holds no crop of {model.crop_size}; at least {model.crop_size}"
            yield DataProblem(
                ("data.scale_size", "model.crop_size"), f"a short side of {data.scale_size} pixels {need}"
            )
        if data.scale_jitter is not None and data.scale_jitter[0] > data.scale_jitter[1]:
            low, high = data.scale_jitter
            yield DataProblem(("data.scale_jitter",), f"low {low} is above high {high}; write [low, high]")
        if data.sampling == "uniform" and data.sampling_rate != 1:
            yield DataProblem(
                ("data.sampling_rate", "data.sampling"),
                "uniform sampling has no rate, so it would have no effect; remove it, or sampling: dense",
            )

    def resolved(self, model: ModelConfig) -> VideoListConfig:
        return self.config.model_copy(update={"scale_size": self.config.scale_size or model.crop_size})

    def open(self, model: ModelConfig, split: Split, seed: int) -> ClipSource:
        return VideoClips(self, model, split, seed)


def _identity(scheme: str, found: lists.Lists) -> str:
    from harness.data import video_content, video_hashes

    read = {SIZES: video_content.sizes, SAMPLES: video_content.samples, WHOLE: video_hashes.stored}[scheme]
    return scheme + video_content.hash_of(found, read(found))


class VideoClips(ClipSource):
    """One split of a data set of video files, decoded on demand.

    Small videos are kept decoded, up to `CACHE_BYTES` in total. The cache evicts nothing, because training visits all
    videos equally often.

    Raises:
        UserError: the lists cannot be used, or a video cannot be read; no video is ever replaced by another.
    """

    def __init__(self, data_set: VideoList, model: ModelConfig, split: Split, seed: int) -> None:
        found = data_set.read_lists()
        self._data, self._model, self._seed = data_set.config, model, seed
        self._videos = found.videos[split]
        self._infos: dict[int, VideoInfo] = {}
        self._cache: dict[int, Frames] = {}
        self._free_bytes = CACHE_BYTES
        self.labels = {LABEL: found.num_classes}
        self.num_views = self._data.num_clips * self._data.num_crops

    def __len__(self) -> int:
        return len(self._videos)

    def train_batch(self, indices: Sequence[int] | np.ndarray, draw: int) -> Batch:
        """Returns clips (B, T, 3, H, W), randomly placed in time, scaled, cropped and flipped as configured."""
        return self._batch([self._train_clip(int(index), draw) for index in indices], indices)

    def views(self, indices: Sequence[int] | np.ndarray) -> Batch:
        """Returns clips (B, V, T, 3, H, W) at the fixed places of `num_clips` and `num_crops`."""
        return self._batch([self._views(int(index)) for index in indices], indices)

    def _batch(self, clips: list[torch.Tensor], indices: Sequence[int] | np.ndarray) -> Batch:
        import torch

        return Batch.of(torch.stack(clips), {LABEL: [self._videos[int(index)].label for index in indices]})

    def _train_clip(self, index: int, draw: int) -> torch.Tensor:
        from harness.data.transforms import draw_train_view, train_crop

        rng = np.random.Generator(np.random.Philox(np.random.SeedSequence((self._seed, draw, index))))
        info, num_frames = self._info(index), self._model.num_frames
        if self._data.sampling == "dense":
            places = dense_train(info.num_frames, num_frames, self._span(index), rng)
        else:
            places = uniform_train(info.num_frames, num_frames, rng)
        view = draw_train_view(self._data, self._model.crop_size, rng)
        return train_crop(_to_clip(self._frames(index, places)), view, self._model.crop_size)

    def _views(self, index: int) -> torch.Tensor:
        import torch

        from harness.data.transforms import eval_crops

        places = np.stack([self._test_places(index, clip) for clip in range(self._data.num_clips)])
        unique, inverse = np.unique(places, return_inverse=True)
        frames = _to_clip(self._frames(index, unique))
        size = self._model.crop_size
        crops = eval_crops(frames, self._data.scale_size or size, size, self._data.num_crops)
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
        from harness.data.decode import probe

        if index not in self._infos:
            with self._named(index):
                self._infos[index] = probe(self._videos[index].path)
        return self._infos[index]

    @contextmanager
    def _named(self, index: int) -> Iterator[None]:
        """Checks that a video is unchanged before it is read, and adds list and line to what is wrong with it."""
        from harness.data.video_content import check_unchanged

        video = self._videos[index]
        try:
            check_unchanged(video.path)
            yield
        except UserError as error:
            raise UserError([Fault(video.where, "", str(error))]) from error

    def _frames(self, index: int, places: Indices) -> Frames:
        """Returns the frames (n, H, W, 3) at `places`, from the cache where the video is cached."""
        from harness.data.decode import read_frames

        if index in self._cache:
            return self._cache[index][places]
        info, path = self._info(index), self._videos[index].path
        is_kept = info.num_bytes <= min(CACHE_VIDEO_BYTES, self._free_bytes)
        with self._named(index):
            frames = read_frames(path, np.arange(info.num_frames) if is_kept else places)
        if is_kept:
            self._cache[index] = frames
            self._free_bytes -= info.num_bytes
            frames = frames[places]
        self.alive("clip")
        return frames


def _to_clip(frames: Frames) -> torch.Tensor:
    import torch

    return torch.from_numpy(frames).permute(0, 3, 1, 2).contiguous()
