"""Launchers of outside packages: their queue, their search, and packages that are missing or broken. Nothing trains here."""

from __future__ import annotations

import sys
from collections.abc import Callable, Collection, Iterator
from pathlib import Path

import pytest

from harness.cli import main
from harness.data import data_identity
from harness.errors import UserError
from harness.launch import launchers, queued
from harness.launch.base import LaunchRequest
from harness.launch.queued import QueueLauncher
from harness.launch.tasks import Todo, TrialTask, find_todo, task_of
from harness.store import Store, TrialStatus
from harness.sweep.launch import launcher_names
from harness.sweep.plan import plan_sweep
from tests.e2e import write_sweep
from tests.tune.simulated import SWEEP, SimulatedResult, controller_of, plan_of, record_of


class Simulated(QueueLauncher):
    """A queue whose jobs end at once as `outcome` says; None: the job disappears without a trace."""

    name, title = "simulated", "simulated"

    def __init__(self) -> None:
        self.outcome: Callable[[TrialTask], SimulatedResult | None] = lambda task: SimulatedResult()
        self.problem = ""
        self.live: set[str] = set()
        self.started: list[str] = []

    def start(self, request: LaunchRequest, task: TrialTask, job: str) -> None:
        assert task.folder.written_status().job == job, "a job may start at once, so its trial has to name it before"
        if self.problem:
            raise UserError(self.problem)
        self.started.append(task.trial.trial_id)
        outcome = self.outcome(task)
        if outcome is not None:
            task.folder.write_record(record_of(task, outcome))
            task.folder.write_status(TrialStatus("done", job=job))

    def live_jobs(self, store: Store, jobs: Collection[str]) -> tuple[set[str], str]:
        return set() if self.problem else self.live & set(jobs), self.problem

    def end_jobs(self, store: Store, jobs: Collection[str]) -> str:
        self.live -= set(jobs)
        return self.problem


@pytest.fixture
def request_(tmp_path: Path) -> LaunchRequest:
    plan = plan_of(tmp_path, SWEEP, "seeds=1")
    store = Store(tmp_path / "runs/search")
    store.path.mkdir(parents=True)
    return LaunchRequest(plan, store)


