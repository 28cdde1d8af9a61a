"""Minutes of faults on a real cluster: `make campaign-slurm`. Every trial ends in the bits of the undisturbed run."""

from __future__ import annotations

import os
import random
import signal
import time

import pytest

from tests.e2e import harness, scores, statuses
from tests.slurm.cluster import eventually
from tests.slurm.user import LONG, User

pytestmark = pytest.mark.campaign


def test_a_real_time_limit(user: User) -> None:
    """SLURM checks limits every 30 s: the first job is signalled after 12 to 29 s of its minute."""
    text = LONG.replace("num_steps: 900", "num_steps: 20000").replace("time: 00:05:00", "time: 00:01:00")
    user.write(text.replace("signal_delay_s: 60", "signal_delay_s: 30").replace("every_steps: 50", "every_steps: 500"))
    user.ok("sweep", "mini.yaml")
    user.wait_for_queue(600)
    assert user.states() == ["done"], user.story()
    restarts = len(list(user.run.glob("jobs/*/started/0/*"))) - 1
    assert restarts >= 1
    done = harness(
        "sweep", "mini.yaml", "--launch", "local", "--runs", "calm", "--no-report", cwd=user.folder, timeout=600
    )
    assert done.returncode == 0, done.stderr
    assert scores(user.run) == scores(user.folder / "calm" / "mini")


@pytest.mark.parametrize("seed", range(10))
def test_asked_to_stop_at_any_moment(user: User, undisturbed: dict[str, object], seed: int) -> None:
    """Twice in its life a job gets SIGUSR2, from the first moment of its step on."""
    rng = random.Random(seed)
    user.ok("sweep", user.write(LONG))
    for restart in range(2):
        eventually(lambda restart=restart: _started(user, restart), 60, user.story)
        time.sleep(rng.uniform(0.3, 6.0))
        if user.states() == ["done"]:
            break
        user.cluster.run("scancel", "--signal=USR2", user.cluster.queue()[0].split()[0], check=False)
    user.wait_for_queue(120)
    assert user.states() == ["done"], user.story()
    assert scores(user.run) == undisturbed


def _started(user: User, restart: int) -> bool:
    return bool(list(user.run.glob(f"jobs/*/started/0/{restart}")))


@pytest.mark.parametrize("seed", range(10))
def test_killed_at_any_moment(user: User, undisturbed: dict[str, object], seed: int) -> None:
    """All processes of a job are killed at once; repeating the sweep command completes the trial."""
    rng = random.Random(seed)
    user.ok("sweep", user.write(LONG))
    for _ in range(3):
        eventually(lambda: user.cluster.processes_of_jobs(daemons=False), 60, user.story)
        time.sleep(rng.uniform(0.0, 8.0))
        for pid in user.cluster.processes_of_jobs(daemons=False):
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                continue
        user.wait_for_queue()
        if user.states() == ["done"]:
            break
        user.ok("sweep", "mini.yaml")
    user.wait_for_queue(120)
    assert user.states() == ["done"], user.story()
    assert scores(user.run) == undisturbed
    [status] = statuses(user.run).values()
    assert status["num_starts"] <= 8
