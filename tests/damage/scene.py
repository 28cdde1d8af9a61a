"""Finished tiny runs to damage, and the harness in this process: no worker processes, no figures, no memory probes."""

from __future__ import annotations

import contextlib
import shutil
import signal
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from harness import cli, worker
from harness.launch.base import LaunchRequest
from harness.launch.local.launcher import Local
from harness.launch.source import FixedSource, Source
from harness.launch.tasks import Todo, prepare
from harness.record import MeasuredMemory
from tests.e2e import MINI

#: a search for two rows, and the trials that it chooses
SEARCHED = (
    MINI
    + """
tune: {num_trials: 1, sampler: random, pruner: none, space: {train.learning_rate: {low: 1.0e-4, high: 1.0e-2, log: true}}}
"""
)
#: two trials on video files, with imported weights
FILMED = """
question: Does damage to files go unnoticed?
data: {name: video_list, train_list: train.csv, val_list: val.csv, test_list: test.csv}
model: {embed_dim: 16, depth: 2, num_heads: 2, num_frames: 4, crop_size: 12, patch_size: 4, temporal_position: none}
variant: {name: mixing, temporal_window: 1}
readout: {name: mean_frames}
weights: {file: weights.safetensors}
train: {num_steps: 4, batch_size: 4, device: cpu}
measure: {batch_size: 2, min_samples: 3, max_seconds: 0.05}
vary: [{grid: {variant.temporal_window: [0, 1]}}]
seeds: 1
baseline: {variant.temporal_window: 0}
launch: {checkpoint_every_steps: 2}
"""
NAMES = {"searched": SEARCHED, "filmed": FILMED}


@dataclass(frozen=True)
class Answer:
    """The end of a command: exit code, what it printed, and the exception that escaped, if one did."""

    code: int
    text: str
    escaped: str = ""


@contextlib.contextmanager
def in_process(*, only_tables: bool = False) -> Iterator[None]:
    """Runs all trials of `sweep` in this process, in a few tenths of a second each; reports have no figures.

    Equal configurations are counted and timed once: what is damaged here are files.
    """
    from harness.reports import html, table, trials, tuning

    from harness import reports
    from harness.measure import costs
    from harness.measure.count import planned

    handlers = {number: signal.getsignal(number) for number in range(1, 32) if number not in (9, 19)}
    modules: list[ModuleType] = [table] if only_tables else [html, table, trials, tuning]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Local, "run", _run)
        patch.setattr(Local, "search", lambda self, request, source: _work(source))
        patch.setattr(costs, "measure_memory", lambda *arguments: _memory())
        patch.setattr(costs, "measure_timings", _once(costs.measure_timings, lambda model, trial, *rest: vars(trial)))
        patch.setattr(planned, "planned_costs", _once(planned.planned_costs, lambda config, *rest: config))
        patch.setattr(reports, "modules", lambda: modules)
        patch.setattr(html, "_figures", lambda run: [])
        patch.setattr(tuning, "figures", lambda run: [])
        try:
            yield
        finally:
            for number, handler in handlers.items():
                if signal.getsignal(number) != handler:
                    signal.signal(number, handler)


def _once(function: Callable[..., Any], config_of: Callable[..., Mapping[str, Any]]) -> Callable[..., Any]:
    """Returns a function that is called once for each model and variant, and then copies what it returned."""
    known: dict[str, Any] = {}

    def call(*arguments: Any, **options: Any) -> Any:
        key = str([config_of(*arguments)[name] for name in ("model", "variant", "readout")])
        if key not in known:
            known[key] = function(*arguments, **options)
        return known[key].model_copy(deep=True)

    return call


def _memory() -> MeasuredMemory:
    return MeasuredMemory(
        batch_size=2, method="constant", inference_peak_bytes=1, train_step_peak_bytes=2, process_peak_bytes=None
    )


def _run(self: Local, request: LaunchRequest, todo: Todo) -> bool:
    prepare(todo, request.plan, request.code)
    return _work(FixedSource(todo.tasks))


def _work(source: Source) -> bool:
    while not source.through:
        task = source.next()
        if task is None:
            source.tick()
            continue
        with (
            open(task.folder.log_file, "a", encoding="utf-8") as log,
            contextlib.redirect_stdout(log), contextlib.redirect_stderr(log),
        ):  # fmt: skip
            worker.run(task.folder.path, "train" if task.stage == "train" else "measure", alone=True)
        source.ended(task)
        source.tick()
    return True


def finished(folder: Path, name: str) -> Path:
    """Returns a folder with a finished run in `runs/NAME`, its sweep file, its data and weights; made once."""
    folder = folder / name
    if (folder / "complete").exists():
        return folder
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    (folder / f"{name}.yaml").write_text(NAMES[name], encoding="utf-8")
    if name == "filmed":
        _film(folder)
    answer = command(folder, "sweep", f"{name}.yaml")
    assert answer.code == 0, answer
    (folder / "complete").touch()
    return folder


def _film(folder: Path) -> None:
    from safetensors.torch import save_file

    from harness.data.export import export_moving_shapes
    from harness.data.sets.moving_shapes import MovingShapesConfig
    from harness.nn.config import ModelConfig
    from tests.model.weights_files import image_vit

    data, model = MovingShapesConfig(name="moving_shapes", task="motion"), ModelConfig(num_frames=4, crop_size=12)
    export_moving_shapes(data, model, folder / "films", num_train=16, num_val=4, num_test=8, label="verb")
    for path in (folder / "films").iterdir():
        path.rename(folder / path.name)
    save_file({name: tensor.float() for name, tensor in image_vit().items()}, folder / "weights.safetensors")


def command(folder: Path, *arguments: str) -> Answer:
    """Runs a command of the harness in this process, in a folder."""
    import io
    import traceback

    stream = io.StringIO()
    with contextlib.chdir(folder), contextlib.redirect_stdout(stream), contextlib.redirect_stderr(stream):
        try:
            code: Any = cli.main(arguments)
        except SystemExit as error:
            code = error.code
        except Exception:
            return Answer(-1, stream.getvalue(), traceback.format_exc())
    return Answer(int(code or 0), stream.getvalue())
