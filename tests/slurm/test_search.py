"""A search whose trials run in jobs: its controller may be killed, and nothing is trained twice."""

from __future__ import annotations

import json

import optuna
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend

from tests.e2e import statuses
from tests.slurm.cluster import eventually
from tests.slurm.user import TINY, User

SEARCH = (
    TINY.replace("[0, 1]}", "[1]}").replace("baseline: {variant.temporal_window: 0}", "")
    + "tune: {num_trials: 3, objective: val_top1, pruner: none, parallel: 2,"
    + " space: {train.learning_rate: {low: 1.0e-4, high: 1.0e-2, log: true}}}\n"
)


def test_a_search_continues_after_its_controller_is_killed_and_submits_its_choice(user: User) -> None:
    controller = user.start("sweep", user.write(SEARCH))
    tried = user.run / "tuning"
    eventually(lambda: any(item["job"] for item in statuses(tried).values()), 60, user.story)
    controller.kill()
    controller.wait()
    said = user.harness("sweep", "mini.yaml")
    assert said.returncode == 0, said.stdout + said.stderr + user.story()
    storage = JournalStorage(JournalFileBackend(str(user.run / "optuna.journal")))
    (name,) = optuna.get_all_study_names(storage)
    trials = optuna.load_study(study_name=name, storage=storage).trials
    assert [trial.state.name for trial in trials] == ["COMPLETE"] * 3
    for folder in (tried / "trials").iterdir():
        attempts = (folder / "attempts.jsonl").read_text()
        assert attempts.count('"stage": "train"') == 1
        assert '"stage": "measure"' not in attempts, "the search needs no timings"
        assert list(json.loads((folder / "record.json").read_text())["scores"]) == ["val"]
    assert "1 trial submitted" in said.stdout
    user.wait_for_queue()
    assert user.states() == ["done"]
    assert list(json.loads(next(user.run.glob("trials/*/record.json")).read_text())["scores"]) == ["val", "test"]
