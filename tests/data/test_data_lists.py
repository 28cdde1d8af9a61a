"""Lists: the meaning of a line, and every fault reported with its place."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.data import ceilings, data_identity
from harness.data.lists.kinetics import parse_line
from harness.data.sets.video_list import VideoList, VideoListConfig
from harness.errors import UserError

Make = Callable[..., VideoListConfig]


def _write(folder: Path, train: str, val: str = "v.mp4 0\n", test: str = "t.mp4 1\n") -> None:
    for split, content in (("train", train), ("val", val), ("test", test)):
        (folder / f"{split}.csv").write_text(content)


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("a.mp4 3", ("a.mp4", 3)),
        ("a.mp4,3", ("a.mp4", 3)),
        ("a.mp4 , 3\r", ("a.mp4", 3)),
        ("a.mp4\t3", ("a.mp4", 3)),
        ("my video 12.mp4 3", ("my video 12.mp4", 3)),
        ("one, two.mp4 3", ("one, two.mp4", 3)),
        ("a.mp4 300 3", ("a.mp4", 3)),
        ("a.mp4,300,3", ("a.mp4", 3)),
        ("folder 300 3", ("folder", 3)),
        ("300 3", ("300", 3)),
        ("a.mp4", None),
        ("a.mp4 three", None),
        ("a.mp4 -1", None),
        ("3", None),
    ],
)
def test_lines(line: str, expected: tuple[str, int] | None) -> None:
    assert parse_line(line) == expected


@given(
    st.text(st.characters(blacklist_categories=("Cs", "Cc", "Z")) | st.just(" ") | st.just(","), min_size=1),
    st.integers(0, 10**6),
    st.sampled_from([" ", ",", "\t"]),
)
def test_any_path_with_an_extension_survives(name: str, label: int, separator: str) -> None:
    path = f"x{name}.mp4"
    assert parse_line(f"{path}{separator}{label}") == (path, label)
    assert parse_line(f"{path}{separator}17{separator}{label}") == (path, label)


def test_paths_start_at_the_folder_of_the_list_or_at_root(tmp_path: Path, make_config: Make) -> None:
    _write(tmp_path, "sub/a.mp4 2\n\n/abs/b.mp4 0\n")
    train = VideoList(make_config(tmp_path)).read_lists().videos["train"]
    assert [video.path for video in train] == [tmp_path / "sub/a.mp4", Path("/abs/b.mp4")]
    assert [video.where for video in train] == [f"{tmp_path}/train.csv:1", f"{tmp_path}/train.csv:3"]
    rooted = VideoList(make_config(tmp_path, root="/data")).read_lists().videos["train"]
    assert rooted[0].path == Path("/data/sub/a.mp4")


def test_number_of_classes_is_the_largest_label_of_all_lists_plus_one(tmp_path: Path, make_config: Make) -> None:
    _write(tmp_path, "a.mp4 2\n", test="t.mp4 6\n")
    assert VideoList(make_config(tmp_path)).read_lists().num_classes == 7
    assert VideoList(make_config(tmp_path, num_classes=10)).read_lists().num_classes == 10
    assert ceilings(make_config(tmp_path)) == {"chance": {"class": 1 / 7}}


def test_all_faults_are_reported_at_once_with_list_and_line(tmp_path: Path, make_config: Make) -> None:
    _write(tmp_path, "a.mp4 0\npath,label\nb.mp4 5\n", test="t.mp4 0\na.mp4 0\n")
    with pytest.raises(UserError) as caught:
        VideoList(make_config(tmp_path, num_classes=4)).read_lists()
    lines = str(caught.value).splitlines()
    assert len(lines) == 3
    assert lines[0].startswith(f"{tmp_path}/train.csv:2  cannot read 'path,label'; a line is `path label`")
    assert lines[1].startswith(f"{tmp_path}/train.csv:3  label 5 is out of range; labels are 0..3")
    assert lines[2].startswith(f"{tmp_path}/test.csv:2  {tmp_path}/a.mp4 is in data.train_list too")


def test_missing_and_empty_lists_are_faults(tmp_path: Path, make_config: Make) -> None:
    _write(tmp_path, "\n")
    (tmp_path / "val.csv").unlink()
    with pytest.raises(UserError) as caught:
        VideoList(make_config(tmp_path)).read_lists()
    assert [fault.path for fault in caught.value.faults] == ["data.train_list", "data.val_list"]
    assert "names no video" in str(caught.value)
    assert "No such file" in str(caught.value)


def test_many_faults_are_counted_not_printed(tmp_path: Path, make_config: Make) -> None:
    _write(tmp_path, "nothing\n" * 1000)
    with pytest.raises(UserError) as caught:
        VideoList(make_config(tmp_path)).read_lists()
    assert len(caught.value.faults) == 21
    assert str(caught.value).endswith("and 980 more faults")


def test_identity_sees_lists_and_file_sizes_but_not_places(tmp_path: Path, make_config: Make) -> None:
    folders = [tmp_path / name for name in ("one", "two")]
    for folder in folders:
        folder.mkdir()
        _write(folder, "a.mp4 0\n")
        for name in "avt":
            (folder / f"{name}.mp4").write_bytes(b"12345")
    same = [data_identity(make_config(folder)) for folder in folders]
    assert same[0] == same[1]
    (folders[0] / "v.mp4").write_bytes(b"123456")
    resized = data_identity(make_config(folders[0]))
    _write(folders[1], "a.mp4 1\n")
    relabelled = data_identity(make_config(folders[1]))
    assert len({same[0], resized, relabelled}) == 3


def test_identity_names_missing_files_by_list_and_line(tmp_path: Path, make_config: Make) -> None:
    _write(tmp_path, "a.mp4 0\n")
    for name in "vt":
        (tmp_path / f"{name}.mp4").write_bytes(b"")
    with pytest.raises(UserError, match=r"train\.csv:1  cannot read .*/a\.mp4: No such file .*; correct the path"):
        data_identity(make_config(tmp_path))
