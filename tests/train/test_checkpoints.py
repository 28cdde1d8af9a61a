"""Damaged checkpoints: each is noticed, the older one or the beginning takes its place, and the end is the same."""

from __future__ import annotations

import errno
import json
import os
import random
from collections.abc import Callable, Iterator
from dataclasses import asdict
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from harness.store import previous_checkpoint
from harness.train import checkpoint_file
from harness.train.checkpoint import Progress, load, save
from harness.train.loop import Interrupted
from tests.train.test_resume import run, trial

NUM_MUTATIONS = 200


class Training:
    """A model of a few parameters with its optimizer, after `step` steps."""

    def __init__(self, step: int, size: int = 3) -> None:
        torch.manual_seed(0)
        self.model = nn.Linear(size, 2)
        self.optimizer = torch.optim.AdamW(self.model.parameters())
        self.said: list[str] = []
        for _ in range(step):
            self.optimizer.zero_grad()
            self.model(torch.randn(4, size)).square().sum().backward()
            self.optimizer.step()
        self.progress = Progress(step, [(number, 1.0 / (number + 1)) for number in range(step)], 2.5, 0, ["a+b"])

    def save(self, path: Path) -> None:
        save(path, self.model, self.optimizer, self.progress, trial_id="t")

    def load(self, path: Path) -> Progress | None:
        return load(path, self.model, self.optimizer, trial_id="t", on_fallback=self.said.append)

    def state(self) -> list[Tensor]:
        states = self.optimizer.state_dict()["state"].values()
        return [*self.model.state_dict().values(), *(state[key] for state in states for key in sorted(state))]


def same(left: list[Tensor], right: list[Tensor]) -> bool:
    return len(left) == len(right) and all(a.dtype == b.dtype and torch.equal(a, b) for a, b in zip(left, right))  # noqa: B905


def two_saved(path: Path) -> tuple[Training, Training]:
    """Saves a training after two and after three steps; returns both."""
    older, newer = Training(2), Training(3)
    older.save(path)
    newer.save(path)
    return older, newer


def header_edited(content: bytes, rng: random.Random) -> bytes:
    """Changes one number or name in the header, which stays valid JSON."""
    size = int.from_bytes(content[:8], "little")
    header = json.loads(content[8 : 8 + size])
    progress = json.loads(header["__metadata__"]["progress"])
    kind = rng.randrange(6)
    name = rng.choice([name for name in header if name != "__metadata__"])
    if kind == 0:
        progress["step"] += rng.choice([-1, 1, 1000])
    elif kind == 1:
        progress[rng.choice(list(progress))] = rng.choice([None, [], "x", -1, 1e400])
    elif kind == 2:
        header["__metadata__"][rng.choice(list(header["__metadata__"]))] = "0"
    elif kind == 3:
        header[name]["dtype"] = rng.choice(["F32", "I32", "F64", "U8", "BF16"])
    elif kind == 4:
        header[name]["shape"] = header[name]["shape"][::-1] or [1, 1]
    else:
        header[name + "x"] = header.pop(name)
    header["__metadata__"].setdefault("progress", "")
    if kind < 2:
        header["__metadata__"]["progress"] = json.dumps(progress)
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    return len(text).to_bytes(8, "little") + text + content[8 + size :]


def mutations(content: bytes) -> Iterator[bytes]:
    """Yields `NUM_MUTATIONS` different contents, seeded."""
    rng = random.Random(12)
    found = {content}
    while len(found) <= NUM_MUTATIONS:
        place, other = rng.randrange(len(content)), rng.randrange(len(content))
        flipped = bytearray(content)
        flipped[place] ^= 1 << rng.randrange(8)
        swapped = bytearray(content)
        swapped[place], swapped[other] = content[other], content[place]
        changed = rng.choice([
            bytes(flipped), bytes(swapped), content[:place], content + b"\0", bytes(len(content)), b"", b"\0" * place,
            content[:place] + content[place + 1 :], header_edited(content, rng), header_edited(content, rng),
        ])  # fmt: skip
        if changed not in found:
            found.add(changed)
            yield changed


def test_no_damage_of_the_newest_checkpoint_is_silent_or_an_error(tmp_path: Path) -> None:
    path = tmp_path / "c.safetensors"
    older, _ = two_saved(path)
    for number, changed in enumerate(mutations(path.read_bytes())):
        path.write_bytes(changed)
        resumed = Training(0)
        progress = resumed.load(path)
        assert progress is not None, number
        assert asdict(progress) == {**asdict(older.progress), "num_resumes": 1}, number
        assert same(resumed.state(), older.state()), number
        assert len(resumed.said) == 1, number
        assert resumed.said[0].endswith("training resumes from the older checkpoint, at step 2"), number


