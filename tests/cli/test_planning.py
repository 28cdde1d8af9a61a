"""What planning finds before anything runs: files by name, wrong baselines, missing GPUs; and what a dry run shows."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import pytest
import yaml

import harness
from harness.cli import main
from harness.cli.common import forecast as forecasts
from harness.cli.common.forecast import Forecast, forecast
from harness.errors import UserError
from harness.launch.tasks import find_todo
from harness.measure.machine import preflight
from harness.python_api.targets import plan_target
from harness.record import Costs, MacsCount, Record, Training
from harness.store import Store, TrialStatus, exclusive_lock
from harness.store.marks import dirty_faults
from tests.e2e import MINI, write_sweep

CONTENT: dict[str, Any] = yaml.safe_load(MINI)


def test_a_sweep_is_found_by_its_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert harness.plan("window_size").name == "window_size", "a shipped one"
    (tmp_path / "sweeps").mkdir()
    write_sweep(tmp_path / "sweeps", name="window_size")
    plan = harness.plan("window_size")
    assert (len(plan.trials), plan.source.file) == (2, "sweeps/window_size.yaml")
    assert len(plan_target("window_size").rows) == 2
    assert len(harness.count("window_size")) == 2
    write_sweep(tmp_path / "sweeps", name="mixing")
    assert [row.label for row in plan_target("mixing").rows] == ["mixing"], "the variant of that name"
    assert len(harness.plan("mixing").rows) == 2, "only sweeps are planned"
    for call, message in (
        (lambda: harness.plan("windw_size"), r"windw_size: no such sweep.*Did you mean window_size\?"),
        (lambda: harness.count("windw_size"), r"no variant named windw_size, and no sweep.*Did you mean window_size\?"),
        (lambda: harness.time_variants(["window_size", "joint"]), r"sweeps/window_size\.yaml joint: give one sweep"),
        (lambda: harness.plan("gone.yaml"), "no such file"),
    ):
        with pytest.raises(UserError, match=message):
            call()


def faults(**changes: Any) -> list[str]:
    with pytest.raises(UserError) as caught:
        harness.plan({**copy.deepcopy(CONTENT), **changes})
    return [f"{fault.path}: {fault.message}" for fault in caught.value.faults]


@pytest.mark.parametrize(
    ("baseline", "message"),
    [
        ({"variant.temporal_window": 7}, "no row has the number 7 here; rows have 0, 1"),
        ({"variant": "joint"}, "no row has text 'joint' here; rows have mixing"),
        ({"model.num_framez": 4}, "no row has such a field. Did you mean model.num_frames?"),
        ({"modle.num_frames": 4}, "no row has such a field"),
        ({"train.batch_size": 9}, "no row has the number 9 here; rows have 8"),
    ],
)
def test_a_wrong_baseline_is_reported_with_the_other_faults(baseline: dict[str, Any], message: str) -> None:
    (key,) = baseline
    for other in ({"train": {"num_stepz": 3, "batch_size": 8}}, {"launch": {"where": "nowhere"}}):
        found = faults(baseline=baseline, **{"train": {"batch_size": 8}, **other})
        assert any(text.startswith(f"baseline.{key}: {message}") for text in found), found
        assert len(found) == 2


@pytest.mark.parametrize(
    "baseline", [{"variant.temporal_window": 0}, {"variant": "mixing"}, {"train.learning_rate": 0.3}, {"label": "a"}]
)
def test_a_baseline_that_may_be_right_is_no_fault_of_a_sweep_with_others(baseline: dict[str, Any]) -> None:
    assert len(faults(baseline=baseline, train={"num_stepz": 3})) == 1


def test_a_gpu_that_is_not_here_is_refused_where_the_sweep_runs_here(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    on_gpu = {"train": {"device": "cuda", "num_stepz": 3}}
    found = faults(**on_gpu)
    assert any("num_stepz" in text for text in found)
    content = {**CONTENT, "train": {"device": "cuda", "num_steps": 3}}
    with pytest.raises(UserError, match=r"train\.device: cuda given, but torch sees no CUDA device here; write cpu or"):
        harness.plan(content)
    with pytest.raises(UserError, match="torch sees no CUDA device"):
        harness.time_variants("mixing", set={"train.device": "cuda"})
    assert harness.plan(content, set={"launch.where": "slurm"}).trials
    assert harness.count("mixing", set={"train.device": "cuda"})
    monkeypatch.setattr("torch.cuda.is_available", lambda: True)
    assert harness.plan(content).trials


def test_one_row_has_nothing_to_compare_with(monkeypatch: pytest.MonkeyPatch) -> None:
    def stop(*given: Any) -> None:
        raise InterruptedError

    said: list[str] = []
    monkeypatch.setattr("harness.python_api.timing.compare_rows", stop)
    for targets, expected in (["mixing"], 1), (["mixing", "joint"], 0):
        with pytest.raises(InterruptedError):
            harness.time_variants(targets, log=said.append)
        assert sum("nothing to compare" in line for line in said) == expected
        said.clear()


@pytest.fixture
def scene(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Store:
    """The store of a planned run of two trials."""
    monkeypatch.chdir(tmp_path)
    plan = harness.plan(write_sweep(tmp_path))
    store = Store(tmp_path / "runs/mini")
    for trial in plan.trials:
        store.trial(trial.trial_id).create({"trial": trial.config, "launch": {}})
    store.write_plan(plan.to_file())
    return store


def test_a_dry_run_shows_what_runs(scene: Store, capsys: pytest.CaptureFixture[str]) -> None:
    running, stopped = (scene.trial(trial.trial_id) for trial in harness.plan("mini.yaml").trials)
    running.write_status(TrialStatus(status="running", stage="train", step=3, num_steps=8))
    stopped.write_status(TrialStatus(status="preempted"))
    with exclusive_lock(running.lock_file):
        assert main(["sweep", "mini.yaml", "--dry-run"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert next(line for line in lines if running.trial_id in line).endswith("running, step 3/8")
    assert next(line for line in lines if stopped.trial_id in line).split()[-1] == "preempted"
    assert lines[-2].endswith("2 to train, 0 to measure, 0 done, 1 of them running now")
    assert lines[-1].startswith("no time is predicted")
    assert main(["sweep", "mini.yaml", "--dry-run"]) == 0
    assert " lost" in capsys.readouterr().out, "without a lock its worker is gone"


def earlier(store: Store, seed: int, duration_s: float, host: str = "here") -> None:
    """Write the record of an earlier trial: 4 steps of 8 clips of 1000 MACs."""
    trial = harness.plan(CONTENT, set={"train.num_steps": 4, "seeds": [seed]}).trials[0]
    folder = store.trial(trial.trial_id)
    folder.path.mkdir(parents=True)
    macs = MacsCount(status="exact", macs_per_view=1000, flop_counter_macs=1, closed_form_macs=1, attention_macs=0)
    folder.write_record(
        Record(
            trial_id=trial.trial_id, config=trial.config, seed=seed, data_identity=trial.data_identity, scores={},
            finished_at="", training=Training(num_steps=4, final_loss=1.0, loss_curve=[], duration_s=duration_s, num_resumes=0),
            costs=Costs(num_parameters=1, macs=macs, num_views=1, macs_per_video=1000),
            environment={"hostname_hash": host, "cpu_model": "cpu", "gpu": None},
        )
    )  # fmt: skip


def test_the_time_of_training_comes_from_earlier_trials(
    scene: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    here = {"hostname_hash": "here", "cpu_model": "cpu", "gpu": None}
    monkeypatch.setattr(forecasts, "environment", lambda device: here)
    monkeypatch.setattr(forecasts, "_ALIKE", ("device",))
    monkeypatch.setattr(forecasts, "num_cores", lambda: 2)
    plan = harness.plan("mini.yaml")
    tasks = find_todo(plan, scene).tasks
    costs = Costs(
        num_parameters=1, num_views=1, macs_per_video=1,
        macs=MacsCount(status="exact", macs_per_view=3000, flop_counter_macs=1, closed_form_macs=1, attention_macs=0),
    )  # fmt: skip

    def found(jobs: int | None = None) -> Forecast | None:
        return forecast(tasks, lambda row: costs, tmp_path / "runs", jobs)

    assert found() is None
    earlier(Store(tmp_path / "runs/elsewhere"), 9, 1e6, host="there")
    assert found() is None, "a record of another machine"
    for seed, duration in enumerate((9.0, 10.0, 11.0)):  # 4 steps: 2.5 s a step; ours have 8 steps of 3 times the work
        earlier(Store(tmp_path / "runs/before"), seed, duration)
    damaged = min((tmp_path / "runs/before").rglob("record.json"), key=lambda path: '"seed": 0' not in path.read_text())
    damaged.write_text("{")  # it is left out
    both, one = found(), found(1)
    assert both is not None
    assert one is not None
    assert (both.num_at_once, both.num_earlier) == (2, 2)
    assert both.median_s == pytest.approx(2 * 6 * 10.5 / 2)
    assert both.low_s < both.median_s < both.high_s
    assert one.median_s == pytest.approx(2 * both.median_s)
    assert "with 2 trials at once, by 2 earlier trials on this machine" in str(both)


def test_marks_name_no_process_ids() -> None:
    found = {"busy_processes": {"python (12)": 0.9, "python (13)": 0.8}, "cpu_affinity": 2, "cpu_quota_cores": None}
    (fault,) = preflight._faults({**found, "throttled_periods": None}, 1)
    assert fault == "other processes use 1.7 of 2 cores: python (170%)"
    timings: Any = type("", (), {"preflight": {"dirty": ["other processes use 1 of 2 cores: python (12) (90%)"]}})
    costs: Any = type("", (), {"timings": timings})
    assert dirty_faults(costs) == ["other processes use 1 of 2 cores: python (90%)"]
