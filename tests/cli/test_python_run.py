"""`harness.run`: whose folder it is, which trials go back into the queue, and calls from outside the main thread."""

from __future__ import annotations

import copy
import inspect
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
import yaml

import harness
from harness.errors import UserError
from harness.launch.local.pool import LocalPool
from harness.launch.source import FixedSource
from harness.running import RunOptions, _repeat, run_plan
from harness.store import Store, TrialStatus, exclusive_lock
from harness.sweep.launch.config import LaunchConfig
from harness.sweep.plan import Plan
from harness.worker.signals import time_limit
from tests.e2e import MINI

CONTENT: dict[str, Any] = yaml.safe_load(MINI)


def in_a_thread(call: Any) -> Any:
    with ThreadPoolExecutor(1) as threads:
        return threads.submit(call).result(timeout=60)


def planned_before(content: dict[str, Any], runs: Path) -> Plan:
    """The plan of a dict, whose folder was used once."""
    plan = harness.plan(content)
    store = Store(runs / plan.name)
    store.path.mkdir(parents=True)
    store.write_plan(plan.to_file())
    return plan


def test_no_argument_requeues_trials() -> None:
    assert not {"trial_ids", "from_scratch"} & set(inspect.signature(harness.run).parameters)


def test_trials_that_a_plan_does_not_have_are_refused_before_anything_is_written(tmp_path: Path) -> None:
    options = RunOptions(runs=tmp_path, trial_ids=("../../precious",))
    with pytest.raises(UserError, match="precious: not in the plan of notebook"):
        run_plan(harness.plan(CONTENT), options)
    assert not list(tmp_path.iterdir())


def test_only_trials_that_started_and_do_not_run_go_back_into_the_queue(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    plan = planned_before(CONTENT, tmp_path)
    store = Store(tmp_path / plan.name)
    failed, running = [store.trial(trial.trial_id) for trial in plan.trials]
    for folder, status in ((failed, "failed"), (running, "running")):
        folder.create({"trial": {}, "launch": {}})
        folder.write_status(TrialStatus(status=status))
    options = RunOptions(runs=tmp_path, trial_ids=tuple(trial.trial_id for trial in plan.trials))
    with exclusive_lock(running.lock_file):
        _repeat(plan, store, list(plan.trials), options)
        assert (failed.status().status, running.status().status) == ("pending", "running")
    assert f"{running.trial_id}: runs at the moment" in capsys.readouterr().out


def test_a_trial_that_never_started_is_open_anyway(tmp_path: Path) -> None:
    plan = planned_before(CONTENT, tmp_path)
    store = Store(tmp_path / plan.name)
    options = RunOptions(runs=tmp_path, trial_ids=(plan.trials[0].trial_id,), from_scratch=True)
    assert _repeat(plan, store, list(plan.trials), options) == []
    assert not store.trial(plan.trials[0].trial_id).path.exists()


def changed(**blocks: Any) -> dict[str, Any]:
    content = copy.deepcopy(CONTENT)
    for name, fields in blocks.items():
        content[name] |= fields
    return content


def test_a_dict_of_other_content_does_not_take_the_folder(tmp_path: Path) -> None:
    planned_before(CONTENT, tmp_path)
    with pytest.raises(UserError, match=r"would take 2 of its trials out of the report.*runs=DIR.*replace_plan=True"):
        harness.run(changed(train={"num_steps": 9}), runs=tmp_path)


@pytest.mark.parametrize("content", [CONTENT, changed(launch={"checkpoint_every_steps": 2})])
def test_the_same_dict_continues(content: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    planned_before(CONTENT, tmp_path)
    reached = []
    monkeypatch.setattr("harness.running._run_locked", lambda *given: reached.append(given) or 0)
    assert harness.run(content, runs=tmp_path).exit_code == 0
    assert reached


def test_the_pool_works_outside_the_main_thread() -> None:
    pool = LocalPool(LaunchConfig(), watcher=None)  # type: ignore[arg-type]
    assert in_a_thread(lambda: pool.feed(FixedSource([]))) is True


def test_a_call_with_a_time_limit_works_outside_the_main_thread() -> None:
    def call(seconds: float) -> str:
        with time_limit(seconds, "sbatch"):
            time.sleep(0.02)
        return "answered"

    assert in_a_thread(lambda: call(1e-3)) == "answered"
    with pytest.raises(TimeoutError, match="sbatch did not answer"):
        call(1e-3)
