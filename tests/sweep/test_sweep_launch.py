"""The launch block: resources of trials, and faults at their places."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from harness.errors import UserError
from harness.launch.slurm.resources import arrays, capped, sbatch_parameters
from harness.launch.tasks import TrialTask
from harness.store import TrialFolder
from harness.sweep.launch.config import minutes
from harness.sweep.launch.resources import resources_of
from harness.sweep.plan import Plan, plan_sweep

HEAD = """\
question: what does a trial ask for?
data: {name: random}
variant: mixing
train: {device: cpu, num_threads: 2}
vary: [{grid: {variant.temporal_window: [0, 1, 2]}}]
seeds: 2
"""


def plan(folder: Path, launch: str, *overrides: str) -> Plan:
    path = folder / "asked.yaml"
    path.write_text(f"{HEAD}launch: {launch}\n", encoding="utf-8")
    return plan_sweep(path, overrides, data_identity=lambda data: "x")


def tasks(found: Plan) -> list[TrialTask]:
    train = [trial.config["train"] for trial in found.trials]
    return [
        TrialTask(trial, TrialFolder(Path(trial.trial_id)), "train", each["num_threads"], each["device"], 1)
        for trial, each in zip(found.trials, train, strict=True)
    ]


@pytest.mark.parametrize(
    ("launch", "place", "message"),
    [
        ("{mem: 4 GB}", "7:15", "'4 GB' is not a valid amount of memory; a whole number with M, G or T, such as 16G"),
        ("{time: 90}", "7:16", "expected text, got the number 90"),
        ("{time: 4h}", "7:16", "'4h' is not a valid duration; [DAYS-]HH:MM:SS, such as 04:00:00"),
        ("{partition: a b}", "7:21", "'a b' is not a valid name; one word without quotes"),
        ("{setup: [a, 3]}", "7:21", "expected text"),
        ("{cpus: 1}", "7:16", "1 CPUs for trials with 2 threads"),
        ("{nodes: 2}", "7:17", "train.num_processes: 1 cannot be spread evenly over 2 nodes"),
        ("{nodes: 2, overrides: [{where: {seed: 1}, nodes: 1}]}", "7:17", "cannot be spread evenly over 2 nodes"),
        ("{overrides: [{where: {seed: 1}, nodes: 2, pack: 3}]}", "7:48", "holds one trial, but launch.pack is 3"),
        ("{time: 00:01:00}", "7:16", "not longer than launch.signal_delay_s=90"),
        ("{overrides: [{where: {variant.temporal_widow: 1}, gpus: 1}]}", "7:31", "Did you mean variant.temporal_window?"),
        ("{overrides: [{where: {variant.temporal_window: 9}, gpus: 1}]}", "7:56", "no trial has the number 9 here; trials have 0, 1, 2"),
        ("{overrides: [{where: {seed: 2}, gpus: 1}]}", "7:37", "trials have 0, 1"),
        ("{overrides: [{where: {seed: 1}, gpu: 1}]}", "7:41", "gpu"),
        ("{overrides: [{gpus: 1}]}", "7:22", "missing"),
    ],
)  # fmt: skip
def test_faults_are_reported_at_their_places(tmp_path: Path, launch: str, place: str, message: str) -> None:
    with pytest.raises(UserError) as caught:
        plan(tmp_path, launch)
    assert f":{place}  " in str(caught.value)
    assert message in str(caught.value)


def test_the_last_matching_override_wins_field_by_field(tmp_path: Path) -> None:
    found = plan(
        tmp_path,
        "{where: slurm, mem: 1G, gpus: 1, overrides: [{where: {variant: mixing, seed: 1}, mem: 2G, gpus: 2},"
        " {where: {variant.temporal_window: 2}, mem: 4G}]}",
    )
    asked = {
        (trial.config["variant"]["temporal_window"], trial.seed): resources_of(found.launch, trial.config)
        for trial in found.trials
    }
    assert {key: (item.mem, item.gpus) for key, item in asked.items()} == {
        (0, 0): ("1G", 1), (1, 0): ("1G", 1), (2, 0): ("4G", 1),
        (0, 1): ("2G", 2), (1, 1): ("2G", 2), (2, 1): ("4G", 2),
    }  # fmt: skip


def test_launch_is_no_part_of_the_identity_and_the_file_decides_the_device(tmp_path: Path) -> None:
    ids = {
        tuple(trial.trial_id for trial in plan(tmp_path, launch).trials)
        for launch in ("{}", "{where: slurm}", "{where: slurm, mem: 1G, pack: 3}")
    }
    assert len(ids) == 1
    auto = ("train.device=auto",)
    assert plan(tmp_path, "{where: slurm, gpus: 1}", *auto).trials[0].config["train"]["device"] == "cuda"
    assert plan(tmp_path, "{where: slurm}", *auto).trials[0].config["train"]["device"] == "cpu"


@pytest.mark.parametrize(
    ("pack", "max_size", "shape"), [(1, 10, [[1] * 6]), (4, 10, [[4, 2]]), (1, 4, [[1] * 4, [1] * 2])]
)
def test_trials_are_packed_then_split(tmp_path: Path, pack: int, max_size: int, shape: list[list[int]]) -> None:
    found = plan(tmp_path, f"{{where: slurm, pack: {pack}}}")
    made = arrays(tasks(found), found.launch, max_size)
    assert [[len(job) for job in array.jobs] for array in made] == shape
    assert made[0].resources.cpus == 2 * pack
    ids = [task.trial.trial_id for array in made for job in array.jobs for task in job]
    assert sorted(ids) == sorted(trial.trial_id for trial in found.trials)


@pytest.mark.parametrize("cap", range(1, 9))
def test_arrays_that_may_run_at_once_never_exceed_the_cap(tmp_path: Path, cap: int) -> None:
    found = plan(tmp_path, "{where: slurm}")
    made = capped(arrays(tasks(found), found.launch, 1), cap)
    lanes = min(cap, len(made))
    for index, array in enumerate(made):  # in each lane, at most one array does not wait for another
        assert array.after == (lanes if index >= lanes else None)
    assert sum(array.limit for array in made[:lanes]) == cap
    assert all(array.limit >= 1 for array in made)


def test_durations() -> None:
    assert [minutes(text) for text in ("00:00:01", "00:01:00", "01:30:00", "2-00:00:01")] == [1, 1, 90, 2881]


@pytest.mark.parametrize(
    ("launch", "nodes", "each", "cpus"),
    [("{}", None, None, 8), ("{nodes: 2}", 2, 2, 2), ("{nodes: 4}", 4, 1, 2), ("{nodes: 2, cpus: 10}", 2, 2, 5)],
)
def test_processes_are_tasks_only_where_there_are_several_nodes(
    tmp_path: Path, launch: str, nodes: int | None, each: int | None, cpus: int
) -> None:
    found = plan(tmp_path, launch, "train.num_processes=4")
    asked = [replace(task, num_processes=4) for task in tasks(found)]
    [array] = arrays(asked, found.launch, 100)
    given = sbatch_parameters(array, found.launch, "name", tmp_path, tmp_path, [])
    assert (given.get("nodes"), given.get("ntasks_per_node"), given["cpus_per_task"]) == (nodes, each, cpus)
    assert ("--ntasks=4" in given["srun_args"]) == (nodes is not None)
    measured = arrays([replace(task, stage="measure", num_processes=1) for task in asked], found.launch, 100)
    assert {(item.ranks, item.resources.nodes) for item in measured} == {(1, 1)}
