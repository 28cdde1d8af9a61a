"""Training depends only on configuration and seed: a resumed training is bit-identical to an uninterrupted one."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from harness.data import open_split
from harness.model.video_transformer import VideoTransformer
from harness.sweep.schema import TrialConfig
from harness.train.checkpoint import Progress
from harness.train.loop import CheckpointPolicy, Interrupted, NonFiniteLoss, TrainingHooks, batches, train


def trial(**changes: object) -> TrialConfig:
    blocks: dict[str, object] = {
        "data": {"name": "moving_shapes", "num_train": 50},
        "model": {"embed_dim": 16, "depth": 1, "num_heads": 2, "dropout": 0.2, "drop_path": 0.2},
        "variant": {"name": "mixing"},
        "readout": {"name": "mean_frames"},
        "train": {"num_steps": 12, "batch_size": 16, "device": "cpu"},
        "seed": 3,
    }
    for path, value in changes.items():
        block, _, key = path.partition("__")
        blocks[block] = {**blocks[block], key: value} if key else value  # type: ignore[dict-item]
    return TrialConfig(**blocks)  # type: ignore[arg-type]


def run(
    config: TrialConfig, checkpoint: Path, stop_at: int | None = None, every: int = 1000, code: str = "a"
) -> tuple[dict[str, torch.Tensor], Progress]:
    torch.manual_seed(config.seed)
    source = open_split(config.data, config.model, "train", config.seed)
    model = VideoTransformer.of(config, source.labels)
    seen: list[int] = []

    def stop() -> bool:
        seen.append(1)
        return stop_at is not None and len(seen) == stop_at

    progress = train(
        model,
        source,
        config.train,
        config.seed,
        CheckpointPolicy(checkpoint, every, code),
        TrainingHooks(lambda _: None, stop),
    )
    return model.state_dict(), progress


@pytest.mark.parametrize("optimizer", ["adamw", "sgd"])
@pytest.mark.parametrize("stop_at", [1, 7, 11])
def test_interrupted_training_ends_in_the_same_bits(tmp_path: Path, optimizer: str, stop_at: int) -> None:
    config = trial(train__optimizer=optimizer)
    want, undisturbed = run(config, tmp_path / "a")
    with pytest.raises(Interrupted):
        run(config, tmp_path / "b", stop_at=stop_at)
    got, resumed = run(config, tmp_path / "b")
    assert all(torch.equal(got[name], want[name]) for name in want)
    assert (resumed.num_resumes, undisturbed.num_resumes) == (1, 0)
    assert resumed.loss_curve[-1] == undisturbed.loss_curve[-1]


def test_code_that_changed_during_training_is_recorded(tmp_path: Path) -> None:
    with pytest.raises(Interrupted):
        run(trial(), tmp_path / "a", stop_at=5, code="old")
    _, progress = run(trial(), tmp_path / "a", code="new")
    assert progress.codes == ["old", "new"]


def half(content: bytes) -> bytes:
    return content[: len(content) // 2]


def flipped(content: bytes) -> bytes:
    """Flips one bit of a weight; the file format stays valid."""
    place = len(content) - 1000
    return content[:place] + bytes([content[place] ^ 16]) + content[place + 1 :]


@pytest.mark.parametrize("damage", [half, flipped])
def test_a_damaged_checkpoint_means_a_fresh_start_with_the_same_end(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], damage: Callable[[bytes], bytes]
) -> None:
    config = trial()
    want, _ = run(config, tmp_path / "a")
    with pytest.raises(Interrupted):
        run(config, tmp_path / "b", stop_at=5)
    whole = (tmp_path / "b").read_bytes()
    (tmp_path / "b").write_bytes(damage(whole))
    got, progress = run(config, tmp_path / "b")
    assert "damaged" in capsys.readouterr().out
    assert progress.num_resumes == 0
    assert all(torch.equal(got[name], want[name]) for name in want)


def test_seeds_differ_and_repeat(tmp_path: Path) -> None:
    first, _ = run(trial(), tmp_path / "a")
    again, _ = run(trial(), tmp_path / "b")
    other, _ = run(trial(seed=4), tmp_path / "c")
    assert all(torch.equal(first[name], again[name]) for name in first)
    assert not torch.equal(first["embed.proj.weight"], other["embed.proj.weight"])


def test_every_epoch_sees_every_clip_once() -> None:
    config = trial(train__num_steps=10, train__batch_size=15, data__num_train=50)

    class Recorder:
        labels = {"label": 2}

        def __init__(self) -> None:
            self.seen: list[tuple[int, int]] = []

        def __len__(self) -> int:
            return 50

        def train_batch(self, indices, draw):  # type: ignore[no-untyped-def]
            from harness.data import Batch

            self.seen += [(draw, int(index)) for index in indices]
            return Batch(torch.zeros(len(indices)), {"label": torch.zeros(len(indices))})

    source = Recorder()
    list(batches(source, config.train, 0, 0))  # type: ignore[arg-type]
    assert len(source.seen) == len(set(source.seen)) == 150
    assert sorted(index for draw, index in source.seen if draw == 1) == list(range(50))
    assert [index for draw, index in source.seen if draw == 0] != [index for draw, index in source.seen if draw == 1]


def test_a_loss_that_is_not_finite_stops_the_training(tmp_path: Path) -> None:
    with pytest.raises(NonFiniteLoss, match="at step"):
        run(
            trial(train__learning_rate=90.0, train__optimizer="sgd", train__clip_norm=None, train__num_steps=60),
            tmp_path / "a",
        )