def test_a_search_runs_through_a_queue_and_a_job_that_disappears_is_started_again(
    request_: LaunchRequest, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(queued, "ASK_SECONDS", 0.0)
    queue = Simulated()
    queue.outcome = lambda task: None if len(queue.started) == 2 else SimulatedResult()
    controller = controller_of(request_.plan, request_.store.path)
    assert queue.search(LaunchRequest(request_.plan, controller.store), controller)
    assert [study.num_counted for study in controller.studies] == [6, 6]
    again = queue.started[1]
    assert queue.started.count(again) == 2
    assert len(set(queue.started)) == len(queue.started) - 1


def test_jobs_that_wait_are_neither_submitted_twice_nor_lost(request_: LaunchRequest) -> None:
    queue, (first, *_) = Simulated(), request_.plan.trials
    queue.outcome = lambda task: None
    todo = Todo([task_of(first, request_.store.trial(first.trial_id))])
    assert queue.run(request_, todo)
    job = todo.tasks[0].folder.written_status().job
    queue.live = {job}
    assert queue.run(request_, todo)
    assert queue.started == [first.trial_id]
    queue.problem = "no route to host"
    with pytest.raises(UserError, match="no route to host"):
        queue.run(request_, todo)
    assert queue.owners(request_.store, [todo.tasks[0].folder]).unknown == {first.trial_id}
    queue.problem = ""
    assert queue.cancel(request_.store, [todo.tasks[0].folder], 1.0, print).trials == [first.trial_id]
    assert not queue.live
    assert todo.tasks[0].folder.written_status().job == ""


def test_jobs_that_disappear_are_started_again_a_few_times_only(request_: LaunchRequest) -> None:
    queue, (first, *_) = Simulated(), request_.plan.trials
    queue.outcome = lambda task: None
    todo = Todo([task_of(first, request_.store.trial(first.trial_id))])
    for _ in range(4):
        assert queue.run(request_, todo)
    with pytest.raises(UserError, match=r"1 trial invalid now: .* 4 jobs were submitted for it and none started it"):
        queue.run(request_, todo)
    assert len(queue.started) == 4
    assert todo.tasks[0].folder.written_status().status == "invalid"


def test_a_trial_whose_job_cannot_be_started_is_pending_again(request_: LaunchRequest) -> None:
    queue, tasks = Simulated(), find_todo(request_.plan, request_.store).tasks[:1]
    queue.problem = "no route to host"
    with pytest.raises(UserError, match="no route to host"):
        queue.run(request_, Todo(tasks))
    status = tasks[0].folder.written_status()
    assert (status.status, status.job) == ("pending", "")


@pytest.fixture
def offer(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[str], None]]:
    """Offers the class `Own` of a module with this text as the launcher `own`."""
    info = tmp_path / "own_launcher-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: own-launcher\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[harness.launchers]\nown = own_launcher:Own\n")
    monkeypatch.syspath_prepend(str(tmp_path))

    def write(text: str) -> None:
        (tmp_path / "own_launcher.py").write_text(text)
        launcher_names._outside.cache_clear()

    yield write
    launcher_names._outside.cache_clear()
    sys.modules.pop("own_launcher", None)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("import no_such_module\n", "ModuleNotFoundError: No module named 'no_such_module'"),
        ("class Other: ...\n", "AttributeError"),
        ("from harness.launch.base import NoOptions\nclass Own:\n    Options = NoOptions\n", "is no subclass of"),
    ],
    ids=["import", "class", "kind"],
)
def test_a_broken_package_is_one_message(
    tmp_path: Path, offer: Callable[[str], None], capsys: pytest.CaptureFixture[str], text: str, message: str
) -> None:
    offer(text)
    assert main(["sweep", str(write_sweep(tmp_path)), "--launch", "own", "--runs", str(tmp_path / "runs")]) == 2
    assert message in (printed := capsys.readouterr().err)
    assert "own" in printed
    assert not (tmp_path / "runs").exists()


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ("{away: {hosts: [a]}}", ""),
        ("{own: {no_such: 1}}", "launch.options.own.no_such"),
        ("{ownn: {}}", "Did you mean own?"),
        ("{slurm: {mem: 1G}}", "slurm has no options"),
    ],
    ids=["of a launcher that is not installed", "unknown", "misspelled", "of a built-in launcher"],
)
def test_options_of_the_launcher_that_is_used_are_checked(
    tmp_path: Path, offer: Callable[[str], None], options: str, said: str
) -> None:
    offer("from harness.launch.queued import QueueLauncher\nclass Own(QueueLauncher):\n    name = title = 'own'\n")
    settings = ["launch.where=own", f"launch.options={options}"]
    if not said:
        plan = plan_sweep(write_sweep(tmp_path), settings, data_identity=data_identity, device=lambda: "cpu")
        assert plan.launch.options == {"away": {"hosts": ["a"]}}
        return
    with pytest.raises(UserError) as refused:
        plan_sweep(write_sweep(tmp_path), settings, data_identity=data_identity, device=lambda: "cpu")
    assert said in str(refused.value)


def test_a_job_of_a_launcher_that_is_not_installed_is_reported_and_kept(
    request_: LaunchRequest, capsys: pytest.CaptureFixture[str]
) -> None:
    store = request_.store
    store.write_plan(request_.plan.to_file())
    folders = [store.trial(trial.trial_id) for trial in request_.plan.trials]
    for folder in folders:
        folder.create({"launch": {}})
        folder.write_status(TrialStatus("queued", job="gone:host/1"))
    assert launchers.owners(store, folders).unknown == {folder.trial_id for folder in folders}
    assert main(["status", str(store.path)]) == 0
    assert "no launcher gone is installed here" in capsys.readouterr().out
    assert main(["cancel", str(store.path)]) == 2
    assert "no launcher gone is installed here" in capsys.readouterr().err
    assert {folder.written_status().job for folder in folders} == {"gone:host/1"}
