"""Decoding returns exactly the requested frames: for several codecs, with B-frames, in any order."""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from numbered_video import CELL, NUM_BITS, read_number

from harness.data.decode import probe, read_frames
from harness.errors import UserError

LENGTH = 50
CODECS = {
    "h264 with B-frames.mp4": ("libx264", {"bf": "3", "g": "12", "b_strategy": "0"}),
    "h264.mkv": ("libx264", {"bf": "2"}),
    "mpeg4.avi": ("mpeg4", {"g": "10"}),
    "mpeg4 with B-frames.mp4": ("mpeg4", {"bf": "2"}),
    "vp9.webm": ("libvpx-vp9", {"deadline": "realtime", "cpu-used": "8", "auto-alt-ref": "1", "lag-in-frames": "16"}),
}

Write = Callable[..., Path]


@pytest.fixture(params=CODECS)
def video(request: pytest.FixtureRequest, tmp_path: Path, write_numbered: Write) -> Path:
    codec, options = CODECS[request.param]
    return write_numbered(tmp_path / request.param, codec, LENGTH, options)


def test_requested_frames_are_returned(video: Path) -> None:
    for wanted in ([0], [LENGTH - 1], [31, 7, 7, 48, 0], list(range(LENGTH))):
        frames = read_frames(video, wanted)
        assert frames.dtype == np.uint8
        assert frames.shape == (len(wanted), 2 * CELL, NUM_BITS * CELL, 3)
        assert [read_number(frame) for frame in frames] == wanted


def test_probe_counts_frames_also_where_the_container_does_not(video: Path) -> None:
    info = probe(video)
    assert (info.num_frames, info.height, info.width) == (LENGTH, 2 * CELL, NUM_BITS * CELL)
    assert info.fps == Fraction(30)
    assert info.num_bytes == LENGTH * 2 * CELL * NUM_BITS * CELL * 3


def test_frames_before_the_start_of_an_edit_list_are_neither_counted_nor_returned(
    tmp_path: Path, write_numbered: Write
) -> None:
    source = write_numbered(tmp_path / "whole.mp4", "libx264", 40, {"bf": "0", "g": "40"})
    trimmed = tmp_path / "trimmed.mp4"
    with av.open(str(source)) as read, av.open(str(trimmed), "w") as write:
        stream = write.add_stream_from_template(read.streams.video[0])
        offset = 10 * int(1 / (30 * read.streams.video[0].time_base))
        for packet in read.demux(video=0):
            if packet.dts is not None:
                packet.pts, packet.dts = packet.pts - offset, packet.dts - offset
                packet.stream = stream
                write.mux(packet)
    info = probe(trimmed)
    frames = read_frames(trimmed, range(info.num_frames))
    assert [read_number(frame) for frame in frames] == list(range(40 - info.num_frames, 40))


def test_frame_beyond_the_end_is_refused(video: Path) -> None:
    with pytest.raises(UserError, match=f"{video.name}: frame {LENGTH} cannot be decoded"):
        read_frames(video, [0, LENGTH])


def test_negative_frame_is_refused(video: Path) -> None:
    with pytest.raises(IndexError, match="frame -1"):
        read_frames(video, [-1])


@pytest.mark.parametrize("content", [b"", b"no video at all" * 100])
def test_file_that_is_no_video_is_named(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "notes.mp4"
    path.write_bytes(content)
    for read in (probe, lambda path: read_frames(path, [0])):
        with pytest.raises(UserError, match=r"notes\.mp4: cannot be opened as a video .*; replace or re-encode"):
            read(path)


def test_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"gone\.mp4: cannot be opened as a video \(No such file"):
        probe(tmp_path / "gone.mp4")


def test_file_that_was_cut_off_is_found_before_a_frame_is_used(tmp_path: Path, write_numbered: Write) -> None:
    path = tmp_path / "cut.mp4"
    write_numbered(path, "libx264", LENGTH, {"g": "1"})
    whole = tmp_path / "faststart.mp4"
    _move_index_to_front(path, whole)
    assert probe(whole).num_frames == LENGTH
    whole.write_bytes(whole.read_bytes()[: whole.stat().st_size * 2 // 3])
    with pytest.raises(UserError, match=r"faststart\.mp4: the file is truncated"):
        probe(whole)


def test_damaged_frames_are_not_concealed(tmp_path: Path, write_numbered: Write) -> None:
    path = write_numbered(tmp_path / "damaged.mp4", "libx264", LENGTH, {"bf": "0", "g": "25"})
    content = bytearray(path.read_bytes())
    start = content.index(b"mdat") + 900
    content[start : start + 200] = bytes(200)
    path.write_bytes(bytes(content))
    with pytest.raises(UserError, match=r"damaged\.mp4: (frame \d+ is damaged|decoding failed)"):
        read_frames(path, range(LENGTH))


def _move_index_to_front(source: Path, target: Path) -> None:
    with av.open(str(source)) as read, av.open(str(target), "w", options={"movflags": "faststart"}) as write:
        stream = write.add_stream_from_template(read.streams.video[0])
        for packet in read.demux(video=0):
            if packet.dts is not None:
                packet.stream = stream
                write.mux(packet)
