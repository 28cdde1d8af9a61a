"""Decoding of exact frames of a video file, through PyAV.

Frames are counted in presentation order from 0. Decoding starts at the first frame and never seeks: seeking to key
frames is faster and returns neighbours of the requested frames. FFmpeg conceals damage where it can; here every error
that it reports, and every frame that is missing, is an error of the file.
"""

from __future__ import annotations

import stat
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from fractions import Fraction
from heapq import heappop, heappush
from pathlib import Path

import av
import numpy as np
from av.container import InputContainer
from av.packet import Packet
from av.video.frame import VideoFrame
from av.video.stream import VideoStream
from numpy.typing import NDArray

from harness.errors import UserError

Frames = NDArray[np.uint8]
#: FFmpeg stops at an error instead of guessing, and a file cannot make it open another one
STRICT = {"err_detect": "crccheck+explode"}
LOCAL_ONLY = {"protocol_whitelist": "file"}
WAY_OUT = "replace or re-encode the file, or remove its line from the list"


@dataclass(frozen=True)
class VideoInfo:
    """Properties of a video: frames, frames per second (None if the file has none), height and width in pixels."""

    num_frames: int
    fps: Fraction | None
    height: int
    width: int

    @property
    def num_bytes(self) -> int:
        """Returns the size of all frames as RGB, in bytes."""
        return self.num_frames * self.height * self.width * 3


def probe(path: str | Path) -> VideoInfo:
    """Reads the length and the geometry of a video.

    A length in the container is checked against the packets of the file, so that a truncated file is found here; if
    the container has no length, frames are counted by decoding.

    Raises:
        UserError: the file cannot be opened, holds no video, or is shorter than it says.
    """
    with _opened(path) as (container, stream):
        stated = stream.frames
        fps, height, width = stream.average_rate, stream.codec_context.height, stream.codec_context.width
        if stated > 0:
            count = _count_packets(container, stream, path)
        else:
            count = sum(1 for _ in _decoded(container, stream, path))
    if count == 0:
        raise UserError(f"{path}: the video holds no frame; {WAY_OUT}")
    return VideoInfo(count, fps, height, width)


def num_frames_decoded(path: str | Path) -> int:
    """Decodes a whole video and returns the number of its frames.

    Raises:
        UserError: the file cannot be decoded, or holds fewer frames than it says.
    """
    info = probe(path)
    with _opened(path) as (container, stream):
        count = sum(1 for _ in _decoded(container, stream, path))
    if count < info.num_frames:
        raise UserError(f"{path}: {info.num_frames} frames are stated and {count} can be decoded; {WAY_OUT}")
    return count


def read_frames(path: str | Path, indices: Sequence[int] | np.ndarray) -> Frames:
    """Decodes the frames with the given indices, in any order, repeated ones too: RGB (n, H, W, 3).

    Raises:
        UserError: the file cannot be decoded, or ends before the last index.
    """
    wanted = [int(index) for index in indices]
    if min(wanted, default=0) < 0:
        raise IndexError(f"{path}: frame {min(wanted)}; frames are counted from 0")
    needed, last = set(wanted), max(wanted, default=-1)
    found: dict[int, Frames] = {}
    with _opened(path) as (container, stream):
        for index, frame in enumerate(_decoded(container, stream, path)):
            if index in needed:
                found[index] = frame.to_ndarray(format="rgb24").astype(np.uint8, copy=False)
            if index >= last:
                break
    if last not in found:
        raise UserError(f"{path}: frame {last} cannot be decoded, the video ends before it; {WAY_OUT}")
    return np.stack([found[index] for index in wanted])


@contextmanager
def _opened(path: str | Path) -> Iterator[tuple[InputContainer, VideoStream]]:
    """Opens a file. Every exception in the block, and every error that FFmpeg logs, becomes a `UserError`."""
    av.logging.set_level(av.logging.ERROR)
    av.logging.set_skip_repeated(False)  # the note about repeats would come with the messages of another file
    try:
        with av.logging.Capture() as logged, _container(path) as container:
            if not container.streams.video:
                raise UserError(f"{path}: holds no video stream; {WAY_OUT}")
            stream = container.streams.video[0]
            stream.codec_context.options = STRICT
            stream.codec_context.thread_count = 1  # the number of threads of a trial is a field of its configuration
            yield container, stream
        if logged:  # some damage makes a demuxer leave out frames without any other sign
            raise UserError(f"{path}: FFmpeg reports errors ({logged[0][2].strip()}); {WAY_OUT}")
    except UserError:
        raise
    except Exception as error:  # PyAV has many classes for damaged content, and some are Python's own
        raise UserError(f"{path}: decoding failed ({_reason(error)}); {WAY_OUT}") from error


def _container(path: str | Path) -> InputContainer:
    try:
        if not stat.S_ISREG(Path(path).stat().st_mode):  # opening a named pipe would wait for ever
            raise UserError(f"{path}: cannot be opened as a video (not a regular file); {WAY_OUT}")
        return av.open(f"file:{path}", options=LOCAL_ONLY)
    except UserError:
        raise
    except Exception as error:
        raise UserError(f"{path}: cannot be opened as a video ({_reason(error)}); {WAY_OUT}") from error


def _reason(error: Exception) -> str:
    return getattr(error, "strerror", None) or str(error) or type(error).__name__


def _decoded(container: InputContainer, stream: VideoStream, path: str | Path) -> Iterator[VideoFrame]:
    """Yields the frames in presentation order.

    In a container that states the number of frames, each frame must be the next one by the times of the packets:
    a decoder may leave out what it cannot decode without an error.
    """
    index = -1
    due: list[int] = []  # times of the packets whose frames have not come yet, a heap
    timed = stream.frames > 0
    for packet in container.demux(stream):
        if packet.is_corrupt:
            raise UserError(f"{path}: the data after frame {index} are damaged; {WAY_OUT}")
        if packet.size and not packet.is_discard:
            timed = timed and packet.pts is not None
            heappush(due, packet.pts or 0)
        for index, frame in enumerate(_frames_of(packet, index, path), index + 1):  # noqa: B020
            if frame.is_corrupt:
                raise UserError(f"{path}: frame {index} is damaged; {WAY_OUT}")
            if timed and (not due or frame.pts != heappop(due)):
                raise UserError(f"{path}: frame {index} is missing or misplaced; {WAY_OUT}")
            yield frame
    if timed and due:
        raise UserError(f"{path}: {len(due)} frames cannot be decoded, the last is frame {index}; {WAY_OUT}")


def _frames_of(packet: Packet, index: int, path: str | Path) -> list[VideoFrame]:
    try:
        return [frame for frame in packet.decode() if isinstance(frame, VideoFrame)]
    except av.FFmpegError as error:
        raise UserError(f"{path}: decoding failed after frame {index} ({error.strerror}); {WAY_OUT}") from error


def _count_packets(container: InputContainer, stream: VideoStream, path: str | Path) -> int:
    """Counts the frames that are shown; packets before the start of an edit list are in the file but not shown."""
    packets = [packet for packet in container.demux(stream) if packet.size]
    if len(packets) < stream.frames:
        cut = f"the container states {stream.frames} frames but holds {len(packets)}"
        raise UserError(f"{path}: the file is truncated: {cut}; {WAY_OUT}")
    return sum(not packet.is_discard for packet in packets)
