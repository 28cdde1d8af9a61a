"""The local pool and SLURM take the same trial folders, and never the same trial at once."""

from __future__ import annotations

from harness.store import Store, TrialStatus
from tests.e2e import statuses
from tests.slurm.user import User


def test_the_local_pool_leaves_trials_to_their_job_until_they_are_taken_back(user: User, held: object) -> None:
    user.ok("sweep", user.write())
    left = user.here("sweep", "mini.yaml", "--launch", "local", "--no-report")
    assert left.returncode == 2
    assert "nothing to run here: 2 trials have a SLURM job and are left to it" in left.stderr
    assert "cancel" in left.stderr
    assert user.states() == ["queued", "queued"]
    user.ok("cancel", "runs/mini")
    done = user.harness("sweep", "mini.yaml", "--launch", "local", "--no-report")
    assert done.returncode == 0, done.stdout + done.stderr
    assert user.states() == ["done", "done"]
    assert {item["job"] for item in statuses(user.run).values()} == {""}


def test_what_was_lost_is_started_again_on_the_cluster_and_nothing_else(user: User, held: object) -> None:
    user.ok("sweep", user.write())
    user.ok("cancel", "runs/mini")
    first, second = sorted(statuses(user.run))
    Store(user.run).trial(first).write_status(TrialStatus("running"))
    said = user.ok("retry", "runs/mini", "--status", "lost,timeout", "--start")
    assert "1 trial submitted" in said
    found = statuses(user.run)
    assert (found[first]["status"], found[second]["status"]) == ("queued", "pending")
