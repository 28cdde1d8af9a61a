"""The identity of listed videos: what is seen of their content, by which version, and files in two splits."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from harness.data import data_identity, has_identity, video_content, video_hashes
from harness.data.sets.video_list import VideoList, VideoListConfig
from harness.errors import UserError

Make = Callable[..., VideoListConfig]
SPLITS = ("train", "val", "test")
BIG = 3 * video_content.SAMPLE_BYTES + 1000


def write(folder: Path, size: int = 100) -> None:
    """Writes one file for each split, and the lists."""
    for split in SPLITS:
        (folder / f"{split}.mp4").write_bytes(split.encode() + bytes(size))
        (folder / f"{split}.csv").write_text(f"{split}.mp4 0\n")


def change(path: Path, place: int) -> None:
    """Changes one byte; size and time of the file stay, but for the finest digits of the time."""
    content = bytearray(path.read_bytes())
    content[place] ^= 1
    path.write_bytes(bytes(content))


@pytest.mark.parametrize("place", [0, BIG // 2, BIG - 1])
def test_a_changed_byte_of_a_sample_is_another_identity(tmp_path: Path, make_config: Make, place: int) -> None:
    write(tmp_path, BIG)
    config = make_config(tmp_path)
    before = data_identity(config)
    assert before.startswith("video_list/v2/sha256:")
    assert has_identity(config, before)
    change(tmp_path / "train.mp4", place)
    assert data_identity(config) != before
    assert not has_identity(config, before)


def test_an_identity_of_an_earlier_version_is_compared_in_its_way(tmp_path: Path, make_config: Make) -> None:
    write(tmp_path)
    config, digest = make_config(tmp_path), hashlib.sha256()
    for split in SPLITS:
        digest.update(hashlib.sha256((tmp_path / f"{split}.csv").read_bytes()).digest() + b"%d," % (100 + len(split)))
    old = f"video_list/sha256:{digest.hexdigest()}"
    assert has_identity(config, old)
    assert data_identity(make_config(tmp_path, identity_version=1)) == old
    change(tmp_path / "train.mp4", 50)
    assert has_identity(config, old)
    (tmp_path / "train.mp4").write_bytes(b"")
    assert not has_identity(config, old)
    assert not has_identity(config, "video_list/v9/sha256:00")


def test_an_unchanged_file_is_read_once(tmp_path: Path, make_config: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    write(tmp_path)
    identity, reads = data_identity(make_config(tmp_path)), []
    monkeypatch.setattr(video_content.os, "pread", lambda *arguments: reads.append(arguments) or b"")
    assert data_identity(make_config(tmp_path)) == identity
    assert reads == []


def linked(kind: str, target: Path, name: Path) -> str:
    """Makes another name of a file; returns it relative to its folder."""
    if kind == "dots":
        (name.parent / "sub").mkdir()
        return f"sub/../{target.name}"
    (os.symlink if kind == "symlink" else os.link)(target, name)
    return name.name


@pytest.mark.parametrize("kind", ["symlink", "hard link", "dots"])
@pytest.mark.parametrize("version", [1, 2])
def test_one_file_under_two_names_is_in_one_split_only(
    tmp_path: Path, make_config: Make, kind: str, version: int
) -> None:
    write(tmp_path)
    name = linked(kind, tmp_path / "train.mp4", tmp_path / "other.mp4")
    (tmp_path / "test.csv").write_text(f"test.mp4 0\n{name} 0\n")
    with pytest.raises(UserError) as caught:
        data_identity(make_config(tmp_path, identity_version=version))
    message = str(caught.value)
    assert message.startswith(f"{tmp_path}/test.csv:2  {tmp_path}/{name} is the same file as {tmp_path}/train.mp4 in")
    assert f"data.train_list ({tmp_path}/train.csv:1)" in message


@pytest.mark.parametrize(
    ("kind", "reason"), [("pipe", "not a regular file"), ("folder", "a folder"), ("loop", "symbol")]
)
def test_what_is_no_file_is_named_and_not_opened(tmp_path: Path, make_config: Make, kind: str, reason: str) -> None:
    write(tmp_path)
    (tmp_path / "val.mp4").unlink()
    make = {"pipe": os.mkfifo, "folder": os.mkdir, "loop": lambda path: os.symlink(path, path)}
    make[kind](tmp_path / "val.mp4")
    with pytest.raises(UserError, match=rf"val\.csv:1  cannot read .*/val\.mp4: .*{reason}"):
        data_identity(make_config(tmp_path))


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"\xef\xbb\xbftrain.mp4 0\n", r"train\.csv:1  holds a byte-order mark"),
        (b"train.mp4 0\ntra\0in.mp4 0\n", r"train\.csv:2  holds a NUL character"),
        ("train.mp4 0\n".encode("utf-16"), "not UTF-8 text"),
        (b"train.mp4 " + b"9" * 5000, r"train\.csv:1  cannot read"),
        (None, "it is not a regular file"),
    ],
)
def test_lists_that_are_no_plain_text_are_refused(
    tmp_path: Path, make_config: Make, content: bytes | None, message: str
) -> None:
    write(tmp_path)
    (tmp_path / "train.csv").unlink()
    if content is None:
        os.mkfifo(tmp_path / "train.csv")
    else:
        (tmp_path / "train.csv").write_bytes(content)
    with pytest.raises(UserError, match=message):
        data_identity(make_config(tmp_path))


@pytest.fixture
def no_decoding(monkeypatch: pytest.MonkeyPatch) -> None:
    """Replaces the decoder by one that accepts any file."""
    monkeypatch.setattr("harness.data.decode.num_frames_decoded", lambda path: 1)


@pytest.mark.usefixtures("no_decoding")
def test_stored_hashes_of_whole_files_become_the_identity(tmp_path: Path, make_config: Make) -> None:
    write(tmp_path, BIG)
    config = make_config(tmp_path)
    before, between = data_identity(config), BIG // 2 - video_content.SAMPLE_BYTES // 2 - 10
    video_hashes.check(VideoList(config).read_lists())
    stored = data_identity(config)
    assert stored.startswith("video_list/v2-whole/sha256:")
    assert has_identity(config, stored)
    assert has_identity(config, before)
    change(tmp_path / "train.mp4", between)  # no sample holds it
    assert has_identity(config, before)
    video_hashes.check(VideoList(config).read_lists())
    assert data_identity(config) != stored


@pytest.mark.usefixtures("no_decoding")
def test_files_that_do_not_fit_their_stored_hashes_are_named(tmp_path: Path, make_config: Make) -> None:
    write(tmp_path)
    config = make_config(tmp_path)
    video_hashes.check(VideoList(config).read_lists())
    change(tmp_path / "val.mp4", 3)
    with pytest.raises(UserError, match=r"val\.csv:1  .*val\.mp4 was changed since it was checked; run .*data check"):
        data_identity(config)
    video_hashes.check(VideoList(config).read_lists())
    file = video_hashes.hashes_file(tmp_path / "val.csv")
    whole = file.read_bytes()
    for place in range(0, len(whole), 7):
        file.write_bytes(whole[:place] + bytes([whole[place] ^ 1]) + whole[place + 1 :])
        with pytest.raises(UserError, match=r"val\.csv\.sha256\.json .*run .*data check"):
            data_identity(config)


@pytest.mark.usefixtures("no_decoding")
def test_copies_in_two_splits_are_found_by_a_check(tmp_path: Path, make_config: Make) -> None:
    write(tmp_path)
    (tmp_path / "test.mp4").write_bytes((tmp_path / "train.mp4").read_bytes())
    with pytest.raises(UserError, match=r"test\.csv:1  .* has the same content as .*train\.csv:1"):
        video_hashes.check(VideoList(make_config(tmp_path)).read_lists())
    assert not list(tmp_path.glob("*.json"))
