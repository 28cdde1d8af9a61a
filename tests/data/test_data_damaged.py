"""Damaged video files: nothing but a `UserError` with the name of the file, and no damage without notice."""

from __future__ import annotations

import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from av.video.frame import VideoFrame

from harness.data import data_identity, decode, has_identity, open_split, video_hashes
from harness.data.decode import num_frames_decoded, probe, read_frames
from harness.data.sets.video_list import VideoList, VideoListConfig
from harness.errors import UserError
from harness.nn.config import ModelConfig

LENGTH = 12
NUM_DAMAGES = 36
Write = Callable[..., Path]
Make = Callable[..., VideoListConfig]
#: damages that must show in the file itself; the others may decode to other pixels, which only its hash shows
EVIDENT = {"truncated", "zeroed", "cut out"}


def damaged(content: bytes, rng: random.Random) -> tuple[str, bytes]:
    """Returns a kind of damage and the damaged content."""
    place, other = rng.randrange(len(content)), rng.randrange(len(content))
    start = rng.randrange(content.index(b"mdat") + 4, len(content) - 400)
    changed = bytearray(content)
    kind = rng.choice(["truncated", "zeroed", "cut out", "flipped", "swapped", "index", "inserted"])
    if kind == "truncated":
        changed = changed[:place]
    elif kind == "zeroed":
        changed[start : start + 300] = bytes(300)
    elif kind == "cut out":
        del changed[start : start + rng.randrange(1, 30)]
    elif kind == "flipped":
        changed[place] ^= 1 << rng.randrange(8)
    elif kind == "swapped":
        changed[place], changed[other] = changed[other], changed[place]
    elif kind == "index":
        changed[rng.randrange(content.index(b"moov"), len(content))] ^= 255
    else:
        changed[place:place] = rng.randbytes(4)
    return kind, bytes(changed)


@pytest.fixture
def listed(tmp_path: Path, write_numbered: Write, make_config: Make) -> VideoListConfig:
    """Lists of three videos, one for each split, with different content."""
    for number, split in enumerate(("train", "val", "test")):
        write_numbered(tmp_path / f"{split}.mp4", "libx264", LENGTH + number, {"bf": "2", "g": "6", "crf": "18"})
        (tmp_path / f"{split}.csv").write_text(f"{split}.mp4 {number}\n")
    return make_config(tmp_path, sampling="uniform")


@pytest.mark.parametrize("codec", ["libx264", "mpeg4"])
def test_damage_is_an_error_of_the_file_or_another_identity(
    tmp_path: Path, listed: VideoListConfig, write_numbered: Write, codec: str
) -> None:
    path = write_numbered(tmp_path / "train.mp4", codec, LENGTH, {"bf": "2", "g": "6"})
    whole, identity, rng = path.read_bytes(), data_identity(listed), random.Random(codec)
    expected, refused = read_frames(path, range(LENGTH)), 0
    for number in range(NUM_DAMAGES):
        kind, content = damaged(whole, rng)
        path.write_bytes(content)
        assert content == whole or not has_identity(listed, identity), (number, kind)
        try:
            frames = read_frames(path, range(probe(path).num_frames))
        except UserError as error:
            refused += "train.mp4: " in str(error)
        else:
            assert kind not in EVIDENT or np.array_equal(frames, expected), (number, kind)
    assert refused > NUM_DAMAGES // 3


@pytest.mark.parametrize(("number", "message"), [(4, "frame 4 is missing"), (LENGTH - 1, "1 frames cannot be dec")])
def test_a_frame_that_the_decoder_leaves_out_without_an_error_is_noticed(
    tmp_path: Path, write_numbered: Write, monkeypatch: pytest.MonkeyPatch, number: int, message: str
) -> None:
    path = write_numbered(tmp_path / "x.mp4", "libx264", LENGTH, {"bf": "2"})
    frames_of, seen = decode._frames_of, []

    def without_one(*arguments: Any) -> list[VideoFrame]:
        kept = []
        for frame in frames_of(*arguments):
            seen.append(frame)
            kept += [frame] if len(seen) != number + 1 else []
        return kept

    monkeypatch.setattr(decode, "_frames_of", without_one)
    with pytest.raises(UserError, match=message):
        num_frames_decoded(path)
    seen.clear()
    with pytest.raises(UserError, match=message):
        read_frames(path, [LENGTH - 1])


def test_a_cut_off_file_without_a_number_of_frames_is_noticed(tmp_path: Path, write_numbered: Write) -> None:
    path = write_numbered(tmp_path / "x.mkv", "libx264", LENGTH)
    assert num_frames_decoded(path) == LENGTH
    path.write_bytes(path.read_bytes()[: path.stat().st_size * 2 // 3])
    with pytest.raises(UserError, match=r"x\.mkv: FFmpeg reports errors \(File ended prematurely"):
        probe(path)


def test_a_playlist_opens_no_other_file(tmp_path: Path, write_numbered: Write) -> None:
    write_numbered(tmp_path / "a.ts", "libx264", LENGTH)
    (tmp_path / "x.mp4").write_text("#EXTM3U\n#EXTINF:1,\nhttp://localhost:9/a.ts\n#EXT-X-ENDLIST\n")
    with pytest.raises(UserError, match=r"x\.mp4: "):
        probe(tmp_path / "x.mp4")


def test_a_file_that_changes_or_goes_during_training_ends_it_with_list_and_line(
    tmp_path: Path, listed: VideoListConfig, model: ModelConfig
) -> None:
    data_identity(listed)
    other = (tmp_path / "val.mp4").read_bytes()
    source = open_split(listed, model, "train", 0)
    (tmp_path / "train.mp4").write_bytes(other)
    with pytest.raises(
        UserError, match=r"train\.csv:1  .*train\.mp4: not the file with which .*: it was changed; rest"
    ):
        source.train_batch([0], 0)
    (tmp_path / "train.mp4").unlink()
    with pytest.raises(UserError, match=r"train\.csv:1  .*train\.mp4: not the file .*No such file"):
        source.train_batch([0], 0)


def test_every_decoded_clip_is_a_sign_of_life(listed: VideoListConfig, model: ModelConfig) -> None:
    source, units = open_split(listed, model, "train", 0), []
    source.alive = units.append
    source.train_batch([0], 0)
    assert units == ["clip"]


def test_a_check_counts_the_damaged_files_and_stores_nothing(tmp_path: Path, listed: VideoListConfig) -> None:
    lists = VideoList(listed).read_lists()
    assert len(video_hashes.check(lists)) == 3
    for name in ("train", "test"):
        (tmp_path / f"{name}.mp4").write_bytes((tmp_path / f"{name}.mp4").read_bytes()[:-200])
        video_hashes.hashes_file(tmp_path / f"{name}.csv").unlink()
    with pytest.raises(UserError) as caught:
        video_hashes.check(lists)
    assert [str(fault).split("  ")[0] for fault in caught.value.faults] == [
        f"{tmp_path}/train.csv:1",
        f"{tmp_path}/test.csv:1",
    ]
    assert [path.name for path in tmp_path.glob("*.json")] == ["val.csv.sha256.json"]
