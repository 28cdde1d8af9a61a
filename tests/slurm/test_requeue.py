"""After a time limit and a preemption, a trial resumes from its checkpoint and ends in the same bits."""

from __future__ import annotations

from tests.e2e import scores, statuses
from tests.slurm.cluster import eventually
from tests.slurm.user import LONG, User


def attempts(user: User) -> list[str]:
    """Stages of all workers that ever began on the only trial."""
    [path] = user.run.glob("trials/*/attempts.jsonl")
    return [line.split('"stage": "')[1].split('"')[0] for line in path.read_text().splitlines() if '"stage"' in line]


def test_time_limit_and_preemption_lead_to_the_same_bits(user: User, undisturbed: dict[str, object]) -> None:
    user.ok("sweep", user.write(LONG), "--set", "launch.cpus=2")
    user.wait_for_step(50)
    [line] = user.cluster.queue("--name", _name(user))
    user.cluster.run("scancel", "--signal=USR2", line.split()[0])  # what SLURM sends before the time limit
    eventually(lambda: user.states() == ["preempted"], 20, user.story)
    stopped_at = next(iter(statuses(user.run).values()))["step"]
    eventually(lambda: "PENDING" in str(user.cluster.queue()), 20, user.story)  # requeued by the job itself
    eventually(lambda: user.states() == ["running"], 30, user.story)
    assert attempts(user) == ["train", "train"]
    user.wait_for_step(stopped_at + 50)
    # a partition of higher priority takes both nodes: signalled by USR2 too, requeued
    user.cluster.run("sbatch", "-p", "high", "-N2", "--exclusive", "-t1", "-o/dev/null", "--wrap=sleep 3")
    eventually(lambda: user.states() == ["preempted"], 20, user.story)
    user.wait_for_queue()
    assert user.states() == ["done"], user.story()
    assert attempts(user) == ["train", "train", "train", "measure"]
    assert scores(user.run) == undisturbed
    restarts = [int(path.name) for path in user.run.glob("jobs/*/started/0/*")]
    assert sorted(restarts) == [0, 1, 2]


def _name(user: User) -> str:
    [token] = [path.name for path in (user.run / "jobs").iterdir()]
    return f"mini.{token}"