def old_format(training: Training, path: Path) -> None:
    """Writes a checkpoint as earlier versions did: a CRC-32 of the tensors, nothing else."""
    training.save(path)
    texts, tensors = checkpoint_file.read(path)
    crc = checkpoint_file._crc32(tensors)
    save_file(tensors, path, metadata={"progress": texts["progress"], "crc32": str(crc)})


def test_a_checkpoint_of_an_earlier_version_is_resumed_from_and_its_damage_is_no_error(tmp_path: Path) -> None:
    path, old = tmp_path / "c.safetensors", Training(3)
    old_format(old, path)
    resumed = Training(0)
    assert resumed.load(path) == Progress(3, old.progress.loss_curve, 2.5, 1, ["a+b"])
    assert same(resumed.state(), old.state())
    assert resumed.said == []
    for changed in mutations(path.read_bytes()):
        path.write_bytes(changed)
        Training(0).load(path)


def test_both_damaged_means_the_beginning_and_an_unchanged_model(tmp_path: Path) -> None:
    path = tmp_path / "c.safetensors"
    two_saved(path)
    path.write_bytes(path.read_bytes()[:-1])
    previous_checkpoint(path).write_bytes(b"")
    fresh, untouched = Training(0), Training(0)
    assert fresh.load(path) is None
    assert same(fresh.state(), untouched.state())
    assert "c.safetensors is damaged" in fresh.said[0]
    assert "c.previous.safetensors is damaged" in fresh.said[0]
    assert fresh.said[0].endswith("training restarts from step 0")


@pytest.mark.parametrize("kind", ["missing", "folder", "pipe"])
def test_what_is_no_file_is_passed_over(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "c.safetensors"
    two_saved(path)
    path.unlink()
    if kind != "missing":
        (os.mkdir if kind == "folder" else os.mkfifo)(path)
    resumed = Training(0)
    progress = resumed.load(path)
    assert progress is not None
    assert progress.step == 2
    assert ("missing" if kind == "missing" else "not a regular file") in resumed.said[0]


@pytest.mark.parametrize("size", [3, 4])
def test_a_whole_checkpoint_of_another_trial_is_refused(tmp_path: Path, size: int) -> None:
    path = tmp_path / "c.safetensors"
    Training(2, size=4).save(path)
    other = Training(0, size)
    untouched = Training(0, size)
    owner = "t" if size == 3 else "another"
    assert load(path, other.model, other.optimizer, trial_id=owner, on_fallback=other.said.append) is None
    assert ("weight differs" if size == 3 else "belongs to trial t") in other.said[0]
    assert same(other.state(), untouched.state())


@pytest.mark.parametrize("broken", ["save_file", "os.fsync"])
def test_a_full_disk_leaves_both_checkpoints(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, broken: str) -> None:
    path = tmp_path / "c.safetensors"
    two_saved(path)
    before = {file.name: file.read_bytes() for file in tmp_path.iterdir()}

    def full(*_: object, **__: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(f"harness.train.checkpoint_file.{broken}", full)
    with pytest.raises(OSError, match="No space left"):
        Training(4).save(path)
    assert {file.name: file.read_bytes() for file in tmp_path.iterdir()} == before


def test_a_checkpoint_is_a_plain_safetensors_file(tmp_path: Path) -> None:
    path = tmp_path / "c.safetensors"
    _, newer = two_saved(path)
    assert torch.equal(load_file(path)["model.weight"], newer.model.weight)


def gone(file: Path) -> None:
    file.unlink()


def flipped(file: Path) -> None:
    content = bytearray(file.read_bytes())
    content[content.index(b'step\\":') + 9] ^= 1
    file.write_bytes(bytes(content))


@pytest.mark.parametrize("damage", [gone, flipped])
def test_a_training_from_the_older_checkpoint_ends_in_the_same_bits(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], damage: Callable[[Path], None]
) -> None:
    want, undisturbed = run(trial(), tmp_path / "a", every=3)
    with pytest.raises(Interrupted):
        run(trial(), tmp_path / "b", stop_at=8, every=3)
    damage(tmp_path / "b")
    got, resumed = run(trial(), tmp_path / "b", every=3)
    assert "training resumes from the older checkpoint, at step 6" in capsys.readouterr().out
    assert resumed.num_resumes == 1
    assert resumed.loss_curve == undisturbed.loss_curve
    assert all(torch.equal(got[name], want[name]) for name in want)
