"""Small configurations and video files written on the fly."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import av
import pytest
from numbered_video import CELL, NUM_BITS, numbered_frame

from harness.data.sets.video_list import VideoListConfig
from harness.nn.config import ModelConfig


@pytest.fixture
def write_numbered() -> Callable[..., Path]:
    """Writes a video of `num_frames` numbered frames."""

    def write(path: Path, codec: str, num_frames: int, options: dict[str, str] | None = None, rate: int = 30) -> Path:
        path.parent.mkdir(parents=True, exist_ok=True)
        with av.open(str(path), "w") as container:
            stream = container.add_stream(codec, rate=rate, options=options or {})
            stream.width, stream.height, stream.pix_fmt = NUM_BITS * CELL, 2 * CELL, "yuv420p"
            for number in range(num_frames):
                container.mux(stream.encode(av.VideoFrame.from_ndarray(numbered_frame(number), format="rgb24")))
            container.mux(stream.encode())
        return path

    return write


@pytest.fixture
def make_config() -> Callable[..., VideoListConfig]:
    """Makes a video_list configuration of the lists train.csv, val.csv, test.csv in a folder."""

    def make(folder: Path, **fields: object) -> VideoListConfig:
        names = {f"{split}_list": str(folder / f"{split}.csv") for split in ("train", "val", "test")}
        return VideoListConfig.model_validate({"name": "video_list", **names, **fields})

    return make


@pytest.fixture
def model() -> ModelConfig:
    """A model for four frames of 16 pixels."""
    return ModelConfig(num_frames=4, crop_size=16)
